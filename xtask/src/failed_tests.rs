//! What tests that failed had to say, kept in a file: in a long log the last lines are all that is
//! looked at, and a test that fails once in a hundred runs cannot be asked again.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use crate::workspace;

/// Lines kept of the beginning of what a test said, and as many of the message it panicked with.
const LINES: usize = 40;

/// The file.
fn path() -> PathBuf {
    workspace::target().join("failed-tests.txt")
}

/// Forgets what failed before.
pub(crate) fn forget() {
    // It is absent where nothing failed.
    let _ = fs::remove_file(path());
}

/// Picks the failed tests with their output out of what test programs print.
#[derive(Debug, Default)]
pub(crate) struct FailedTests {
    kept: Vec<String>,
    /// Lines left for the test that is being told of; none outside.
    left: Option<usize>,
}

impl FailedTests {
    /// Takes in a line. The output of each failed test stands below `---- NAME stdout ----`, and ends
    /// with the list of names below `failures:`.
    pub(crate) fn take(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            self.left = Some(LINES);
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.left = None;
        } else if line == "stack backtrace:" {
            self.left = self.left.map(|_| 0);
        } else if line.contains("' panicked at ") || line.contains(") panicked at ") {
            self.left = self.left.map(|_| LINES);
        }
        if let Some(left) = &mut self.left
            && *left > 0
        {
            *left -= 1;
            self.kept.push(line.to_owned());
        }
    }

    /// Adds them to the file.
    pub(crate) fn keep(&self) {
        if self.kept.is_empty() {
            return;
        }
        let text = self.kept.join("\n") + "\n";
        let opened = OpenOptions::new().create(true).append(true).open(path());
        if let Err(error) = opened.and_then(|mut file| file.write_all(text.as_bytes())) {
            println!("failed tests are not kept: {}: {error}", path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FailedTests, LINES};

    #[test]
    fn what_failed_tests_said_is_kept_without_backtraces_and_names() {
        let mut failed = FailedTests::default();
        let output = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nit said so\n\
             thread 'b' (7) panicked at x.rs:1\nstack backtrace:\n   0: main\n\n---- c stdout ----\nand c\n\n\
             failures:\n    b\n    c\n\ntest result: FAILED. 1 passed; 2 failed";
        output.lines().for_each(|line| failed.take(line));
        assert_eq!(
            failed.kept,
            [
                "---- b stdout ----",
                "it said so",
                "thread 'b' (7) panicked at x.rs:1",
                "---- c stdout ----",
                "and c",
                ""
            ]
        );
    }

    #[test]
    fn of_one_test_so_many_lines_are_kept() {
        let mut failed = FailedTests::default();
        failed.take("---- b stdout ----");
        (0..LINES * 2).for_each(|_| failed.take("a line"));
        assert_eq!(failed.kept.len(), LINES);
        failed.take("thread 'b' (7) panicked at x.rs:1:");
        assert_eq!(failed.kept.len(), LINES + 1, "whatever stands before it");
    }
}
