//! Wrong command lines, the form of errors, exit codes, and readers that go away.

use std::io::Read;
use std::process::Stdio;

use crate::{Scratch, started};

#[test]
fn a_wrong_command_line_ends_with_2_and_says_why() {
    let scratch = Scratch::new();
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["create"],
        &["create", "a", "--size", "12 parsecs"],
        &["create", "a", "--sise", "1G"],
        &["create", "a", "--names", "loose"],
        &["ls", "--json", "--quiet"],
        &["ls", "data:/x", "--filter", "name=a"],
        &["tree"],
        &["tree", "data", "-L", "0"],
        &["cat", "data"],
        &["convert", "a.vhd"],
        &["completions", "csh"],
        &["info", "a", "--image", "--volume"],
        &["--root", "", "ls"],
    ] {
        let run = scratch.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(!run.stderr.is_empty(), "{arguments:?}");
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    assert!(!scratch.path("store").exists());
}

#[test]
fn an_error_says_what_and_where_and_what_to_do() {
    let scratch = Scratch::new();
    let run = scratch.run(&["inspect", "nowhere"]);
    assert_eq!(run.code, 3);
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert!(lines[0].starts_with("cvol: ") && lines[0].contains("nowhere"));
    assert!(lines[1].starts_with("hint: "));
    assert_eq!(run.stdout, "[]\n");
}

#[test]
fn with_json_errors_are_documents_too() {
    let scratch = Scratch::new();
    let error = scratch.json_error(&["cat", "nowhere:/x"], 3);
    assert_eq!(error["error"]["kind"], "not_found");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("nowhere")
    );
    assert!(error["error"]["hint"].is_string());
    let error = scratch.json_error(&["create", "a", "--size", "x"], 2);
    assert_eq!(error["error"]["kind"], "invalid_argument");
}

#[test]
fn names_that_are_none_are_refused_with_2() {
    let scratch = Scratch::new();
    for name in [
        "con", "../up", "a/b", "-x", "a:b", "", "x", "nul.txt", "a b",
    ] {
        let run = scratch.run(&["create", "--size", "16M", "--fs", "none", "--", name]);
        assert_eq!(run.code, 2, "{name:?}: {}", run.stderr);
    }
}

#[test]
fn an_option_string_error_names_the_column() {
    let run = Scratch::new().run(&["create", "data", "-o", "size=1G,fs=ntsf"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("column 12"), "{}", run.stderr);
    assert!(run.stderr.contains("did you mean ntfs?"), "{}", run.stderr);
}

#[test]
fn an_option_given_as_flag_and_in_the_string_is_refused() {
    let run = Scratch::new().run(&["create", "data", "--size", "1G", "-o", "size=2G"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("given twice"), "{}", run.stderr);
}

#[test]
fn what_is_not_supported_ends_with_7() {
    let scratch = Scratch::new();
    let run = scratch.run(&["create", "data", "--fs", "refs"]);
    if cfg!(windows) {
        // Windows itself makes it; Wine has nothing that could, and says so in its own way.
        assert_ne!(run.code, 0);
        assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "");
    } else {
        assert_eq!(run.code, 7);
    }
    let run = scratch.run(&["cp", "data:/x", "data:/y"]);
    assert_eq!(run.code, 7);
    assert!(run.stderr.contains("not supported"), "{}", run.stderr);
}

#[test]
fn an_epoch_that_is_no_number_is_refused() {
    let scratch = Scratch::new();
    let output = started(|| {
        let mut command = scratch.command(&["create", "data", "--size", "16M", "--fs", "none"]);
        command.env("SOURCE_DATE_EPOCH", "yesterday").output()
    });
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "");
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let scratch = Scratch::new();
    scratch.write("store/precious.txt", b"x");
    let run = scratch.run(&["ls"]);
    assert_ne!(run.code, 0);
    assert_eq!(crate::names_in(&scratch.path("store")), ["precious.txt"]);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let scratch = Scratch::new();
    let mut child = started(|| {
        let mut command = scratch.command(&["completions", "zsh"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn()
    });
    // Nobody ever reads: the pipe is closed before the program has written.
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stderr, "");
}
