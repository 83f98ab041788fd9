//! Listing a store of 10,000 volumes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::bench::Bench;
use crate::bench::pair::Way;
use crate::bench::report::Table;
use crate::bench::statistics::median;
use crate::failure::{Failure, Outcome};
use crate::process;

const VOLUMES: u64 = 10_000;
const MAKERS: usize = 4;

pub(super) fn run(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    let next = AtomicU64::new(0);
    let make = || -> Outcome {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= VOLUMES {
                return Ok(());
            }
            let name = format!("volume-{number}");
            let words = ["create", &name, "--size", "3M", "--fs", "none", "-q"];
            process::capture(&mut bench.cvol(folder, &words))?;
        }
    };
    println!("making {VOLUMES} volumes");
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(make)).collect();
        makers.into_iter().try_for_each(|maker| {
            let joined = maker.join();
            joined.unwrap_or_else(|_| Err(Failure::new("a maker of volumes panicked")))
        })
    })?;
    let mut table = Table::new(["command", "processor time", "wall time"]);
    for words in [&["ls"][..], &["ls", "--json"], &["ls", "-q"]] {
        let mut way = Way {
            name: "cvol",
            commands: vec![bench.cvol(folder, words)],
            makes: Vec::new(),
        };
        let (mut processor, mut wall) = (Vec::new(), Vec::new());
        for round in 0..=4 * bench.rounds {
            let cost = way.time()?;
            if round > 0 {
                processor.push(cost.processor_seconds);
                wall.push(cost.seconds);
            }
        }
        table.row([
            format!("cvol {}", words.join(" ")),
            format!("{:.0} ms", 1e3 * median(&processor)),
            format!("{:.0} ms", 1e3 * median(&wall)),
        ]);
    }
    crate::workspace::remove_tree(&folder.join("store"))?;
    Ok(table)
}
