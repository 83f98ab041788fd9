//! SDDL read and printed: the texts of Windows, refusals with their columns, any text at all.

use proptest::prelude::*;

use super::*;

/// What reads as itself.
const PRINTED: [&str; 21] = [
    // The descriptors of a volume that Windows 10 formatted.
    "O:SYG:BAD:(A;;FR;;;SY)(A;;FR;;;BA)",
    "O:SYG:BAD:(A;;0x12019f;;;SY)(A;;0x12019f;;;BA)",
    "O:BAG:SYD:(A;;FA;;;SY)(A;;FR;;;BA)",
    "O:BAG:SYD:P(A;OICI;FA;;;SY)",
    "O:SYG:SYD:(A;;FA;;;BA)(A;OICIIO;GA;;;BA)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;AU)\
     (A;OICIIO;SDGXGWGR;;;AU)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)",
    "O:BA",
    "G:SY",
    "D:",
    "D:P",
    "D:PARAI",
    "D:NO_ACCESS_CONTROL",
    "D:PAINO_ACCESS_CONTROL",
    "S:NO_ACCESS_CONTROL",
    "D:(A;;;;;WD)",
    "O:BAD:AI(D;OICINPIOID;CCDCLCSWRPWPDTLOCR;;;S-1-5-21-1-2-3-1001)",
    "D:(A;CR;KR;;;S-1-5-93-2-1)S:PARAI(AU;SAFA;0xffffffff;;;WD)(ML;;NWNRNX;;;LW)",
    "S:(ML;;0x10;;;HI)(SP;;;;;S-1-17-1)(TL;;0x1;;;S-1-19-512-4096)(AL;OISA;FA;;;SY)",
    "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464G:S-1-5D:(A;;SD;;;CO)",
    "O:S-1-0x010000000000-1G:S-1-0xABCDEF012345D:",
    "D:(A;;KA;;;WD)(A;;KW;;;AC)(A;;FX;;;OW)(A;;FW;;;UD)(A;;GA;;;SS)",
    "D:AI(A;ID;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;SY)",
];

#[test]
fn what_windows_prints_reads_as_itself() {
    for text in PRINTED {
        let descriptor = SecurityDescriptor::from_sddl(text).unwrap();
        // TL has rights of its own with no letters; the first bit has the letters of files.
        assert_eq!(
            descriptor.to_sddl().unwrap(),
            text.replace("TL;;0x1;", "TL;;CC;")
        );
        let checked = SecurityDescriptor::from_bytes(descriptor.as_bytes());
        assert_eq!(checked, Ok(descriptor));
    }
}

