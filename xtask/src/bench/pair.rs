//! Two ways or more to the same end, run in turn.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

/// What one run of a way took.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// From the start of the first command to the end of the last.
    pub(super) seconds: f64,
    /// Of all processors, for the program and for the system on its behalf; zero where the system
    /// does not tell. Linux tells it in hundredths.
    pub(super) processor_seconds: f64,
}

impl Way {
    pub(super) fn clear(&self) -> Outcome {
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

    pub(super) fn time(&mut self) -> Result<Cost, Failure> {
        self.clear()?;
        let before = children_seconds();
        let start = Instant::now();
        for command in &mut self.commands {
            process::capture(command)?;
        }
        Ok(Cost {
            seconds: start.elapsed().as_secs_f64(),
            processor_seconds: children_seconds() - before,
        })
    }

    pub(super) fn shown(&self) -> String {
        let lines: Vec<_> = self.commands.iter().map(process::shown).collect();
        lines.join(" && ")
    }
}

/// Runs a program and tells its memory at its peak, in MiB; `None` where the system does not tell.
pub(super) fn peak_memory(command: &mut Command) -> Result<Option<u64>, Failure> {
    const PAUSE: Duration = Duration::from_millis(2);
    let broken = |error: std::io::Error| Failure::new(format!("watching a program: {error}"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(broken)?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(number);
        match child.try_wait().map_err(broken)? {
            Some(ended) => break ended,
            None => std::thread::sleep(PAUSE),
        }
    };
    if !ended.success() {
        let shown = process::shown(command);
        return Err(Failure::new(format!("{shown} ended with {ended}")));
    }
    Ok(peak.map(|kib| kib.div_ceil(1024)))
}

/// Processor time of all commands that have ended.
fn children_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets, in which anything may stand.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    f64::from(ticks) / 100.0
}

/// A table for [`measure`].
pub(super) fn pairs() -> Table {
    Table::new([
        "case",
        "cvol",
        "peer",
        "ratio of times",
        "ratio of processor times",
    ])
}

/// Runs ours and all of theirs in turn and adds a row for each of theirs. A ratio is ours to theirs:
/// below one we are faster.
pub(super) fn measure(
    bench: &Bench,
    table: &mut Table,
    what: &str,
    mut ours: Way,
    mut theirs: Vec<Way>,
) -> Outcome {
    let mut own = Vec::new();
    let mut others = vec![Vec::new(); theirs.len()];
    for round in 0..=bench.rounds {
        let mut costs = vec![ours.time()?];
        for way in &mut theirs {
            costs.push(way.time()?);
        }
        // The first round warms caches and is not counted, unless it is the only one.
        if round > 0 || bench.rounds == 0 {
            own.push(costs[0]);
            for (other, cost) in others.iter_mut().zip(&costs[1..]) {
                other.push(*cost);
            }
        }
    }
    for (way, costs) in theirs.iter().zip(&others) {
        row(table, what, &own, way, costs);
    }
    for way in std::iter::once(&ours).chain(&theirs) {
        table.command(way.name, &way.shown());
        way.clear()?;
    }
    Ok(())
}

/// A row of [`pairs`]: what ours took beside one of theirs.
pub(super) fn row(table: &mut Table, what: &str, own: &[Cost], way: &Way, costs: &[Cost]) {
    table.row([
        what.to_owned(),
        told(own),
        format!("{} ({})", told(costs), way.name),
        ratio(own, costs, |cost| cost.seconds),
        ratio(own, costs, |cost| cost.processor_seconds),
    ]);
}

fn told(costs: &[Cost]) -> String {
    let seconds: Vec<_> = costs.iter().map(|cost| cost.seconds).collect();
    format!("{:.3} s", median(&seconds))
}

/// The median of the ratios, round by round; processor times too short to be told apart have none.
fn ratio(ours: &[Cost], theirs: &[Cost], of: impl Fn(&Cost) -> f64) -> String {
    let pairs = ours.iter().zip(theirs);
    let ratios: Vec<_> = pairs.map(|(a, b)| of(a) / of(b)).collect();
    if ratios.iter().all(|ratio| ratio.is_finite()) {
        format!("{:.3}", median(&ratios))
    } else {
        "-".to_owned()
    }
}
