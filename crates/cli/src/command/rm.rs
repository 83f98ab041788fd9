//! `cvol rm`: volumes removed for good, or files and directories in one.

use engine::ErrorKind;

use super::{Context, Outcome, Result};
use crate::failure::{Failure, OnTheWay};
use crate::output::Form;
use crate::reference;

/// Remove volumes and all that is in them, or files in a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A NAME alone is a volume, which goes with all that is in it. NAME:/path is a file or directory in it;
a directory with entries goes only with -r. The top of a volume (NAME:/) is never removed. A volume in
use is left as it is. The exit code is that of the first failure; the others are removed all the same.

Examples:
  cvol rm data
  cvol rm --force scratch maybe-there
  cvol rm data:/old.html
  cvol rm -r data:/img disk.vhdx:/tmp
  cvol ls -q --filter label=app=web | xargs cvol rm")]
pub(crate) struct Arguments {
    /// Names of volumes, or files in them as NAME:/path (IMAGE.vhdx:/path for an image file)
    #[arg(value_name = "NAME[:/PATH]", required = true)]
    names: Vec<String>,

    /// Remove damaged volumes too, and do not fail for what is not there
    #[arg(short, long)]
    force: bool,

    /// Remove directories with all that is in them
    #[arg(short, long)]
    recursive: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let mut removed = Vec::new();
        let mut failures = OnTheWay::new(context.output.form());
        for name in &self.names {
            match self.remove(context, name) {
                Ok(name) => {
                    if context.output.form() == Form::Text {
                        context.output.print_name(&name)?;
                    }
                    removed.push(name);
                }
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => {}
                Err(failure) => failures.add(failure),
            }
        }
        if context.output.form() == Form::Json {
            let document = serde_json::json!({ "removed": removed });
            context.output.print_json(&document)?;
        }
        failures.end()?;
        Ok(Outcome::Done)
    }

    /// Removes one volume or path; returns what is told of it.
    fn remove(&self, context: &Context, name: &str) -> std::result::Result<String, Failure> {
        let Some(place) = reference::place_in_volume(name.as_ref()) else {
            return Ok(context
                .engine
                .remove_volume(name, self.force)?
                .name
                .to_string());
        };
        if place.path.trim_matches(['/', '\\', '.']).is_empty() {
            return Err(Failure::usage(
                format!("{name} is the top of a volume, which is not removed"),
                "leave out the `:` to remove the whole volume; name what is in it to remove that",
            ));
        }
        context.engine.remove_path(&place, self.recursive)?;
        Ok(name.to_owned())
    }
}
