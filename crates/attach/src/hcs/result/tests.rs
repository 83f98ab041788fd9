//! Codes, and what is said of them.

use super::*;

#[test]
fn all_forms_of_a_code_are_one_fault() {
    for (codes, kind) in [
        (&[0x8037_010E, 0xC037_010E][..], FaultKind::Gone),
        (&[0x8037_0110, 0xC037_0110], FaultKind::Gone),
        (
            &[0x8037_0118, 0xC037_0118, 0x8007_05B4, 0x5B4, 0x102],
            FaultKind::Unanswered,
        ),
        (&[0xC037_0103, 0x8037_0117], FaultKind::Unanswered),
        (
            &[0x8007_0005, 5, 0x8037_011B, 0xC037_011B],
            FaultKind::Denied,
        ),
        (&[0x8007_0490, 0x490, 0x8007_0002, 2], FaultKind::NotFound),
        (&[0x8007_00B7, 0xB7, 0x8007_0050], FaultKind::AlreadyExists),
        (&[0x8007_0020, 0x20, 0x8007_00AA], FaultKind::Busy),
        (&[0x8037_010D, 0xC037_010D, 0x8007_0057], FaultKind::Invalid),
        (
            &[0x8037_010B, 0x32, 0x8007_0032, 0x8000_4001],
            FaultKind::Unsupported,
        ),
        (&[0x8007_0070], FaultKind::NoSpace),
        (&[0x8000_FFFF, 0xDEAD_BEEF], FaultKind::Failed),
    ] {
        for code in codes {
            assert_eq!(HResult(*code).kind(), kind, "{}", HResult(*code));
            assert!(!HResult(*code).is_success(), "{code:#x}");
        }
    }
    assert!(HResult::OK.is_success());
}

#[test]
fn no_code_is_in_the_table_twice() {
    for (index, known) in KNOWN.iter().enumerate() {
        assert!(
            !KNOWN[index + 1..].iter().any(|other| other.0 == known.0),
            "{known:?}"
        );
        assert_eq!(HResult(known.0).normalised(), HResult(known.0));
    }
}

#[test]
fn a_fault_says_what_the_service_said_and_what_can_be_done() {
    let document = r#"{"Error":-2147024891,"ErrorMessage":"Zugriff\nverweigert",
        "ErrorEvents":[{"Message":"x.vhdx","Provider":"p"},{"Message":""}],"More":1}"#;
    let told = fault_of("attach x", HResult(0x8007_0005), Some(document)).to_string();
    assert!(told.contains("0x80070005 (ERROR_ACCESS_DENIED)"), "{told}");
    assert!(told.contains("Zugriff verweigert; x.vhdx"), "{told}");
    assert!(told.contains("Hyper-V Administrators"), "{told}");
}

#[test]
fn a_document_that_is_none_or_without_end_says_nothing() {
    let long = format!("{{\"ErrorMessage\":\"{}\"}}", "x".repeat(2 << 20));
    for text in ["", "null", "[]", "{", "{\"ErrorMessage\":3}", long.as_str()] {
        assert_eq!(ResultDocument::parse(text).words, "");
    }
    let wordy = format!("{{\"ErrorMessage\":\"{}\"}}", "x".repeat(2000));
    assert_eq!(ResultDocument::parse(&wordy).words.len(), MAX_WORDS);
}
