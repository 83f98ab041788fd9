//! Names that must be refused, names that must not, and the invariant for all that are accepted.

use std::path::{Component, Path};

use proptest::prelude::*;

use super::*;

/// Names that must be refused, by what they are.
const BAD_NAMES: &[(&str, &[&str])] = &[
    ("nothing", &[""]),
    (
        "traversal",
        &[
            ".",
            "..",
            "...",
            "../x",
            "..\\x",
            "a/../b",
            "a/..",
            "a\\..\\b",
            "./a",
            ".\\a",
            "a/.",
            "..%2fx",
            "%2e%2e",
            "..;",
            "x/../../etc/passwd",
            "....//",
            "..\u{2215}x",
        ],
    ),
    (
        "separators and absolute paths",
        &[
            "/",
            "\\",
            "a/b",
            "a\\b",
            "/etc",
            "\\Windows",
            "a/",
            "a\\",
            "//host/share",
            "/dev/sda",
            "\u{2044}a",
            "a\u{ff0f}b",
            "a\u{ff3c}b",
            "a\u{29f5}b",
        ],
    ),
    (
        "drives, devices and shares",
        &[
            "C:",
            "C:foo",
            "C:\\foo",
            "c:/foo",
            "c",
            "C",
            "z",
            "\\\\server\\share",
            "\\\\?\\C:\\x",
            "\\\\.\\PhysicalDrive0",
            "\\\\.\\pipe\\x",
            "\\??\\C:\\x",
            "\\\\?\\UNC\\s\\x",
            "//./nul",
            "GLOBALROOT\\Device",
            "file:///x",
            "http://x",
            "smb:x",
        ],
    ),
    (
        "streams",
        &[
            "a:b",
            "a:",
            ":a",
            "a::$DATA",
            "a:b:$DATA",
            "data.txt:zone.identifier",
            "a::",
        ],
    ),
    (
        "reserved devices",
        &[
            "con",
            "CON",
            "Con",
            "cOn",
            "prn",
            "PRN",
            "aux",
            "AUX",
            "nul",
            "NUL",
            "con.txt",
            "CON.TXT",
            "nul.tar.gz",
            "aux.",
            "aux .txt",
            "nul ",
            "nul.",
            "con .x",
            "com0",
            "com1",
            "COM1",
            "com2",
            "com3",
            "com4",
            "com5",
            "com6",
            "com7",
            "com8",
            "com9",
            "Com9.log",
            "lpt0",
            "lpt1",
            "LPT1",
            "lpt2",
            "lpt3",
            "lpt4",
            "lpt5",
            "lpt6",
            "lpt7",
            "lpt8",
            "lpt9",
            "lpt9.x.y",
            "COM\u{b9}",
            "COM\u{b2}",
            "COM\u{b3}",
            "com\u{b9}.txt",
            "LPT\u{b9}",
            "lpt\u{b2}",
            "lpt\u{b3}.x",
            "CONIN$",
            "conin$",
            "CONOUT$",
            "conout$.x",
            "CLOCK$",
        ],
    ),
    (
        "short names",
        &[
            "PROGRA~1",
            "a~1",
            "VOLUM~12.VHD",
            "~",
            "~1",
            "a~",
            "data~2.x",
        ],
    ),
    (
        "ends that Windows drops",
        &["a.", "a..", "a ", "a. ", "a .", "data.  ", "x. . ."],
    ),
    (
        "control characters",
        &[
            "a\0",
            "\0",
            "a\0b",
            "a\nb",
            "a\r",
            "\ta",
            "a\u{1b}[31m",
            "a\u{7f}",
            "a\u{85}b",
            "\u{9b}m",
        ],
    ),
    (
        "wildcards and what shells act on",
        &[
            "*", "a*", "a?", "a<b", "a>b", "a|b", "a\"b", "a'b", "$(x)", "a;b", "a`b", "a&b",
            "a b", "a%b", "!a", "a$b", "a#b", "a@b", "a=b", "a,b", "a+b", "(a)", "[a]", "{a}",
            "a^b",
        ],
    ),
    (
        "first characters",
        &["-a", "--help", "-", "_a", "_", ".a", ".hidden", "-rf"],
    ),
    (
        "beyond ASCII",
        &[
            "\u{e4}b",
            "na\u{ef}ve",
            "\u{202e}abc",
            "a\u{200b}b",
            "\u{feff}a",
            "\u{ff23}on",
            "\u{17f}ave",
            "K\u{212a}",
            "\u{1f4be}",
            "\u{661}a",
            "\u{430}bc",
            "a\u{301}",
        ],
    ),
];

