//! `cvol mount`: a volume at a drive letter or a folder of this host.

use engine::MountVolume;

use super::mounts::MountDocument;
use super::{Context, Outcome, Result};
use crate::output::terminal;

/// Mount a volume on this host, at a drive letter or an empty folder (Windows)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Windows attaches the image and mounts the file system in it; the caller has to be an administrator. The
volume is claimed until `cvol umount`: nothing else changes it meanwhile. The mount outlives cvol and ends
with the next start of the host, after which `cvol umount` or `cvol doctor --fix` releases the claim.

Other systems do not mount a volume for cvol: `cvol serve` gives it to programs that speak NBD, `cvol cp`
and `cvol export` copy from it, and `cvol attach` gives it to a virtual machine.

Examples:
  cvol mount data X:
  cvol mount data C:\\mnt\\data
  cvol mount data X: --readonly")]
pub(crate) struct Arguments {
    /// Name of the volume
    #[arg(value_name = "VOLUME")]
    volume: String,

    /// A free drive letter, such as X:, or an empty folder
    #[arg(value_name = "TARGET")]
    target: String,

    /// Let nothing on it be written
    #[arg(long)]
    readonly: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let mounted = context.engine.mount_volume(&MountVolume {
            volume: self.volume,
            target: self.target,
            read_only: self.readonly,
        })?;
        context.output.report(&MountDocument::of(&mounted), || {
            let target = terminal::escape(&mounted.target);
            format!("{} at {target}\n", mounted.volume)
        })?;
        Ok(Outcome::Done)
    }
}
