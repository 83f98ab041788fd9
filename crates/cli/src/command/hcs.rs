//! `cvol hcs`: documents of the Host Compute Service, on any system, and on Windows its systems.

mod access;
mod systems;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use engine::{DocumentKind, Problem, SchemaVersion};
use serde::Serialize;

use super::{Context, Outcome, Result, machine};
use crate::output::terminal;

/// Work with the Host Compute Service and its documents
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol hcs validate machine.json --schema 2.5
  cvol hcs validate request.json --kind modify
  cvol hcs ls
  cvol hcs show 0f0e0d0c-0b0a-4908-8706-050403020100")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Validate(Validate),
    Ls(systems::List),
    Show(systems::Show),
    Grant(access::Grant),
    Revoke(access::Revoke),
}

/// What a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindWord {
    /// Making a machine or a container
    System,
    /// Changing one that runs
    Modify,
}

/// Check whether HCS would take a document, and which field it would not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
HCS refuses a whole document for one field that it does not know, or that is newer than the version the
document is for. What is about storage is checked field by field; other devices are taken as they are.
The exit code is 1 if something was found.

Examples:
  cvol hcs validate machine.json --schema 2.5
  cvol hcs validate request.json --kind modify --json")]
struct Validate {
    /// The document
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Version that the document is for
    #[arg(long, value_name = "VERSION", default_value = "2.1", value_parser = machine::schema)]
    schema: SchemaVersion,

    /// What the document is for
    #[arg(long, value_name = "KIND", default_value = "system")]
    kind: KindWord,
}

#[derive(Serialize)]
struct Document<'a> {
    file: String,
    schema: String,
    valid: bool,
    problems: Vec<ProblemDocument<'a>>,
}

#[derive(Serialize)]
struct ProblemDocument<'a> {
    path: &'a str,
    message: &'a str,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        match self.verb {
            Verb::Validate(validate) => validate.run(context),
            Verb::Ls(list) => list.run(context),
            Verb::Show(show) => show.run(context),
            Verb::Grant(grant) => grant.run(context),
            Verb::Revoke(revoke) => revoke.run(context),
        }
    }
}

impl Validate {
    fn run(self, context: &Context) -> Result {
        let kind = match self.kind {
            KindWord::System => DocumentKind::ComputeSystem,
            KindWord::Modify => DocumentKind::Modify,
        };
        let problems = context.engine.validate_hcs(&self.file, kind, self.schema)?;
        let file = self.file.display().to_string();
        let document = Document {
            file,
            schema: self.schema.to_string(),
            valid: problems.is_empty(),
            problems: problems
                .iter()
                .map(|problem| ProblemDocument {
                    path: &problem.path,
                    message: &problem.message,
                })
                .collect(),
        };
        context
            .output
            .report(&document, || text(&document.file, self.schema, &problems))?;
        Ok(if problems.is_empty() {
            Outcome::Done
        } else {
            Outcome::ProblemsFound
        })
    }
}

fn text(file: &str, schema: SchemaVersion, problems: &[Problem]) -> String {
    let file = terminal::escape(file);
    if problems.is_empty() {
        return format!("{file}: HCS {schema} takes it\n");
    }
    let lines = problems.iter().map(|problem| {
        let (path, message) = (
            terminal::escape(&problem.path),
            terminal::escape(&problem.message),
        );
        format!("{file}: {path} {message}\n")
    });
    lines.collect()
}
