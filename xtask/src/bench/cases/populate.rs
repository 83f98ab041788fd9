//! An NTFS volume filled from a real folder, and from a million small files.

use std::path::Path;

use crate::bench::Bench;
use crate::bench::pair::{Way, measure, pairs, peak_memory};
use crate::bench::report::Table;
use crate::failure::{Failure, Outcome};

use super::peer;
use super::peers::Peers;

const SOURCE: &str = "/usr/share";
/// Files of the folder of small ones, and bytes of each.
const MANY: u32 = 1_000_000;
const SMALL: usize = 200;
/// Rounds at most where one takes half a minute.
const LONG_ROUNDS: u64 = 3;

/// An empty NTFS volume in a sparse raw file.
const MKNTFS: &str = "truncate -s 20G b.raw && mkntfs -q -Q -F -p 0 -H 0 -S 0 b.raw";

/// From `/usr/share`.
pub(super) fn real(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    let mut table = pairs();
    let mut peers = Peers::default();
    let what = format!("NTFS from {SOURCE}");
    let mut theirs = vec![tar(folder, SOURCE)];
    theirs.extend(peers.tar2ext4(folder, SOURCE));
    theirs.extend(wimlib(folder, SOURCE)?);
    theirs.extend(peers.fstool(folder, SOURCE));
    measure(
        bench,
        &mut table,
        &what,
        cvol(bench, folder, SOURCE),
        theirs,
    )?;
    let slow = vec![mounted(folder, SOURCE), mke2fs(folder, SOURCE)];
    let ours = cvol(bench, folder, SOURCE);
    measure(&bench.with_rounds(0), &mut table, &what, ours, slow)?;
    remove(&folder.join("source.wim"))?;
    table.note(
        "The rows with ntfs-3g (it needs root) and mke2fs are one run, all others are medians. \
         cvol makes a VHDX; wimapply, fstool, tar2ext4 and mke2fs make raw images. wimapply alone \
         has its WIM, not compressed, made before.",
    );
    peers.note(&mut table);
    Ok(table)
}

/// From a million small files in one folder, which lie on the disk: in memory they would take more
/// of it than their volume.
pub(super) fn many(bench: &Bench) -> Result<Table, Failure> {
    let source = bench.folder.join("many");
    println!("making {MANY} files");
    make_many(&source)?;
    let bench = &bench.with_rounds(bench.rounds.min(LONG_ROUNDS));
    let folder = bench.memory();
    let source = source.display().to_string();
    let mut table = pairs();
    let mut peers = Peers::default();
    let mut theirs = vec![tar(folder, &source)];
    theirs.extend(peers.tar2ext4(folder, &source));
    let what = format!("NTFS from {MANY} files of {SMALL} bytes");
    measure(
        bench,
        &mut table,
        &what,
        cvol(bench, folder, &source),
        theirs,
    )?;
    let mut ours = cvol(bench, folder, &source);
    let mebibytes = ours.commands.first_mut().map(peak_memory).transpose()?;
    ours.clear()?;
    crate::workspace::remove_tree(Path::new(&source))?;
    if let Some(mebibytes) = mebibytes.flatten() {
        table.note(&format!(
            "cvol takes {mebibytes} MiB of memory at its peak."
        ));
    }
    peers.note(&mut table);
    Ok(table)
}

fn cvol(bench: &Bench, folder: &Path, source: &str) -> Way {
    let words = ["create", "data", "--size", "20G", "--from", source];
    Way {
        name: "cvol",
        commands: vec![bench.cvol(folder, &words)],
        makes: vec![folder.join("store")],
    }
}

fn script(folder: &Path, name: &'static str, script: &str, makes: &[&str]) -> Way {
    Way {
        name,
        commands: vec![peer(folder, "sh", &["-c", script])],
        makes: makes.iter().map(|name| folder.join(name)).collect(),
    }
}

fn tar(folder: &Path, source: &str) -> Way {
    let tar = format!("tar -C {source} -c . | cat > a.tar");
    script(folder, "tar, no file system", &tar, &["a.tar"])
}

/// wimlib writes into NTFS without mounting it, from a WIM.
fn wimlib(folder: &Path, source: &str) -> Result<[Way; 2], Failure> {
    let capture =
        |wim: &str| format!("wimcapture {source} {wim} --compress=none --no-acls > wim.log 2>&1");
    let apply = |wim: &str| format!("{MKNTFS} && wimapply {wim} 1 b.raw > wim.log 2>&1");
    // Made here once for the way that has it.
    crate::process::capture(&mut peer(folder, "sh", &["-c", &capture("source.wim")]))?;
    let both = format!("{} && {}", capture("own.wim"), apply("own.wim"));
    Ok([
        script(
            folder,
            "mkntfs, wimapply alone",
            &apply("source.wim"),
            &["b.raw", "wim.log"],
        ),
        script(
            folder,
            "wimcapture, mkntfs, wimapply",
            &both,
            &["b.raw", "own.wim", "wim.log"],
        ),
    ])
}

/// Copying into a mounted volume.
fn mounted(folder: &Path, source: &str) -> Way {
    let copy = format!(
        "{MKNTFS} && mkdir -p mounted && ntfs-3g -o big_writes b.raw mounted && \
         {{ cp -r --preserve=timestamps {source}/. mounted; umount mounted; }} && \
         qemu-img convert -W -m 8 -f raw -O vhdx b.raw b.vhdx"
    );
    let name = "mkntfs, ntfs-3g, cp, qemu-img convert";
    script(folder, name, &copy, &["b.raw", "b.vhdx"])
}

fn mke2fs(folder: &Path, source: &str) -> Way {
    let make = format!("mke2fs -q -F -t ext4 -d {source} c.raw 4G");
    script(folder, "mke2fs -d", &make, &["c.raw"])
}

fn make_many(folder: &Path) -> Outcome {
    let make = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for number in 0..MANY {
            std::fs::write(folder.join(format!("file-{number:07}.txt")), [b'x'; SMALL])?;
        }
        Ok(())
    };
    make().map_err(|error| Failure::io("filling", folder, &error))
}

fn remove(path: &Path) -> Outcome {
    std::fs::remove_file(path).map_err(|error| Failure::io("removing", path, &error))
}
