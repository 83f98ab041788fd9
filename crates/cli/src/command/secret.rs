//! `cvol secret`: the passwords that are kept for volumes of SMB servers.

use clap::Subcommand;
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::password::PasswordArguments;
use crate::private_memory;

/// Change, try and reseal the passwords of volumes on SMB servers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Passwords are kept sealed in the folder of their volume. The key lies in `secret.key` of the store, for its
owner alone, or where CVOL_SECRET_KEY_FILE or CVOL_SECRET_KEYRING says. No verb ever shows a password.

Examples:
  cvol secret set share
  pass show nas | cvol secret set share --password-fd 0
  cvol secret check share
  cvol secret rotate")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Set(Set),
    Check(Check),
    Rotate(Rotate),
}

/// Keep another password for a volume, once the server takes it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol secret set share
  cvol secret set share --password-file new-password
  cvol secret set share --password-keyring nas --no-check")]
struct Set {
    /// Name of the volume
    name: String,

    #[command(flatten)]
    password: PasswordArguments,

    /// Keep it without trying it at the server
    #[arg(long)]
    no_check: bool,
}

/// Log in at the server of a volume with the password that is kept
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol secret check share")]
struct Check {
    /// Name of the volume
    name: String,
}

/// Make a new key and seal all passwords with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of a key outside the store, write the new one into the first line of its file and leave the old one below it:
this then seals all passwords with the first, and the others can go.

Examples:
  cvol secret rotate")]
struct Rotate {}

#[derive(Serialize)]
struct NameDocument {
    name: String,
}

#[derive(Serialize)]
struct RotateDocument {
    sealed: Vec<String>,
    left: Vec<LeftDocument>,
}

#[derive(Serialize)]
struct LeftDocument {
    name: String,
    reason: String,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        match self.verb {
            Verb::Set(set) => set.run(context),
            Verb::Check(check) => check.run(context),
            Verb::Rotate(_) => rotate(context),
        }
    }
}

impl Set {
    fn run(self, context: &Context) -> Result {
        // Before anybody types one: whether there is such a volume, and whether it has a password.
        context.engine.has_password(&self.name)?;
        let prompt = format!("password for volume {}: ", self.name);
        let password = self.password.read(&prompt, true)?;
        context
            .engine
            .set_password(&self.name, &password, self.no_check)?;
        tell(context, &self.name)
    }
}

impl Check {
    fn run(self, context: &Context) -> Result {
        private_memory::keep();
        let record = context.engine.check_password(&self.name)?;
        if context.output.form() == Form::Text {
            let source = record.spec.source().unwrap_or_default();
            context.output.note(&format!("{source} lets the user in"));
        }
        tell(context, record.name.as_str())
    }
}

fn tell(context: &Context, name: &str) -> Result {
    match context.output.form() {
        Form::Json => {
            let name = name.to_owned();
            context.output.print_json(&NameDocument { name })?;
        }
        Form::Text | Form::Quiet => context.output.print_name(name)?,
    }
    Ok(Outcome::Done)
}

fn rotate(context: &Context) -> Result {
    private_memory::keep();
    let outcome = context.engine.rotate_passwords()?;
    let is_whole = outcome.left.is_empty();
    match context.output.form() {
        Form::Json => {
            let left = outcome
                .left
                .into_iter()
                .map(|(name, reason)| LeftDocument { name, reason });
            context.output.print_json(&RotateDocument {
                sealed: outcome.sealed,
                left: left.collect(),
            })?;
        }
        Form::Text | Form::Quiet => {
            for (name, reason) in &outcome.left {
                context
                    .output
                    .note(&format!("{name}: {reason}; the old key stays for it"));
            }
            let names: String = outcome
                .sealed
                .iter()
                .map(|name| format!("{name}\n"))
                .collect();
            context.output.print(&names)?;
        }
    }
    Ok(match is_whole {
        true => Outcome::Done,
        false => Outcome::ProblemsFound,
    })
}
