//! Rules for Rust files.

use super::Findings;
use super::code::only_code;
use super::files::TextFile;

/// Past this many lines a file is pointed out: look for its second concept.
const LONG: usize = 500;
/// Past this many lines a file is refused.
const TOO_LONG: usize = 600;

/// Files and folders where the operating system is called, or C calls us, which alone may hold `unsafe`
/// code.
const MAY_BE_UNSAFE: &[&str] = &[
    "crates/attach/src/hcs/hvsocket/windows.rs",
    "crates/attach/src/hcs/library/windows.rs",
    "crates/attach/src/virtdisk/library/functions.rs",
    "crates/attach/src/virtdisk/library/windows.rs",
    "crates/blockio/src/file/",
    "crates/blockio/src/platform/",
    "crates/capi/src/",
    "crates/guest_agent/src/linux/freezing.rs",
    "crates/guest_agent/src/windows/calls.rs",
    "crates/guest_agent/src/windows/hvsocket.rs",
    "crates/hcs_double/src/exports",
    "crates/hcs_double/tests/it/loaded.rs",
    "crates/virtdisk_double/src/",
    "crates/virtdisk_double/tests/it/loaded.rs",
    "crates/volume/src/platform/windows_access.rs",
    "crates/volume/src/platform/windows_network.rs",
    "crates/volume/src/platform/windows_secret.rs",
    "crates/volume/src/platform/windows_space.rs",
];

/// What is never committed, with the reason.
const NEVER: [(&str, &str); 4] = [
    ("todo!", "unfinished code"),
    ("unimplemented!", "unfinished code"),
    ("dbg!", "left from debugging"),
    ("#[ignore", "a test that does not run is no test"),
];

pub(crate) fn check(file: &TextFile, findings: &mut Findings) {
    let name = file.name();
    if !file.text.starts_with("//!") {
        findings.error(&name, "a file opens with //! and says what it is for");
    }
    let lines = file.text.lines().count();
    if lines > TOO_LONG {
        findings.error(
            &name,
            format!("{lines} lines, {TOO_LONG} at most: find the second concept"),
        );
    } else if lines > LONG {
        findings.note(&name, format!("{lines} lines: is there a second concept?"));
    }
    let may_be_unsafe = MAY_BE_UNSAFE.iter().any(|place| name.starts_with(place));
    for (index, line) in only_code(&file.text).lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        for (word, reason) in NEVER {
            if line.contains(word) && !follows_a_letter(line, word) {
                findings.error(&place, format!("{word} ({reason})"));
            }
        }
        if !may_be_unsafe && has_word(line, "unsafe") {
            findings.error(
                &place,
                "unsafe code stands only where the operating system is called",
            );
        }
    }
}

/// Whether `word` in the line is the end of a longer name.
fn follows_a_letter(line: &str, word: &str) -> bool {
    let before = line.split(word).next().unwrap_or_default();
    before
        .chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(name: &str, text: &str) -> usize {
        let mut findings = Findings::default();
        let file = TextFile {
            path: name.into(),
            text: text.to_owned(),
        };
        check(&file, &mut findings);
        findings.errors().len()
    }

    #[test]
    fn each_rule_finds_its_fault_and_leaves_the_rest_alone() {
        let cases = [
            ("//! Fine.\nfn f() {}\n", 0),
            ("fn f() {}\n", 1),
            ("//! Fine.\nfn f() { todo!() }\n", 1),
            ("//! Fine.\nfn f() { mytodo!() }\n", 0),
            ("//! Fine.\n// todo!() unsafe\nfn f() { g(\"dbg!\") }\n", 0),
            ("//! Fine.\n#[ignore = \"slow\"]\nfn f() {}\n", 1),
            ("//! Fine.\nfn f() { unsafe { g() } }\n", 1),
            ("//! Fine.\n#![deny(unsafe_code)]\n", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(errors("crates/vdisk/src/lib.rs", text), expected, "{text}");
        }
    }

    #[test]
    fn unsafe_code_is_left_alone_where_the_system_is_called() {
        let text = "//! Fine.\nfn f() { unsafe { g() } }\n";
        assert_eq!(errors("crates/blockio/src/file/windows.rs", text), 0);
    }

    #[test]
    fn a_file_of_601_lines_is_refused_and_one_of_600_is_not() {
        let lines = |count: usize| "//! Fine.\n".repeat(count);
        assert_eq!(errors("a.rs", &lines(600)), 0);
        assert_eq!(errors("a.rs", &lines(601)), 1);
    }
}
