//! The name policy: each rule, collisions, and determinism.

use super::*;

fn ascii_upcase(unit: u16) -> u16 {
    match unit {
        0x61..=0x7A | 0xE0..=0xF6 => unit - 0x20,
        other => other,
    }
}

fn rules(policy: NamePolicy) -> NameRules<'static> {
    NameRules {
        policy,
        case: CasePolicy::Rename,
        upcase: &ascii_upcase,
    }
}

fn name(text: &str) -> NodeName {
    NodeName::from_text(text).unwrap()
}

fn admit_all(names: &[&str]) -> (Vec<String>, Vec<NameNote>) {
    let mut siblings = SiblingNames::new();
    let mut notes = Vec::new();
    let stored = names
        .iter()
        .map(|text| {
            siblings
                .admit(
                    &name(text),
                    &rules(NamePolicy::Map),
                    &|| format!("dir/{text}"),
                    &mut notes,
                )
                .unwrap()
                .name
                .to_string()
        })
        .collect();
    (stored, notes)
}

#[test]
fn forbidden_characters_move_to_the_private_area() {
    let (stored, notes) = admit_all(&["a<b>c:d\"e\\f|g?h*i", "tab\there"]);
    assert_eq!(
        stored[0],
        "a\u{F03C}b\u{F03E}c\u{F03A}d\u{F022}e\u{F05C}f\u{F07C}g\u{F03F}h\u{F02A}i"
    );
    assert_eq!(stored[1], "tab\u{F009}here");
    assert_eq!(notes.len(), 2);
    assert_eq!(notes[0].reason, NameProblem::ForbiddenCharacter);
    assert_eq!(notes[0].path, "dir/a<b>c:d\"e\\f|g?h*i");
    assert_eq!(notes[0].stored_as, stored[0]);
}

#[test]
fn the_last_dot_or_space_is_mapped_and_leading_ones_stay() {
    let (stored, notes) = admit_all(&["ends.", "ends ", " .begins", "two..", "..."]);
    assert_eq!(
        stored,
        [
            "ends\u{F02E}",
            "ends\u{F020}",
            " .begins",
            "two.\u{F02E}",
            "..\u{F02E}"
        ]
    );
    assert_eq!(notes.len(), 4);
    assert!(
        notes
            .iter()
            .all(|n| n.reason == NameProblem::TrailingDotOrSpace)
    );
}

#[test]
fn names_that_differ_in_case_only_are_numbered_before_the_extension() {
    let (stored, notes) = admit_all(&[
        "readme.txt",
        "README.TXT",
        "Readme.txt",
        "Makefile",
        "makefile",
        ".Git",
        ".git",
    ]);
    assert_eq!(
        stored,
        [
            "readme.txt",
            "README (2).TXT",
            "Readme (3).txt",
            "Makefile",
            "makefile (2)",
            ".Git",
            ".git (2)"
        ]
    );
    assert_eq!(notes.len(), 4);
    assert!(notes.iter().all(|n| n.reason == NameProblem::Collision));
}

#[test]
fn a_number_that_is_taken_is_passed_over() {
    let (stored, _) = admit_all(&["a", "a (2)", "A", "A (2)"]);
    assert_eq!(stored, ["a", "a (2)", "A (3)", "A (2) (2)"]);
}

#[test]
fn names_that_collide_after_mapping_are_numbered_too() {
    let (stored, notes) = admit_all(&["a\u{F03A}b", "a:b"]);
    assert_eq!(stored, ["a\u{F03A}b", "a\u{F03A}b (2)"]);
    assert_eq!(notes.len(), 1);
}

#[test]
fn a_numbered_name_still_fits_and_cuts_no_surrogate_pair() {
    let long = "x".repeat(251) + ".ext";
    assert_eq!(numbered(name(&long).units(), 2).len(), NAME_MAX_UNITS);
    let pairs: String = "\u{1F600}".repeat(127);
    let units = numbered(name(&pairs).units(), 12);
    assert!(units.len() <= NAME_MAX_UNITS);
    assert!(String::from_utf16(&units).is_ok());
}

