//! `cvol mkdir`: directories made in a volume at rest.

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::reference;

/// Make directories in a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The volume must not be in use. Each directory is made whole or not at all; access is inherited from
the directory above.

Examples:
  cvol mkdir data:/logs
  cvol mkdir -p data:/logs/2026/11
  cvol mkdir disk.vhdx:/logs")]
pub(crate) struct Arguments {
    /// Directories, as NAME:/path or IMAGE.vhdx:/path
    #[arg(value_name = "NAME:/PATH", required = true)]
    places: Vec<String>,

    /// Make the directories above too, and do not fail for one that is there
    #[arg(short = 'p', long = "parents")]
    make_parents: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        for place in &self.places {
            let place = reference::required_place(place)?;
            context.engine.make_directory(&place, self.make_parents)?;
        }
        if context.output.form() == Form::Json {
            let document = serde_json::json!({ "made": self.places });
            context.output.print_json(&document)?;
        }
        Ok(Outcome::Done)
    }
}
