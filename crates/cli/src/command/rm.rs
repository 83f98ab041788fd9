//! `cvol rm`: volumes removed for good.

use engine::ErrorKind;

use super::{Context, Outcome, Result};
use crate::failure::{self, Failure};
use crate::output::Form;

/// Remove volumes and all that is in them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A volume in use is never removed. The exit code is that of the first failure; the other volumes are
removed all the same.

Examples:
  cvol rm data
  cvol rm --force scratch maybe-there
  cvol ls -q --filter label=app=web | xargs cvol rm")]
pub(crate) struct Arguments {
    /// Names of volumes
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Remove damaged volumes too, and do not fail for those that are not there
    #[arg(short, long)]
    force: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let mut removed = Vec::new();
        let mut first_failure = None;
        for name in &self.names {
            match context.engine.remove_volume(name, self.force) {
                Ok(record) => {
                    if context.output.form() == Form::Text {
                        context.output.print_name(record.name.as_str())?;
                    }
                    removed.push(record.name.to_string());
                }
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let failure = Failure::from(error);
                    failure.tell(context.output.form());
                    first_failure.get_or_insert(failure.kind());
                }
            }
        }
        if context.output.form() == Form::Json {
            let document = serde_json::json!({ "removed": removed });
            context.output.print_json(&document)?;
        }
        failure::told(first_failure)?;
        Ok(Outcome::Done)
    }
}
