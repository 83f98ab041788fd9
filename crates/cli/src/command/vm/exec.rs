//! `cvol vm exec`: a command in a guest, its output as it comes, its exit code.

use std::io::{self, Write};
use std::ops::ControlFlow;

use engine::{CommandEnd, OutputStream};
use serde::Serialize;

use crate::command::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Form;

/// How much output is kept for one JSON document.
const MOST_KEPT: usize = 16 << 20;
/// What shells add to the number of a signal.
const SIGNAL: i32 = 128;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The exit code is that of the command; 128 and the number of the signal where one ended it. No shell
reads the words. With --json, one document has the output, as text, and the exit code.

Examples:
  cvol vm exec web -- cat /data/index.html
  cvol vm exec web -- sh -c 'cd /data && ls | wc -l'")]
pub(super) struct Arguments {
    /// The machine
    #[arg(value_name = "NAME")]
    name: String,

    /// The command and its words
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<String>,
}

/// A command that was run, as `--json` tells it.
#[derive(Serialize)]
struct Document<'d> {
    machine: &'d str,
    exit_code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Arguments {
    pub(super) fn run(self, context: &Context) -> Result {
        run(context, &self.name, &self.command)
    }
}

/// Runs a command in a machine and passes everything on.
pub(super) fn run(context: &Context, name: &str, command: &[String]) -> Result {
    let is_json = context.output.form() == Form::Json;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut closed = None;
    let mut output = |stream: OutputStream, bytes: &[u8]| {
        if is_json {
            let kept = match stream {
                OutputStream::Output => &mut stdout,
                OutputStream::Error => &mut stderr,
            };
            let room = MOST_KEPT.saturating_sub(kept.len());
            kept.extend(bytes.iter().take(room));
        } else if let Err(error) = pass_on(stream, bytes) {
            closed = Some(error);
            return ControlFlow::Break(());
        }
        interrupt::poll()
    };
    let ended = context
        .engine
        .exec_in_vm(name, command, &mut output, interrupt::poll);
    if let Some(error) = closed {
        return Err(Failure::Output(error));
    }
    let end = ended?;
    if is_json {
        context.output.print_json(&Document {
            machine: name,
            exit_code: end.code,
            signal: end.signal,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })?;
    }
    Ok(Outcome::Ended(code(&end)))
}

fn pass_on(stream: OutputStream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        OutputStream::Output => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes)?;
            stdout.flush()
        }
        OutputStream::Error => io::stderr().lock().write_all(bytes),
    }
}

/// The exit code that stands for how a command ended.
fn code(end: &CommandEnd) -> u8 {
    let code = match (end.code, end.signal) {
        (Some(code), _) => code,
        (None, Some(signal)) => signal.saturating_add(SIGNAL),
        (None, None) => 1,
    };
    // Windows has wider ones; none of them is to look like success.
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_command_or_tells_of_the_signal() {
        for (told, signal, expected) in [
            (Some(0), None, 0),
            (Some(7), None, 7),
            (None, Some(9), 137),
            (Some(-1), None, 255),
            (Some(0x100), None, 255),
            (None, None, 1),
        ] {
            let end = CommandEnd {
                code: told,
                signal,
                limit: None,
            };
            assert_eq!(code(&end), expected);
        }
    }
}
