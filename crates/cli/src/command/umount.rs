//! `cvol umount`: a mount of this host ended.

use super::mounts::MountDocument;
use super::{Context, Outcome, Result};
use crate::output::terminal;

/// End the mount of a volume on this host (Windows)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What was written is durable before the image is detached. Where files of it are open nothing is done; with
--force they are passed over, and whoever has them open gets errors. May be run again after a failure, and
after a start of the host, which ends all mounts and leaves claims.

Examples:
  cvol umount X:
  cvol umount C:\\mnt\\data
  cvol umount data --force")]
pub(crate) struct Arguments {
    /// Where it is mounted, or the volume
    #[arg(value_name = "TARGET|VOLUME")]
    what: String,

    /// Pass over files that are open
    #[arg(long)]
    force: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let ended = context.engine.unmount_volume(&self.what, self.force)?;
        context.output.report(&MountDocument::of(&ended), || {
            let target = terminal::escape(&ended.target);
            format!("{} is not at {target} any more\n", ended.volume)
        })?;
        Ok(Outcome::Done)
    }
}
