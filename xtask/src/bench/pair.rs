//! Two ways to the same end, run in turn.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::Bench;
use super::report::Table;
use super::statistics::median;
use crate::failure::{Failure, Outcome};
use crate::process;

/// One way: commands that are timed together.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) commands: Vec<Command>,
    /// What the commands make; removed before each round, untimed.
    pub(super) makes: Vec<PathBuf>,
}

impl Way {
    fn clear(&self) -> Outcome {
        for path in &self.makes {
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
            if let Err(error) = gone
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(Failure::io("removing", path, &error));
            }
        }
        Ok(())
    }

    /// Seconds from the start of the first command to the end of the last.
    fn time(&mut self) -> Result<f64, Failure> {
        self.clear()?;
        let start = Instant::now();
        for command in &mut self.commands {
            process::capture(command)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn shown(&self) -> String {
        let lines: Vec<_> = self.commands.iter().map(process::shown).collect();
        lines.join(" && ")
    }
}

/// Runs ours and theirs in turn and adds a row to the table. `ratio` is ours to theirs in time:
/// below one we are faster.
pub(super) fn measure(
    bench: &Bench,
    table: &mut Table,
    what: &str,
    mut ours: Way,
    mut theirs: Way,
) -> Outcome {
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms caches and is not counted.
    for round in 0..=bench.rounds {
        let (our_time, their_time) = (ours.time()?, theirs.time()?);
        if round > 0 {
            a.push(our_time);
            b.push(their_time);
            ratios.push(our_time / their_time);
        }
    }
    table.row([
        what.to_owned(),
        format!("{:.3} s", median(&a)),
        format!("{:.3} s ({})", median(&b), theirs.name),
        format!("{:.3}", median(&ratios)),
    ]);
    for way in [&ours, &theirs] {
        table.command(way.name, &way.shown());
        way.clear()?;
    }
    Ok(())
}
