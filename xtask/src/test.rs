//! `cargo xtask test`: everything that is tested on this machine, set-up included.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::arguments::Arguments;
use crate::failed_tests::{self, FailedTests};
use crate::failure::{Failure, Outcome};
use crate::setup::Group;
use crate::{agent, process, setup};

/// How many crash states the tests of VHDX images try at least; plain `cargo test` tries fewer.
const CRASH_STATES: &str = "CVOL_CRASH_STATES";
/// How many random histories the tests of changes at rest try; plain `cargo test` tries fewer.
const CHANGE_HISTORIES: &str = "CVOL_CHANGE_HISTORIES";

pub(crate) const HELP: &str = "\
usage: cargo xtask test [-p CRATE]... [--skip-missing] [-- ARGS]

Installs the independent tools that judge cvol (as root; otherwise says which to install), then
runs every test: unit, documentation and end-to-end tests, the fuzz corpus, and 100,000 simulated
crashes of VHDX images (or CVOL_CRASH_STATES), and 5,000 random histories of changes to volumes at
rest (or CVOL_CHANGE_HISTORIES).

  -p CRATE         only this crate; may be given several times
  --skip-missing   go on without tools that are missing: their tests are skipped by name

Words after -- go to the test programs. With CI=true in the environment a test that lacks its tool
fails.
";

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let crates = arguments.options("-p")?;
    let skip_missing = arguments.flag("--skip-missing");
    let words = arguments.after_dashes();
    arguments.finish()?;
    failed_tests::forget();
    prepare(skip_missing)?;

    let mut command = process::cargo();
    command
        .arg("test")
        .env("CVOL_NTFSCK", setup::ntfsck::program())
        .env("CVOL_GUEST", setup::guest::folder())
        .env("CVOL_DISSECT", setup::dissect::python());
    if cfg!(target_os = "linux") {
        command.env("CVOL_GUEST_AGENT", agent::build()?);
    }
    if std::env::var_os(CRASH_STATES).is_none() {
        command.env(CRASH_STATES, "100000");
    }
    if std::env::var_os(CHANGE_HISTORIES).is_none() {
        command.env(CHANGE_HISTORIES, "5000");
    }
    if crates.is_empty() {
        command.arg("--workspace");
    }
    for name in &crates {
        command.args(["-p", name]);
    }
    command.arg("--no-fail-fast");
    if process::in_ci() {
        command.arg("--locked");
    }
    if !words.is_empty() {
        command.arg("--").args(&words);
    }
    let (outcome, count) = run_counted(&mut command)?;
    count.show();
    outcome
}

pub(crate) fn prepare(skip_missing: bool) -> Outcome {
    setup::require(&[Group::Build])?;
    if !skip_missing {
        setup::require(&[Group::Test])?;
        // They are not to be had on every system; where one is lacking its tests are skipped by
        // name, but not in CI.
        return match setup::prepare_judges() {
            Err(failure) if !process::in_ci() => {
                println!("test: {failure}");
                Ok(())
            }
            outcome => outcome,
        };
    }
    let missing = setup::missing_programs(&[Group::Test]);
    if !missing.is_empty() {
        println!(
            "test: tests of these tools are skipped: {}",
            missing.join(", ")
        );
    }
    Ok(())
}

/// How many tests ran, by the closing lines of the test programs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    passed: u64,
    failed: u64,
    programs: u64,
}

impl Count {
    /// Takes in a line such as `test result: ok. 5 passed; 0 failed; 0 ignored; ...`.
    fn take(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        let number = |part: &str, what: &str| {
            part.trim()
                .strip_suffix(what)
                .and_then(|text| text.trim().parse::<u64>().ok())
        };
        for part in counts.split(';') {
            self.passed += number(part, "passed").unwrap_or(0);
            self.failed += number(part, "failed").unwrap_or(0);
        }
        self.programs += 1;
    }

    /// Shows the sum on a line of its own.
    pub(crate) fn show(self) {
        println!("\n{} test programs together:", self.programs);
        println!("tests: {} passed, {} failed", self.passed, self.failed);
    }
}

/// Runs a test command, shows all that it says, and counts the tests. A run without any test has
/// failed.
pub(crate) fn run_counted(command: &mut Command) -> Result<(Outcome, Count), Failure> {
    println!("$ {}", process::shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(format!("cannot start cargo: {error}")))?;
    let mut count = Count::default();
    let mut failed = FailedTests::default();
    if let Some(output) = child.stdout.take() {
        let mut screen = std::io::stdout();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line);
            count.take(&text);
            failed.take(&text);
            // A screen that is gone does not end the tests.
            let _ = screen
                .write_all(&line)
                .and_then(|()| screen.write_all(b"\n"));
            let _ = screen.flush();
        }
    }
    failed.keep();
    let status = child
        .wait()
        .map_err(|error| Failure::new(format!("waiting for cargo: {error}")))?;
    let outcome = if !status.success() {
        Err(Failure::new(format!("the tests ended with {status}")))
    } else if count.passed == 0 {
        Err(Failure::new("no test ran"))
    } else {
        Ok(())
    };
    Ok((outcome, count))
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn closing_lines_are_added_up() {
        let mut count = Count::default();
        count.take("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; finished in 1s");
        count.take("test a::b ... ok");
        count.take("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        assert_eq!(
            count,
            Count {
                passed: 6,
                failed: 2,
                programs: 2
            }
        );
    }
}
