//! An NTFS volume filled from a real folder.

use crate::bench::Bench;
use crate::bench::pair::{Way, measure, pairs};
use crate::bench::report::Table;
use crate::failure::Failure;

use super::peer;

const SOURCE: &str = "/usr/share";

pub(super) fn run(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    let mut table = pairs();
    let words = ["create", "data", "--size", "20G", "--from", SOURCE];
    let ours = Way {
        name: "cvol",
        commands: vec![bench.cvol(folder, &words)],
        makes: vec![folder.join("store")],
    };
    let tar = format!("tar -C {SOURCE} -c . | cat > a.tar");
    let archive = Way {
        name: "tar, no file system",
        commands: vec![peer(folder, "sh", &["-c", &tar])],
        makes: vec![folder.join("a.tar")],
    };
    let what = format!("NTFS from {SOURCE}");
    measure(bench, &mut table, &what, ours, vec![archive])?;
    mounted(bench, &mut table, &what)?;
    Ok(table)
}

/// Copying into a mounted volume takes half a minute, so it is measured once.
fn mounted(bench: &Bench, table: &mut Table, what: &str) -> Result<(), Failure> {
    let folder = bench.memory();
    let words = ["create", "data", "--size", "20G", "--from", SOURCE];
    let ours = Way {
        name: "cvol",
        commands: vec![bench.cvol(folder, &words)],
        makes: vec![folder.join("store")],
    };
    let script = format!(
        "truncate -s 20G b.raw && mkntfs -q -Q -F -p 0 -H 0 -S 0 b.raw && mkdir -p mounted && \
         ntfs-3g -o big_writes b.raw mounted && {{ cp -r --preserve=timestamps {SOURCE}/. mounted; \
         umount mounted; }} && qemu-img convert -W -m 8 -f raw -O vhdx b.raw b.vhdx"
    );
    let theirs = Way {
        name: "mkntfs, ntfs-3g, cp, qemu-img convert",
        commands: vec![peer(folder, "sh", &["-c", &script])],
        makes: vec![folder.join("b.raw"), folder.join("b.vhdx")],
    };
    let once = Bench {
        cvol: bench.cvol.clone(),
        folder: bench.folder.clone(),
        memory: bench.memory.clone(),
        rounds: 0,
    };
    measure(&once, table, what, ours, vec![theirs])?;
    table.note("The row with ntfs-3g is one run (it needs root), all others are medians.");
    Ok(())
}
