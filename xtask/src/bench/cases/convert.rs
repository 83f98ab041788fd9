//! Raw to VHDX and back, dense and sparse.
//!
//! qemu-img gets the flags with which it is fastest here: all of a list are tried before each pair.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::bench::Bench;
use crate::bench::pair::{Way, measure, pairs};
use crate::bench::report::Table;
use crate::failure::Failure;
use crate::process;

use super::peer;

const MIB: u64 = 1 << 20;

/// Bytes of the dense input, and of the sparse one.
const MEMORY_SIZES: [u64; 2] = [1024 * MIB, 8192 * MIB];
/// The same on a disk, where the peers alone write each of them fifteen times.
const DISK_SIZES: [u64; 2] = [256 * MIB, 2048 * MIB];

/// Runs of each set of flags.
const TRIES: u32 = 2;

/// Ways to run `qemu-img convert`, without those that only cost (direct I/O has none in memory).
const FLAGS: [&str; 8] = [
    "",
    "-m 1",
    "-m 16",
    "-W",
    "-W -m 4",
    "-W -m 8",
    "-W -m 16",
    "-S 0 -W -m 8",
];
/// The same where the target is a disk, and may be gone round.
const DISK_FLAGS: [&str; 3] = ["-W -m 8", "-t none -W -m 8", "-t none -T none -W -m 16"];
/// Modes in which qemu-img syncs the target, as cvol always does.
const DURABLE_FLAGS: [&str; 2] = ["-t writeback", "-t writeback -W -m 8"];

/// Where memory is the disk, a sync costs nothing: this compares the work itself.
pub(super) fn in_memory(bench: &Bench) -> Result<Table, Failure> {
    let mut table = pairs();
    each(
        bench,
        bench.memory(),
        MEMORY_SIZES,
        &mut |what, ours, make_peer| {
            let best = fastest(&FLAGS, make_peer)?;
            measure(bench, &mut table, what, ours, vec![make_peer(best)])
        },
    )?;
    table.note("qemu-img has the flags that were fastest of those tried:");
    table.note(&format!(
        "`{}`.",
        FLAGS.join("`, `").replacen("``", "none", 1)
    ));
    Ok(table)
}

/// On a disk, where durability has its price: against qemu-img that syncs, and as it comes.
pub(super) fn on_disk(bench: &Bench) -> Result<Table, Failure> {
    let mut table = pairs();
    each(
        bench,
        &bench.folder,
        DISK_SIZES,
        &mut |what, ours, make_peer| {
            let durable = make_peer(fastest(&DURABLE_FLAGS, make_peer)?);
            let lasting = Way {
                name: "qemu-img, durable",
                ..durable
            };
            let loose = make_peer(fastest(&DISK_FLAGS, make_peer)?);
            measure(bench, &mut table, what, ours, vec![lasting, loose])
        },
    )?;
    table.note(
        "cvol syncs what it makes before it gives it its name. qemu-img does so with \
         `-t writeback` alone (rows \"durable\"); as it comes it leaves the bytes in the cache, and \
         its time then says nothing of the disk.",
    );
    Ok(table)
}

type MakePeer<'a> = &'a dyn Fn(&'static str) -> Way;

/// Calls `pair` for each direction of each input.
fn each(
    bench: &Bench,
    folder: &Path,
    [dense, sparse]: [u64; 2],
    pair: &mut dyn FnMut(&str, Way, MakePeer<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for (input, size, data_every) in [("dense", dense, 1), ("sparse", sparse, 16)] {
        let raw = format!("{input}.raw");
        let vhdx = format!("{input}.vhdx");
        make_raw(&folder.join(&raw), size, data_every)?;
        let words = ["convert", "-f", "raw", "-O", "vhdx", &raw, &vhdx];
        process::capture(&mut peer(folder, "qemu-img", &words))?;
        for (from, from_format, to_format) in [(&raw, "raw", "vhdx"), (&vhdx, "vhdx", "raw")] {
            let (a, b) = (format!("a.{to_format}"), format!("b.{to_format}"));
            let ours = Way {
                name: "cvol",
                commands: vec![bench.cvol(folder, &["convert", from, &a])],
                makes: vec![folder.join(&a)],
            };
            let theirs = |flags: &'static str| {
                let mut words = vec!["convert"];
                words.extend(flags.split_whitespace());
                words.extend(["-f", from_format, "-O", to_format, from, &b]);
                Way {
                    name: "qemu-img",
                    commands: vec![peer(folder, "qemu-img", &words)],
                    makes: vec![folder.join(&b)],
                }
            };
            let what = format!("{input} {from_format} to {to_format}");
            pair(&what, ours, &theirs)?;
        }
        for name in [raw, vhdx] {
            // Room for the next input; the folder is removed at the end in any case.
            let _ = std::fs::remove_file(folder.join(&name));
        }
    }
    Ok(())
}

/// The flags with the lowest time of all runs.
fn fastest(flags: &[&'static str], make: MakePeer<'_>) -> Result<&'static str, Failure> {
    let mut best = (f64::INFINITY, "");
    for _ in 0..TRIES {
        for flag in flags {
            let mut way = make(flag);
            // Some file systems have no direct I/O: what fails is no candidate.
            if let Ok(cost) = way.time()
                && cost.seconds < best.0
            {
                best = (cost.seconds, flag);
            }
            way.clear()?;
        }
    }
    Ok(best.1)
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
