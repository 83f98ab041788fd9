//! `cargo xtask tidy`: the rules of the house that no compiler knows. One file a family of rules.
//!
//! A rule adds findings to a list and goes on, so that one run shows everything there is to mend.

mod code;
mod documents;
mod files;
mod imports;
mod sources;
mod words;

use std::fmt;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};

pub(crate) const HELP: &str = "\
usage: cargo xtask tidy

Checks what no compiler checks:
  imports    crates import only what the layers allow; tokio stays in the daemon
  sources    every Rust file opens with //!, is at most 600 lines long (from 500 on it is pointed
             out), holds no todo!, dbg! or #[ignore]; unsafe code only where the system is called
  words      no paths of one machine, no addresses of unknown hosts
  documents  links lead somewhere, decisions are numbered, commands in the README exist
";

/// Something to mend, or merely to look at.
#[derive(Debug)]
pub(crate) struct Finding {
    place: String,
    message: String,
    fatal: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fatal { "error" } else { "note" };
        write!(formatter, "{kind}: {}: {}", self.place, self.message)
    }
}

/// What the rules found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Something that must be mended.
    pub(crate) fn error(&mut self, place: impl fmt::Display, message: impl Into<String>) {
        self.0.push(Finding {
            place: place.to_string(),
            message: message.into(),
            fatal: true,
        });
    }

    /// Something to look at.
    pub(crate) fn note(&mut self, place: impl fmt::Display, message: impl Into<String>) {
        self.0.push(Finding {
            place: place.to_string(),
            message: message.into(),
            fatal: false,
        });
    }

    #[cfg(test)]
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|found| found.fatal)
            .map(|found| found.message.as_str())
            .collect()
    }
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    arguments.finish()?;
    let files = files::all()?;
    let mut findings = Findings::default();
    imports::check(&mut findings)?;
    for file in &files {
        words::check(file, &mut findings);
        if file.path.extension().is_some_and(|end| end == "rs") {
            sources::check(file, &mut findings);
        }
    }
    documents::check(&files, &mut findings)?;
    for finding in &findings.0 {
        println!("{finding}");
    }
    let errors = findings.0.iter().filter(|found| found.fatal).count();
    if errors > 0 {
        return Err(Failure::new(format!("tidy: {errors} findings to mend")));
    }
    println!("tidy: {} files are in order", files.len());
    Ok(())
}
