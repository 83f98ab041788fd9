//! `cvol mv`: files and directories moved within a volume at rest.

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::reference;

/// Move or rename a file or directory within a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
If DEST is a directory that exists, SOURCE is moved into it, under its own name. Access and times
stay as they are. SOURCE and DEST must be in the same volume, which must not be in use.

Examples:
  cvol mv data:/index.html data:/old.html
  cvol mv data:/old.html data:/archive
  cvol mv --force disk.vhdx:/new.cfg disk.vhdx:/app.cfg")]
pub(crate) struct Arguments {
    /// File or directory, as NAME:/path or IMAGE.vhdx:/path
    #[arg(value_name = "SOURCE")]
    source: String,

    /// Directory that exists, or the new name, as NAME:/path
    #[arg(value_name = "DEST")]
    target: String,

    /// Replace a file that is there
    #[arg(short, long)]
    force: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let from = reference::required_place(&self.source)?;
        let to = reference::required_place(&self.target)?;
        context.engine.move_path(&from, &to, self.force)?;
        if context.output.form() == Form::Json {
            let document = serde_json::json!({ "from": self.source, "to": self.target });
            context.output.print_json(&document)?;
        }
        Ok(Outcome::Done)
    }
}