#[test]
fn a_bad_name_is_refused() {
    let mut count = 0;
    for (what, names) in BAD_NAMES {
        for name in *names {
            assert!(VolumeName::parse(name).is_err(), "{what}: {name:?}");
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
    assert!(VolumeName::parse(&"a".repeat(MAX_NAME_LENGTH + 1)).is_err());
    assert!(VolumeName::parse(&"\u{e4}".repeat(40)).is_err());
}

#[test]
fn the_error_says_which_rule_is_broken() {
    let cases = [
        ("", NameProblem::Empty),
        ("a/b", NameProblem::Separator),
        ("C:foo", NameProblem::Colon),
        ("a\0", NameProblem::Control),
        ("COM\u{b2}", NameProblem::Reserved),
        ("con.txt", NameProblem::Reserved),
        ("nul ", NameProblem::Reserved),
        ("PROGRA~1", NameProblem::ShortName),
        ("c", NameProblem::DriveLetter),
        ("-rf", NameProblem::FirstCharacter),
        ("data.", NameProblem::LastCharacter),
        ("a b", NameProblem::Character(' ')),
    ];
    for (name, problem) in cases {
        let error = VolumeName::parse(name).unwrap_err();
        assert_eq!(error.problem(), problem, "{name:?}");
    }
    let error = VolumeName::parse(&"\u{1b}".repeat(5000)).unwrap_err();
    assert!(error.to_string().len() < 1000 && !error.to_string().contains('\u{1b}'));
}

#[test]
fn a_name_of_every_day_is_accepted_as_it_is() {
    let longest = "a".repeat(MAX_NAME_LENGTH);
    for name in [
        "data",
        "Data",
        "web-1",
        "my_volume",
        "a.b.c",
        "0",
        "42",
        "console",
        "con1",
        "com",
        "com10",
        "lpt",
        "nul1",
        "auxiliary",
        "x64",
        "db..bak",
        "A9",
        "con-txt",
        "mycon.txt",
        &longest,
    ] {
        let parsed = VolumeName::parse(name).unwrap();
        assert_eq!(parsed.as_str(), name);
    }
}

#[test]
fn names_that_differ_in_case_only_share_their_key() {
    let [one, other] = ["Data.X", "dATA.x"].map(|name| VolumeName::parse(name).unwrap());
    assert_ne!(one, other);
    assert_eq!(one.key(), other.key());
}

#[test]
fn every_string_of_the_fuzzers_corpus_keeps_the_invariant() {
    for (_, names) in BAD_NAMES {
        for name in *names {
            fuzz_name(name.as_bytes());
        }
    }
    fuzz_name(b"\xff\xfe");
    fuzz_name(b"data");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn an_accepted_name_joined_to_a_folder_is_its_direct_child(
        name in "[a-zA-Z0-9_.~:$ /\\\\\u{b2}-]{1,8}|(con|COM|nul|lpt|AUX)[0-9.]{0,3}|\\PC{0,6}"
    ) {
        fuzz_name(name.as_bytes());
        if VolumeName::parse(&name).is_ok() {
            let joined = Path::new("/root").join(&name);
            prop_assert_eq!(joined.parent(), Some(Path::new("/root")));
            let mut components = Path::new(&name).components();
            prop_assert_eq!(components.next(), Some(Component::Normal(name.as_ref())));
            prop_assert_eq!(components.next(), None);
        }
    }
}