#[test]
fn many_spellings_say_the_same() {
    let cases = [
        ("d:(a;oici;fa;;;ba)o:sy", "O:SYD:(A;OICI;FA;;;BA)"),
        ("D:(A;CIOI;0X1F01FF;;;s-1-5-32-544)", "D:(A;OICI;FA;;;BA)"),
        ("D:(A;;2032127;;;BA)", "D:(A;;FA;;;BA)"),
        ("D:(A;;07;;;BA)", "D:(A;;CCDCLC;;;BA)"),
        ("D:(A;;0;;;BA)", "D:(A;;;;;BA)"),
        (
            "D:(A;;GXGR;;;BA)(A;;GRGX;;;BA)",
            "D:(A;;GXGR;;;BA)(A;;GXGR;;;BA)",
        ),
        ("D:(A;;KX;;;BA)", "D:(A;;KR;;;BA)"),
        ("D:AIARP", "D:PARAI"),
        ("S:(ML;;NXNW;;;LW)D:", "D:S:(ML;;NWNX;;;LW)"),
        ("O:S-1-0x5-18", "O:SY"),
        ("O:S-1-5-32-544G:BA", "O:BAG:BA"),
        (" O: BA\tG: S-1-5-18 \n", "O:BAG:SY"),
        ("O:S-1-5-32-544 G:BA", "O:BAG:BA"),
        (
            "D: P AI\r\n ( A ; OI CI ; FR FW ; ; ; BA )\n (D;;GR;;;WD) S: (ML;;NW;;;LW) ",
            "D:PAI(A;OICI;0x12019f;;;BA)(D;;GR;;;WD)S:(ML;;NW;;;LW)",
        ),
    ];
    for (text, printed) in cases {
        let descriptor = SecurityDescriptor::from_sddl(text);
        let again = descriptor.map(|descriptor| descriptor.to_sddl());
        assert_eq!(again, Ok(Ok(printed.to_owned())), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_column() {
    let cases = [
        (
            "",
            "column 1: the descriptor is empty; write for example D:(A;OICI;FA;;;BA)",
        ),
        (
            "X:BA",
            "column 1: O:, G:, D: or S: should stand here, not 'X'",
        ),
        ("O:", "column 3: an owner is missing"),
        ("O:G:BA", "column 3: an owner is missing"),
        ("O:BAO:BA", "column 5: the owner is given twice"),
        ("O:BAG:BAG:BA", "column 9: the group is given twice"),
        ("D:D:", "column 3: the list D: is given twice"),
        (
            "O:XX",
            "column 3: \"XX\" is no account; write an alias such as BA, or an identifier such as \
             S-1-5-32-544",
        ),
        (
            "O:S-1-5-xG:BA",
            "column 3: \"S-1-5-x\": a security identifier has a sub-authority that is no number \
             below 2^32",
        ),
        (
            "O:BA x",
            "column 6: O:, G:, D: or S: should stand here, not 'x'",
        ),
        ("O: ", "column 4: an owner is missing"),
        (
            " \n",
            "column 3: the descriptor is empty; write for example D:(A;OICI;FA;;;BA)",
        ),
        (
            "D:X",
            "column 3: an entry in parentheses or one of P, AR, AI should stand here, not 'X'",
        ),
        (
            "D:(A;;FA;;;BA",
            "column 14: a ) should end the entry here, not the end",
        ),
        (
            "D:(A;;FA;;BA)",
            "column 11: a type of object, which files have none of; leave the field empty",
        ),
        ("D:(A;;FA;;;)", "column 12: an account is missing"),
        (
            "D:(Q;;FA;;;BA)",
            "column 4: \"Q\" is no kind of entry; write A to allow or D to deny",
        ),
        (
            "D:(A;OIXX;FA;;;BA)",
            "column 8: \"XX\" is none of OI, CI, NP, IO, ID, CR, SA, FA",
        ),
        (
            "D:(A;OICI;FAF;;;BA)",
            "column 13: \"F\" is no right; write FA, FR, FW, FX, GA, GR, ... or a number such as \
             0x1200a9",
        ),
        (
            "D:(A;;0x1ffffffff;;;BA)",
            "column 7: \"0x1ffffffff\" is no number of 32 bits",
        ),
        (
            "D:(A;;0x+1;;;BA)",
            "column 7: \"0x+1\" is no number of 32 bits",
        ),
        (
            "D:(A;;FA)",
            "column 9: a ; and a type of object (empty) should follow here, not ')'; an entry is \
             (kind;flags;rights;;;account)",
        ),
        (
            "D:(AU;SA;FA;;;WD)",
            "column 4: an entry AU belongs into the list S:",
        ),
        (
            "S:(A;;FA;;;WD)",
            "column 4: an entry A belongs into the list D:",
        ),
        (
            "D:NO_ACCESS_CONTROL(A;;FA;;;WD)",
            "column 20: a list with NO_ACCESS_CONTROL has no entries",
        ),
        (
            "D:(A;;FA;;;WD;(x))",
            "column 14: a condition or attribute, which this kind of entry does not have",
        ),
    ];
    for (text, message) in cases {
        let error = SecurityDescriptor::from_sddl(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        assert!(error.column().is_some());
    }
}

#[test]
fn what_is_right_but_not_supported_says_so_with_its_column() {
    let cases = [
        (
            "D:(A;;FA;;;BA)(OA;;RP;bf967aba-0de6-11d0-a285-00aa003049e2;;BA)",
            "column 16: OA begins an entry about types of objects, which files have none of; this \
             is not supported",
        ),
        (
            "D:(XA;;FX;;;WD;(@User.Title==\"VP\"))",
            "column 4: XA begins an entry with a condition; this is not supported",
        ),
        (
            "S:(RA;;;;;WD;(\"a\",TS,0,\"b\"))",
            "column 4: RA begins an entry with attributes of the object; this is not supported",
        ),
        (
            "O:DA",
            "column 3: DA is an account of the domain, which is not known here; write its \
             identifier, S-1-5-21-...-512",
        ),
        (
            "D:(A;;FA;;;LA)",
            "column 12: LA is an account of the machine, which is not known here; write its \
             identifier, S-1-5-21-...-500",
        ),
    ];
    for (text, message) in cases {
        let error = SecurityDescriptor::from_sddl(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        assert_eq!(error.kind(), SddlErrorKind::Unsupported, "{text}");
    }
    for word in ["OD", "OU", "OL", "XD", "ZA", "XU", "FL"] {
        let error = SecurityDescriptor::from_sddl(&format!("D:({word};;FA;;;BA)")).unwrap_err();
        assert_eq!(error.kind(), SddlErrorKind::Unsupported, "{word}");
    }
}

#[test]
fn a_list_that_would_not_fit_is_refused() {
    let entries = "(A;;FA;;;BA)".repeat(5000);
    assert!(SecurityDescriptor::from_sddl(&format!("D:{entries}")).is_err());
    let entries = "(A;;FA;;;BA)".repeat(3000);
    let error = SecurityDescriptor::from_sddl(&format!("D:{entries}")).unwrap_err();
    assert_eq!(
        error.message(),
        "a security descriptor has a list of more than 64 KiB"
    );
    let long = " ".repeat(MAX_SDDL_BYTES + 1);
    assert!(SecurityDescriptor::from_sddl(&long).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        fuzz_sddl(text.as_bytes());
    }

    #[test]
    fn text_near_the_grammar_is_read_or_refused(
        text in "(O:(BA|SY|S-1-5-[0-9]{1,3}|DA))?(G:(WD|S-1-0x1))?\
                 (D:(P|AI|AR)?(\\((A|D|OA|AU)?;(OI|CI|IO|X)?;(FA|GA|0x[0-9a-f]{1,8}|7)?;;;(BA|WD|S-1-15-3-1)?\\)?){0,3})?\
                 (S:(\\((AU|ML);(SA)?;(NW|FA);;;(LW|WD)\\)){0,2})?"
    ) {
        fuzz_sddl(text.as_bytes());
    }

    #[test]
    fn any_entries_are_printed_and_read_back(
        entries in proptest::collection::vec(
            (0_usize..2, any::<u8>(), any::<u32>(), 0_u64..1 << 48,
             proptest::collection::vec(any::<u32>(), 0..16)),
            0..20,
        ),
        control in any::<u16>(),
    ) {
        use crate::security::{Ace, AceFlags, AceKind, AccessMask, Acl, Control, ListPart, Parts};
        let entries = entries.into_iter().map(|(kind, flags, mask, authority, numbers)| {
            let kind = [AceKind::ALLOW, AceKind::DENY][kind];
            let sid = Sid::new(authority, &numbers).unwrap();
            Ace::simple(kind, AceFlags(flags), AccessMask(mask), sid)
        });
        let parts = Parts {
            control: Control(control & 0x1500),
            dacl: ListPart::List(Acl { entries: entries.collect() }),
            ..Parts::default()
        };
        let descriptor = SecurityDescriptor::from_parts(&parts).unwrap();
        fuzz_sddl(descriptor.as_bytes());
        assert_printed_reads_back(&descriptor);
    }

    #[test]
    fn any_bytes_are_a_descriptor_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        offsets in proptest::collection::vec(0_u8..25, 4),
        sound in any::<bool>(),
    ) {
        if sound && bytes.len() > 20 {
            bytes[..4].copy_from_slice(&[1, 0, 0x14, 0x80]);
            for (field, offset) in bytes[4..20].chunks_exact_mut(4).zip(offsets) {
                field.copy_from_slice(&(u32::from(offset) * 4).to_le_bytes());
            }
        }
        fuzz_sddl(&bytes);
    }
}
