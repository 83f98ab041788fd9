//! Other programs: found on the path, run with their command line shown, their failure reported.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::workspace;

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
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

/// Runs it and keeps what it says, whatever its exit code, in files of `folder`: programs that it
/// leaves behind may keep its output open without our waiting for them. It has `limit` to end.
pub(crate) fn output_within(
    command: &mut Command,
    folder: &Path,
    limit: Duration,
) -> Result<Output, Failure> {
    let (out, err) = (folder.join("stdout.txt"), folder.join("stderr.txt"));
    let create =
        |path: &Path| File::create(path).map_err(|error| Failure::io("making", path, &error));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(create(&out)?)
        .stderr(create(&err)?)
        .spawn()
        .map_err(|error| cannot_start(command, &error))?;
    let status = wait_within(&mut child, limit)
        .map_err(|error| Failure::new(format!("{}: {error}", shown(command))))?;
    Ok(Output {
        status,
        stdout: workspace::read(&out)?,
        stderr: workspace::read(&err)?,
    })
}

/// Waits for the end of a program; one that takes longer than `limit` is ended.
fn wait_within(child: &mut Child, limit: Duration) -> std::io::Result<ExitStatus> {
    const PAUSE: Duration = Duration::from_millis(5);
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("did not end within {} s", limit.as_secs()),
            ));
        }
        std::thread::sleep(PAUSE);
    }
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
