//! Other programs: found on the path, run with their command line shown, their failure reported.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::{Failure, Outcome};

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::workspace::root());
    command
}

/// Whether this is a run of continuous integration, where nothing may be skipped.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Where `program` is on the path, or in the folders of the system administrator, which are not on
/// every user's path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let suffix = std::env::consts::EXE_SUFFIX;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(format!("{program}{suffix}")))
        .find(|candidate| candidate.is_file())
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program
        .file_name()
        .unwrap_or(command.get_program())
        .display()
        .to_string();
    for word in command.get_args() {
        let word = word.to_string_lossy();
        line.push(' ');
        if word.is_empty() || word.contains([' ', '"', '$', '*', '<', '>', '|', '&', ';']) {
            line.push_str(&format!("'{word}'"));
        } else {
            line.push_str(&word);
        }
    }
    line
}

/// Shows the command line and runs it with our own output; fails if it fails.
pub(crate) fn run(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    run_quietly(command)
}

/// Runs it with our own output, its command line not shown.
pub(crate) fn run_quietly(command: &mut Command) -> Outcome {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| cannot_start(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} ended with {status}",
            shown(command)
        )))
    }
}

/// Runs it and keeps what it says, whatever its exit code.
pub(crate) fn output(command: &mut Command) -> Result<Output, Failure> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_start(command, &error))
}

/// Runs it and returns its standard output; when it fails, the failure carries what it said.
pub(crate) fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "{} ended with {}: {}",
        shown(command),
        output.status,
        said.trim()
    )))
}

fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot start {}: {error}",
        command.get_program().display()
    ))
}
