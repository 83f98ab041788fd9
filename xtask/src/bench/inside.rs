//! Benches within one process: examples of the crate `e2e`, built with all optimisations, that
//! print a JSON object a line. The objects of one run become the rows of a table.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::Failure;
use crate::{process, workspace};

/// Builds an example, runs it in a folder and returns the objects that it printed.
pub(super) fn run(folder: &Path, example: &str, words: &[String]) -> Result<Vec<Value>, Failure> {
    let mut command = Command::new(build(example)?);
    command.arg(folder).args(words);
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

/// Builds an example and says where it is.
pub(super) fn build(example: &str) -> Result<PathBuf, Failure> {
    let mut command = process::cargo();
    process::run(command.args(["build", "--release", "-p", "e2e", "--example", example]))?;
    Ok(workspace::target().join("release/examples").join(example))
}
