//! An empty NTFS volume of 100 GiB, and what making it writes.

use std::path::Path;

use crate::bench::Bench;
use crate::bench::pair::{Way, measure, pairs};
use crate::bench::report::Table;
use crate::failure::Failure;
use crate::process;

use super::peer;

const CREATE: [&str; 6] = ["create", "data", "--size", "100G", "--fs", "ntfs"];
const MKNTFS: [&str; 8] = ["-q", "-Q", "-F", "-p", "0", "-H", "0", "-S"];

/// The two ways of others that need no root: a sparse raw file is formatted and converted, and a
/// VHDX is formatted through the FUSE export of QEMU's storage daemon.
pub(super) fn run(bench: &Bench) -> Result<Table, Failure> {
    let mut table = pairs();
    let memory = bench.memory();
    let mut theirs = vec![converted(memory, "unsafe")];
    if process::find("qemu-storage-daemon").is_some() && Path::new("/dev/fuse").exists() {
        theirs.push(through_fuse(memory));
    }
    let what = "empty 100 GiB NTFS, in memory";
    measure(bench, &mut table, what, own(bench, memory), theirs)?;
    let disk = &bench.folder;
    let what = "empty 100 GiB NTFS, durable on disk";
    let theirs = vec![converted(disk, "writeback")];
    measure(bench, &mut table, what, own(bench, disk), theirs)?;
    written(bench, &mut table)?;
    Ok(table)
}

fn own(bench: &Bench, folder: &Path) -> Way {
    Way {
        name: "cvol",
        commands: vec![bench.cvol(folder, &CREATE)],
        makes: vec![folder.join("store")],
    }
}

/// By way of a sparse raw file. `cache` is qemu-img's mode for the target: `writeback` syncs it.
fn converted(folder: &Path, cache: &str) -> Way {
    let mut convert = peer(
        folder,
        "qemu-img",
        &["convert", "-W", "-m", "8", "-t", cache],
    );
    convert.args(["-f", "raw", "-O", "vhdx", "a.raw", "a.vhdx"]);
    Way {
        name: "raw, mkntfs, qemu-img convert",
        commands: vec![
            peer(folder, "qemu-img", &["create", "-q", "a.raw", "100G"]),
            mkntfs(folder, "a.raw"),
            convert,
        ],
        makes: vec![folder.join("a.raw"), folder.join("a.vhdx")],
    }
}

fn mkntfs(folder: &Path, name: &str) -> std::process::Command {
    let mut command = peer(folder, "mkntfs", &MKNTFS);
    command.args(["0", name]);
    command
}

fn through_fuse(folder: &Path) -> Way {
    let script = "qemu-img create -q -f vhdx b.vhdx 100G && : > mnt && \
        qemu-storage-daemon --blockdev driver=file,node-name=f,filename=b.vhdx \
        --blockdev driver=vhdx,node-name=v,file=f \
        --export type=fuse,id=e,node-name=v,mountpoint=mnt,writable=on \
        --daemonize --pidfile pid && \
        mkntfs -q -Q -F -p 0 -H 0 -S 0 mnt; fusermount3 -u mnt; kill $(cat pid); \
        while [ -e pid ]; do sleep 0.005; done";
    Way {
        name: "mkntfs on qemu-storage-daemon",
        commands: vec![peer(folder, "sh", &["-c", script])],
        makes: vec![folder.join("b.vhdx"), folder.join("mnt")],
    }
}

/// What is written, as the system calls say, and what the store takes on its host afterwards.
fn written(bench: &Bench, table: &mut Table) -> Result<(), Failure> {
    let folder = bench.memory();
    let mut traced = peer(
        folder,
        "strace",
        &[
            "-f",
            "-qq",
            "-e",
            "trace=write,pwrite64,writev,pwritev",
            "-o",
            "trace",
        ],
    );
    traced
        .arg(&bench.cvol)
        .args(CREATE)
        .env("CVOL_ROOT", folder.join("store"));
    process::capture(&mut traced)?;
    let trace = crate::workspace::read_text(&folder.join("trace"))?;
    let bytes: u64 = trace
        .lines()
        .filter_map(|line| line.rsplit_once("= ")?.1.trim().parse::<u64>().ok())
        .sum();
    let used = process::capture(&mut peer(folder, "du", &["-sk", "store"]))?;
    let kib = used.split_whitespace().next().unwrap_or("?");
    crate::workspace::remove_tree(&folder.join("store"))?;
    let mib = f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0;
    table.note(&format!(
        "cvol writes {mib:.2} MiB by all its system calls together, the database of the store \
         included (strace); the store then takes {kib} KiB on its host (du)."
    ));
    Ok(())
}
