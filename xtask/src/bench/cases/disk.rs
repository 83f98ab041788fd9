//! One open disk: a dynamic VHDX against raw, and allocating writes against qemu-io.

use std::path::Path;

use crate::bench::pair::{Way, measure, pairs};
use crate::bench::report::Table;
use crate::bench::{Bench, inside};
use crate::failure::Failure;

use super::peer;

/// Allocating writes of one run.
const WRITES: u64 = 1000;

/// The example prints operations a second of each side, and their ratio.
pub(super) fn rates(bench: &Bench) -> Result<Table, Failure> {
    let mut table = Table::new(["case", "VHDX, a second", "raw, a second", "ratio of rates"]);
    let words = [bench.rounds.to_string()];
    for row in inside::run(bench.memory(), "disk_speed", &words)? {
        let number = |name: &str| {
            row[name]
                .as_f64()
                .map_or("?".to_owned(), |n| format!("{n}"))
        };
        table.row([
            row["case"].as_str().unwrap_or("?").to_owned(),
            number("vhdx_per_s"),
            number("raw_per_s"),
            number("ratio"),
        ]);
    }
    table.note("Both files are in memory, where what the format itself costs shows most.");
    Ok(table)
}

/// Both write 4 KiB into the first bytes of each of the blocks of an image with blocks of 2 MiB, and
/// sync after each. The times include creating the image.
pub(super) fn allocate(bench: &Bench) -> Result<Table, Failure> {
    let mut table = pairs();
    let program = inside::build("disk_speed")?;
    for (what, folder) in [("on disk", &*bench.folder), ("in memory", bench.memory())] {
        let mut own = std::process::Command::new(&program);
        own.arg(folder).args(["allocate", &WRITES.to_string()]);
        let ours = Way {
            name: "cvol",
            commands: vec![own],
            makes: Vec::new(),
        };
        write_script(folder)?;
        let theirs = Way {
            name: "qemu-io",
            commands: vec![peer(folder, "sh", &["allocate.sh"])],
            makes: vec![folder.join("q.vhdx")],
        };
        let what = format!("{WRITES} new blocks, {what}");
        measure(bench, &mut table, &what, ours, vec![theirs])?;
    }
    table.note(&format!(
        "qemu-io makes the same writes into `qemu-img create -f vhdx -o block_size=2M`, cache mode \
         writeback; a shell script gives it the {WRITES} pairs of `write` and `flush`. A ratio of \
         times of 0.25 is four times the rate."
    ));
    Ok(table)
}

/// The script of the other side, since the commands are too many to be shown.
fn write_script(folder: &Path) -> Result<(), Failure> {
    let mut script = format!(
        "qemu-img create -q -f vhdx -o block_size=2M q.vhdx {}M\nqemu-io -t writeback -f vhdx",
        2 * WRITES
    );
    for block in 0..WRITES {
        script.push_str(&format!(" -c 'write -q -P 119 {}M 4k' -c flush", 2 * block));
    }
    script.push_str(" q.vhdx\n");
    crate::workspace::write(&folder.join("allocate.sh"), script)
}