#[test]
fn device_names_are_stored_and_noted() {
    let (stored, notes) = admit_all(&[
        "CON",
        "aux.txt",
        "com1",
        "LPT9.log",
        "nul .x",
        "com\u{B9}",
        "conin$",
        "console",
        "com0",
        "com10",
    ]);
    assert_eq!(stored[1], "aux.txt");
    assert_eq!(notes.len(), 7);
    assert!(
        notes
            .iter()
            .all(|n| n.reason == NameProblem::ReservedDevice)
    );
}

#[test]
fn strict_names_the_path_of_what_it_refuses() {
    let strict = rules(NamePolicy::Strict);
    for (first, second, reason) in [
        ("x", "a:b", NameProblem::ForbiddenCharacter),
        ("x", "a ", NameProblem::TrailingDotOrSpace),
        ("x", "X", NameProblem::Collision),
    ] {
        let mut siblings = SiblingNames::new();
        let mut notes = Vec::new();
        siblings
            .admit(&name(first), &strict, &|| first.into(), &mut notes)
            .unwrap();
        let error = siblings
            .admit(
                &name(second),
                &strict,
                &|| format!("d/{second}"),
                &mut notes,
            )
            .unwrap_err();
        assert_eq!(error, NameError::new(format!("d/{second}"), reason));
    }
    let mut notes = Vec::new();
    SiblingNames::new()
        .admit(&name("CON"), &strict, &|| "CON".into(), &mut notes)
        .unwrap();
    assert_eq!(notes.len(), 1);
}

#[test]
fn reserved_names_cannot_be_taken() {
    let map = rules(NamePolicy::Map);
    let mft: Vec<u16> = "$MFT".encode_utf16().collect();
    let mut siblings = SiblingNames::with_reserved([mft.as_slice()], &map);
    let stored = siblings
        .admit(&name("$mft"), &map, &|| "$mft".into(), &mut Vec::new())
        .unwrap();
    assert_eq!(stored.name.to_string(), "$mft (2)");
}

#[test]
fn impossible_names_are_refused_when_they_are_made() {
    let reason = |text: &str| NodeName::from_text(text).unwrap_err().reason();
    assert_eq!(reason(""), NameProblem::Empty);
    assert_eq!(reason("."), NameProblem::DotOrDotDot);
    assert_eq!(reason(".."), NameProblem::DotOrDotDot);
    assert_eq!(reason("a\0b"), NameProblem::Nul);
    assert_eq!(reason(&"n".repeat(256)), NameProblem::TooLong);
    assert!(NodeName::from_text(&"n".repeat(255)).is_ok());
    assert!(NodeName::new(vec![0xD800]).is_ok());
}

#[test]
fn names_that_differ_in_case_are_kept_or_refused_where_that_is_asked_for() {
    let admit = |case, names: &[&str]| {
        let rules = NameRules {
            case,
            ..rules(NamePolicy::Map)
        };
        let mut siblings = SiblingNames::with_reserved([name("$MFT").units()], &rules);
        let mut notes = Vec::new();
        let admitted: Vec<_> = names
            .iter()
            .map(|text| {
                let admitted = siblings.admit(&name(text), &rules, &|| (*text).into(), &mut notes);
                admitted.map(|name| (name.name.to_string(), name.differs_in_case_only))
            })
            .collect();
        (admitted, notes.len())
    };
    let names = ["a", "A", "a", "$mft"];
    let (kept, notes) = admit(CasePolicy::KeepBoth, &names);
    let kept: Vec<_> = kept.into_iter().map(Result::unwrap).collect();
    let expected = [
        ("a", false),
        ("A", true),
        ("a (2)", false),
        ("$mft (2)", false),
    ];
    assert_eq!(
        kept,
        expected.map(|(name, differs)| (name.to_owned(), differs))
    );
    assert_eq!(notes, 3);
    let (refused, _) = admit(CasePolicy::Refuse, &names);
    let refused: Vec<_> = refused.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, true, true]);
}
