//! `cvol cat`: files of a volume at rest, on standard output.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::{interrupt, reference};

/// Print files from a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol cat data:/index.html
  cvol cat data:/part1 data:/part2 > whole
  cvol cat --image disk.vhdx /readme.txt")]
pub(crate) struct Arguments {
    /// Files, as NAME:/path; with --image, as /path
    #[arg(value_name = "NAME:/PATH", required = true)]
    files: Vec<String>,

    /// Read from this image file instead of a volume
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

/// Standard output that ends when the user asks to stop.
struct Interruptible<W>(W);

impl<W: Write> Write for Interruptible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match interrupt::poll() {
            ControlFlow::Continue(()) => self.0.write(bytes),
            // Not the kind `Interrupted`, which writers take as a reason to try again.
            ControlFlow::Break(()) => Err(io::Error::other("stopped on request")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let places = self
            .files
            .iter()
            .map(|file| reference::place_with_path(file, self.image.as_deref()))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let mut stdout = Interruptible(io::stdout().lock());
        for place in &places {
            let read = context.engine.read_file(place, &mut stdout);
            if read.is_err() && interrupt::poll().is_break() {
                return Err(Failure::Engine(engine::Error::Interrupted));
            }
            read?;
        }
        stdout.flush()?;
        Ok(Outcome::Done)
    }
}
