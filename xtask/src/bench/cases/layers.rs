//! Snapshots, clones and restores of a volume of 1 TiB beside one of 1 GiB.

use crate::bench::Bench;
use crate::bench::pair::Way;
use crate::bench::report::Table;
use crate::bench::statistics::median;
use crate::failure::Failure;
use crate::process;

/// Volumes that are compared: name and size.
const VOLUMES: [(&str, &str); 2] = [("large", "1T"), ("small", "1G")];
/// Operations of one kind that are timed together, since one takes a moment.
const AT_ONCE: u64 = 5;

/// What is timed: commands of one round on one volume.
type Words = fn(volume: &str, number: u64) -> Vec<String>;

const OPERATIONS: [(&str, Words); 3] = [
    ("snapshot create", |volume, number| {
        words(&["snapshot", "create", "-q"], format!("{volume}@s{number}"))
    }),
    ("clone", |volume, number| {
        let mut clone = words(&["clone", "-q"], format!("{volume}@s0"));
        clone.push(format!("{volume}-clone-{number}"));
        clone
    }),
    ("snapshot restore", |volume, _| {
        words(&["snapshot", "restore", "-q"], format!("{volume}@s0"))
    }),
];

fn words(verb: &[&str], name: String) -> Vec<String> {
    verb.iter()
        .map(|word| (*word).to_owned())
        .chain([name])
        .collect()
}

pub(super) fn run(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    for (volume, size) in VOLUMES {
        let create = ["create", volume, "--size", size, "--fs", "ntfs", "-q"];
        process::capture(&mut bench.cvol(folder, &create))?;
        let first = format!("{volume}@s0");
        process::capture(&mut bench.cvol(folder, &["snapshot", "create", "-q", &first]))?;
    }
    let mut table = Table::new(["operation", "of 1 TiB", "of 1 GiB", "ratio of times"]);
    let mut number = 0;
    for (what, operation) in OPERATIONS {
        let mut seconds = VOLUMES.map(|_| Vec::new());
        for round in 0..=bench.rounds {
            // In turn, so that what else the machine does weighs on both.
            let first = number + 1;
            number += AT_ONCE;
            for ((volume, _), seconds) in VOLUMES.iter().zip(&mut seconds) {
                let commands = (first..first + AT_ONCE).map(|number| {
                    let words = operation(volume, number);
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    bench.cvol(folder, &words)
                });
                let mut way = Way {
                    name: "cvol",
                    commands: commands.collect(),
                    makes: Vec::new(),
                };
                let cost = way.time()?;
                if round > 0 || bench.rounds == 0 {
                    seconds.push(cost.seconds);
                }
            }
        }
        let [large, small] = &seconds;
        let ratios: Vec<f64> = large.iter().zip(small).map(|(a, b)| a / b).collect();
        let each = |seconds: &[f64]| {
            let milliseconds =
                1e3 * median(seconds) / f64::from(u32::try_from(AT_ONCE).unwrap_or(1));
            format!("{milliseconds:.1} ms")
        };
        table.row([
            what.to_owned(),
            each(large),
            each(small),
            format!("{:.2}", median(&ratios)),
        ]);
    }
    table.note(
        "Empty NTFS volumes in memory, whole commands, the time of one; the chain grows by a layer \
         with each snapshot, of both alike.",
    );
    crate::workspace::remove_tree(&folder.join("store"))?;
    Ok(table)
}
