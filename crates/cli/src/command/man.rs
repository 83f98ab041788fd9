//! `cvol man`: the manual pages, written into a folder by whoever packages cvol.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::{Context, Outcome, Result};
use crate::failure::Failure;

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol man /usr/share/man/man1")]
pub(crate) struct Arguments {
    /// The folder; made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Arguments {
    pub(crate) fn run(self, _context: &Context) -> Result {
        write_pages(&self.folder).map_err(|source| {
            Failure::Engine(engine::Error::Host {
                action: "write manual pages into",
                path: self.folder.clone(),
                source,
            })
        })?;
        Ok(Outcome::Done)
    }
}

fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(crate::arguments::Arguments::command(), folder)
}
