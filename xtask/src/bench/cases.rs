//! What is measured. A case prepares its input untimed, then measures pairs or runs an example.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pair::{Way, measure};
use super::report::Table;
use super::{Bench, Case, inside};
use crate::failure::Failure;

pub(super) const ALL: &[Case] = &[
    Case {
        name: "empty-ntfs",
        what: "an empty NTFS volume of 100 GiB",
        run: empty_ntfs,
    },
    Case {
        name: "convert",
        what: "raw to VHDX and back, dense and sparse",
        run: convert,
    },
    Case {
        name: "disk",
        what: "reads and writes of one open VHDX against raw",
        run: disk,
    },
];

const MIB: u64 = 1 << 20;

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn cvol(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.cvol);
        command
            .args(words)
            .env("CVOL_ROOT", self.path("store"))
            .current_dir(&self.folder);
        command
    }

    fn peer(&self, program: &str, words: &[&str]) -> Command {
        let found = crate::process::find(program).unwrap_or_else(|| PathBuf::from(program));
        let mut command = Command::new(found);
        command.args(words).current_dir(&self.folder);
        command
    }
}

fn pairs() -> Table {
    Table::new(["case", "cvol", "peer", "ratio of times"])
}

/// The fastest way of others that we know: a sparse raw file is formatted and converted.
fn empty_ntfs(bench: &Bench) -> Result<Table, Failure> {
    let mut table = pairs();
    let ours = Way {
        name: "cvol",
        commands: vec![bench.cvol(&["create", "data", "--size", "100G", "--fs", "ntfs"])],
        makes: vec![bench.path("store")],
    };
    let theirs = Way {
        name: "qemu-img and mkntfs",
        commands: vec![
            bench.peer("qemu-img", &["create", "-q", "-f", "raw", "a.raw", "100G"]),
            bench.peer(
                "mkntfs",
                &["-q", "-Q", "-F", "-p", "0", "-H", "0", "-S", "0", "a.raw"],
            ),
            bench.peer(
                "qemu-img",
                &["convert", "-f", "raw", "-O", "vhdx", "a.raw", "a.vhdx"],
            ),
        ],
        makes: vec![bench.path("a.raw"), bench.path("a.vhdx")],
    };
    measure(bench, &mut table, "empty 100 GiB NTFS", ours, theirs)?;
    Ok(table)
}

fn convert(bench: &Bench) -> Result<Table, Failure> {
    let mut table = pairs();
    for (input, size, data_every) in [("dense", 1024 * MIB, 1), ("sparse", 8192 * MIB, 16)] {
        let raw = format!("{input}.raw");
        let vhdx = format!("{input}.vhdx");
        make_raw(&bench.path(&raw), size, data_every)?;
        for (from, to) in [(&raw, &vhdx), (&vhdx, &raw)] {
            let (from_format, to_format) = (format_of(from), format_of(to));
            let (a, b) = (format!("a.{to_format}"), format!("b.{to_format}"));
            let ours = Way {
                name: "cvol",
                commands: vec![bench.cvol(&["convert", from, &a])],
                makes: vec![bench.path(&a)],
            };
            let flags = [
                "convert",
                "-W",
                "-m",
                "8",
                "-f",
                from_format,
                "-O",
                to_format,
                from,
                &b,
            ];
            let theirs = Way {
                name: "qemu-img",
                commands: vec![bench.peer("qemu-img", &flags)],
                makes: vec![bench.path(&b)],
            };
            if !bench.path(from).exists() {
                let words = ["convert", "-f", to_format, "-O", from_format, to, from];
                crate::process::capture(&mut bench.peer("qemu-img", &words))?;
            }
            let what = format!("{input} {from_format} to {to_format}");
            measure(bench, &mut table, &what, ours, theirs)?;
        }
        for name in [raw, vhdx] {
            // Room for the next input; the folder is removed at the end in any case.
            let _ = std::fs::remove_file(bench.path(&name));
        }
    }
    Ok(table)
}

fn format_of(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A raw file of `size` bytes in which every n-th MiB holds bytes that do not compress, and the
/// rest is a hole.
fn make_raw(path: &Path, size: u64, data_every: u64) -> Result<(), Failure> {
    use std::io::{Seek, SeekFrom};
    let make = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.set_len(size)?;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for mib in (0..size / MIB).step_by(usize::try_from(data_every).unwrap_or(1)) {
            let mut piece = Vec::with_capacity(1 << 20);
            while piece.len() < 1 << 20 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                piece.extend_from_slice(&state.to_le_bytes());
            }
            file.seek(SeekFrom::Start(mib * MIB))?;
            file.write_all(&piece)?;
        }
        file.sync_all()
    };
    make().map_err(|error| Failure::io("writing", path, &error))
}

/// The example prints operations a second of each side, and their ratio.
fn disk(bench: &Bench) -> Result<Table, Failure> {
    let mut table = Table::new(["case", "VHDX, a second", "raw, a second", "ratio of rates"]);
    for row in inside::run(bench, "disk_speed", &[&bench.rounds.to_string()])? {
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
    table.command("again", "cargo xtask bench disk");
    Ok(table)
}
