//! Random reads through chains of differencing images, against an image that stands alone.

use crate::bench::report::Table;
use crate::bench::{Bench, inside};
use crate::failure::Failure;

/// The example prints reads a second of each side, and their ratio.
pub(super) fn rates(bench: &Bench) -> Result<Table, Failure> {
    let mut table = Table::new([
        "case",
        "chain, a second",
        "alone, a second",
        "ratio of rates",
        "first pass, a second",
    ]);
    let words = [bench.rounds.to_string()];
    for row in inside::run(bench.memory(), "chain_speed", &words)? {
        let number = |name: &str| {
            row[name]
                .as_f64()
                .map_or("?".to_owned(), |n| format!("{n}"))
        };
        table.row([
            row["case"].as_str().unwrap_or("?").to_owned(),
            number("chain_per_s"),
            number("alone_per_s"),
            number("ratio"),
            number("first_per_s"),
        ]);
    }
    table.note(
        "Random reads of 4 KiB in a disk of 1 GiB, files in memory. Each layer holds 2,000 scattered \
         pages of 4 KiB. The first pass finds out which layer holds what.",
    );
    Ok(table)
}
