//! `cvol acl`: who may do what with a file or folder of a volume at rest, shown or changed.

use std::path::PathBuf;

use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::reference;

/// Show or change who may do what with a file or folder in a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Printed are owner, group and the whole security descriptor as SDDL; with --quiet, the SDDL alone.
Only NTFS keeps access control.

With --set the descriptor is replaced, by SDDL or a name as for `cvol create --acl`; an owner and a
group that it does not say stay, and so does all that lies below. The volume must not be in use.

Examples:
  cvol acl data
  cvol acl data:/logs/today.txt
  cvol acl -q data:/logs
  cvol acl --image disk.vhdx /logs --json
  cvol acl data:/logs --set 'D:(A;OICI;FA;;;BA)(A;OICI;GRGX;;;BU)'
  cvol acl data:/app --set container-users")]
pub(crate) struct Arguments {
    /// A file or folder, as NAME:/path; with --image, its path
    #[arg(value_name = "NAME[:/PATH]")]
    place: String,

    /// Look into this image file instead of a volume
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,

    /// Replace it: SDDL, or container-users, administrators, everyone-read
    #[arg(long, value_name = "SDDL")]
    set: Option<String>,
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
        if let Some(access) = &self.set {
            context.engine.set_access(&place, access)?;
            if context.output.form() != Form::Json {
                return Ok(Outcome::Done);
            }
        }
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
