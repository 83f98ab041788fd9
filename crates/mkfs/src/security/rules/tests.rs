//! Which line wins, what patterns match, and where a wrong line is wrong.

use super::*;

/// The text that the rules give a path.
fn found(rules: &AccessRules, path: &str) -> Option<String> {
    let fold = Fold::new();
    let mut progress = rules.at_root();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        progress = rules.step(&progress, &NodeName::from_text(name).unwrap(), &fold);
    }
    let rule = rules.matched(&progress)?;
    Some(
        rules
            .descriptor(rule)
            .map_or(INHERIT.to_owned(), |sd| sd.to_sddl().unwrap()),
    )
}

#[test]
fn the_last_line_that_matches_wins() {
    let rules = AccessRules::parse(
        "\u{feff}# the tree\n\
         / D:(A;;FA;;;BA)\n\
         \n\
         /Logs\tD:(A;;FA;;;SY)\r\n\
         logs/*  D:(A;;FA;;;BU)\n\
         \"/Program Files/**/*.EXE\"   D:(A;;FX;;;WD)\n\
         /**/secret?  D:P\n\
         /logs/secret2 inherit\n\
         /deep/** D:(A;;FR;;;WD)\n",
    )
    .unwrap();
    assert_eq!((rules.len(), rules.is_empty()), (7, false));
    let cases = [
        ("/", Some("D:(A;;FA;;;BA)")),
        ("/logs", Some("D:(A;;FA;;;SY)")),
        ("/LOGS/a", Some("D:(A;;FA;;;BU)")),
        ("/logs/a/b", None),
        ("/program files/x.exe", Some("D:(A;;FX;;;WD)")),
        ("/Program Files/a/b/x.Exe", Some("D:(A;;FX;;;WD)")),
        ("/Program Files/a/b/x.exe.bak", None),
        ("/secret1", Some("D:P")),
        ("/a/b/secret\u{e4}", Some("D:P")),
        ("/a/b/secret", None),
        ("/logs/secret1", Some("D:P")),
        ("/logs/secret2", Some("inherit")),
        ("/deep", Some("D:(A;;FR;;;WD)")),
        ("/deep/a/b/c", Some("D:(A;;FR;;;WD)")),
        ("/other", None),
    ];
    for (path, expected) in cases {
        assert_eq!(found(&rules, path).as_deref(), expected, "{path}");
    }
}

#[test]
fn stars_match_as_shells_have_it() {
    let fold = Fold::new();
    let cases = [
        ("*", "abc", true),
        ("a*c", "abbbc", true),
        ("a*c", "abbbd", false),
        ("*a*b*", "xxaxxbxx", true),
        ("*a*b*", "xxbxxaxx", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("\u{e4}*", "\u{c4}x", true),
        ("a**b", "ab", true),
    ];
    for (pattern, name, expected) in cases {
        let pieces = pieces(pattern, 1).unwrap();
        let units: Vec<u16> = name.encode_utf16().collect();
        assert_eq!(
            matches(&pieces, &units, &fold),
            expected,
            "{pattern} {name}"
        );
    }
    // Many stars against a long name that almost matches: bounded, not exponential.
    let pieces = pieces(&"*a".repeat(100), 1).unwrap();
    let units: Vec<u16> = "a".repeat(99).encode_utf16().collect();
    assert!(!matches(&pieces, &units, &fold));
}

#[test]
fn a_wrong_line_is_named_with_line_and_column() {
    let cases = [
        (
            "# x\n/a",
            "line 2, column 3: a descriptor is missing: SDDL, the name of a preset, or inherit",
        ),
        (
            "/a b",
            "line 1, column 4: \"b\" is neither SDDL nor one of container-users, \
             administrators, everyone-read, inherit",
        ),
        (
            "  /\u{e4}  D:(A;;FAX;;;BA)",
            "line 1, column 15: \"X\" is no right; write FA, FR, FW, FX, GA, GR, ... or a \
             number such as 0x1200a9",
        ),
        (
            "/a//b D:",
            "line 1, column 4: a name is missing between two slashes",
        ),
        (
            "/a/../b D:",
            "line 1, column 4: a path has neither . nor ..",
        ),
        (
            "a\\b D:",
            "line 1, column 2: no name holds this character; names are parted by /",
        ),
        (
            "\"/a D:",
            "line 1, column 1: the quotation mark is not closed",
        ),
        (
            "\"/a\"D:",
            "line 1, column 5: a blank should follow the quotation mark",
        ),
        (
            "\"\" D:",
            "line 1, column 2: a pattern is missing; / is the root",
        ),
    ];
    for (text, message) in cases {
        let error = AccessRules::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        assert!(!error.is_unsupported());
    }
    let error = AccessRules::parse("/ D:(A;;FA;;;DA)").unwrap_err();
    assert!(error.is_unsupported());
    assert_eq!((error.line(), error.column()), (1, 14));
    assert!(AccessRules::parse(&"/ D:\n".repeat(5000)).is_err());
    assert!(AccessRules::parse(&format!("{} D:", "/a".repeat(70))).is_err());
}
