//! `cargo xtask e2e`: volumes in machines that run, all of it.

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::{agent, process, setup, test};

/// What the tests are told, unless the caller says otherwise: see `crates/e2e/tests/it/machine/mod.rs`.
const WHOLE: [(&str, &str); 4] = [
    ("CVOL_ATTACH_ROUNDS", "100"),
    ("CVOL_ATTACH_DEATHS", "1"),
    ("CVOL_MACHINE_DEATHS", "2"),
    ("CVOL_ATTACH_DISKS", "64"),
];

pub(crate) const HELP: &str = "\
usage: cargo xtask e2e [--quick] [-- ARGS]

Boots a real kernel in QEMU (no hardware support is needed) and attaches volumes, directories, shares of a
Samba server and memory to it, 100 rounds in one machine; one volume in two machines; 64 disks in one;
and lets everybody die who has a part in it, at every boundary between two steps. About half an hour on
two processors.

  --quick   what `cargo xtask test` does of it: fewer rounds, disks and deaths

Words after -- go to the test program: `cargo xtask e2e -- faults` runs the tests with that in their
names.
";

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let is_quick = arguments.flag("--quick");
    let words = arguments.after_dashes();
    arguments.finish()?;
    test::prepare(false)?;
    let mut command = process::cargo();
    command
        .args(["test", "-p", "e2e", "--test", "it"])
        .env("CVOL_GUEST", setup::guest::folder())
        .env("CVOL_GUEST_AGENT", agent::build()?);
    if !is_quick {
        for (name, value) in WHOLE {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
    }
    if process::in_ci() {
        command.arg("--locked");
    }
    command.args(["--", "--show-output"]);
    match words.is_empty() {
        true => command.arg("machine::"),
        false => command.args(&words),
    };
    let (outcome, count) = test::run_counted(&mut command)?;
    count.show();
    outcome
}
