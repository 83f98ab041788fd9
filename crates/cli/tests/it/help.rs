//! Help, version, completions, manual pages.

use crate::{Scratch, names_in};

const VERBS: [&str; 14] = [
    "create",
    "ls",
    "inspect",
    "rm",
    "prune",
    "cp",
    "cat",
    "tree",
    "acl",
    "check",
    "info",
    "convert",
    "diff-create",
    "completions",
];

#[test]
fn the_help_names_every_verb_and_no_hidden_one() {
    let run = Scratch::new().ok(&["--help"]);
    for verb in VERBS {
        let line = format!("\n  {verb} ");
        assert!(run.stdout.contains(&line), "{verb}");
    }
    assert!(!run.stdout.contains("\n  man "));
    assert!(run.stdout.contains("Exit codes:"));
    assert!(run.stdout.contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn the_help_of_every_verb_has_examples() {
    let scratch = Scratch::new();
    for verb in VERBS {
        let run = scratch.ok(&[verb, "--help"]);
        assert!(run.stdout.contains("Examples:"), "{verb}");
        assert!(run.stdout.contains(&format!("  cvol {verb}")), "{verb}");
    }
}

#[test]
fn the_version_is_one_line() {
    let run = Scratch::new().ok(&["--version"]);
    assert_eq!(run.stdout, format!("cvol {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_shell_gets_a_completion_script_with_the_verbs() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let run = scratch.ok(&["completions", shell]);
        assert!(run.stdout.contains("inspect"), "{shell}");
        assert!(run.stdout.contains("cvol"), "{shell}");
    }
}

#[test]
fn a_manual_page_is_written_for_the_command_and_each_verb() {
    let scratch = Scratch::new();
    scratch.ok(&["man", "pages/man1"]);
    let mut expected: Vec<String> = VERBS.iter().map(|verb| format!("cvol-{verb}.1")).collect();
    expected.push("cvol.1".to_owned());
    expected.sort();
    let pages = scratch.path("pages/man1");
    let names = names_in(&pages);
    for page in &expected {
        assert!(names.contains(page), "{page} of {names:?}");
    }
    let page = std::fs::read_to_string(pages.join("cvol-create.1")).unwrap();
    assert!(page.contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn help_makes_no_store() {
    let scratch = Scratch::new();
    scratch.ok(&["help", "create"]);
    scratch.ok(&["completions", "bash"]);
    assert!(!scratch.path("store").exists());
}
