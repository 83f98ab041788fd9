//! Benches within one process: examples of the crate `e2e`, built with all optimisations, that
//! print a JSON object a line. The objects of one run become the rows of a table.

use std::process::Command;

use serde_json::Value;

use super::Bench;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// Builds an example, runs it in the bench's folder and returns the objects that it printed.
pub(super) fn run(bench: &Bench, example: &str, words: &[&str]) -> Result<Vec<Value>, Failure> {
    build(example)?;
    let program = workspace::target().join("release/examples").join(example);
    let mut command = Command::new(program);
    command.arg(&bench.folder).args(words);
    println!("$ {}", process::shown(&command));
    let text = process::capture(&mut command)?;
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            serde_json::from_str(line)
                .map_err(|error| Failure::new(format!("{example} says {line:?}: {error}")))
        })
        .collect()
}

fn build(example: &str) -> Outcome {
    let mut command = process::cargo();
    process::run(command.args(["build", "--release", "-p", "e2e", "--example", example]))
}
