//! `cvol serve-machine`: what attaching starts in the background to serve a disk to a machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Context, Outcome, Result};
use crate::interrupt;

/// Serve a disk to a machine, as its ledger says; started by `cvol attach`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Not for use by hand: the disk and where clients connect stand in the ledger of the machine.

Examples:
  cvol serve-machine web 3f0c1f6e-7a5b-4f0e-9a53-0c5c1c2e7c11")]
pub(crate) struct Arguments {
    /// The machine
    #[arg(value_name = "NAME")]
    machine: String,

    /// What the disk is known by
    #[arg(value_name = "SERIAL")]
    serial: String,

    /// Serve, instead of keeping a server alive
    #[arg(long)]
    server: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let engine = &context.engine;
        interrupt::never_at_once();
        if self.server {
            let served = engine.serve_to_machine(&self.machine, &self.serial)?;
            let stop = served.stop_handle();
            interrupt::when_requested(move || stop.stop());
            served.run(&|_| {})?;
            return Ok(Outcome::Done);
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopping);
        interrupt::when_requested(move || flag.store(true, Ordering::SeqCst));
        let program = std::env::current_exe()?;
        engine.keep_serving(&self.machine, &self.serial, &program, &stopping)?;
        Ok(Outcome::Done)
    }
}
