//! `cvol acl`: who may do what with a file or folder of a volume at rest.

use std::path::PathBuf;

use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::reference;

/// Show who may do what with a file or folder in a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Printed are owner, group and the whole security descriptor as SDDL; with --quiet, the SDDL alone.
Only NTFS keeps access control.

Examples:
  cvol acl data
  cvol acl data:/logs/today.txt
  cvol acl -q data:/logs
  cvol acl --image disk.vhdx /logs --json")]
pub(crate) struct Arguments {
    /// A file or folder, as NAME:/path; with --image, its path
    #[arg(value_name = "NAME[:/PATH]")]
    place: String,

    /// Look into this image file instead of a volume
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    path: String,
    owner: Option<String>,
    group: Option<String>,
    sddl: String,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let place = reference::place(&self.place, self.image.as_deref());
        let access = context.engine.access(&place)?;
        let output = context.output;
        match output.form() {
            Form::Json => output.print_json(&Document {
                path: place.path,
                owner: access.owner,
                group: access.group,
                sddl: access.sddl,
            })?,
            Form::Quiet => output.print(&format!("{}\n", access.sddl))?,
            Form::Text => output.print(&format!(
                "owner  {}\ngroup  {}\nsddl   {}\n",
                access.owner.as_deref().unwrap_or("-"),
                access.group.as_deref().unwrap_or("-"),
                access.sddl
            ))?,
        }
        Ok(Outcome::Done)
    }
}
