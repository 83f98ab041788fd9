//! Archives: a volume filled from a tar stream, and one written as one.

use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::bench::pair::{Way, measure, pairs, peak_memory};
use crate::bench::report::Table;
use crate::failure::{Failure, Outcome};
use crate::process;

use super::peer;

const SOURCE: &str = "/usr/share";

/// A volume from a tar stream on standard input, against one from the directory itself.
pub(super) fn import(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    let mut table = pairs();
    let archive = folder.join("in.tar");
    process::capture(
        peer(folder, "tar", &["-C", SOURCE, "-cf"])
            .arg(&archive)
            .arg("."),
    )?;
    let words = |source| ["create", "data", "--size", "20G", "--from", source];
    // Both by a shell, which the one needs.
    let way = |name, input: &str, source| {
        let script = format!("{input} \"$CVOL\" {}", words(source).join(" "));
        let mut command = peer(folder, "sh", &["-c", script.trim_start()]);
        command
            .env("CVOL", &bench.cvol)
            .env("CVOL_ROOT", folder.join("store"));
        Way {
            name,
            commands: vec![command],
            makes: vec![folder.join("store")],
        }
    };
    let ours = way("cvol", "cat in.tar |", "-");
    let theirs = way("cvol from the directory", "", SOURCE);
    let what = format!("NTFS from a tar stream of {SOURCE}");
    measure(bench, &mut table, &what, ours, vec![theirs])?;
    for (what, source) in [("the directory", SOURCE), ("the archive", "in.tar")] {
        let mut command = bench.cvol(folder, &words(source));
        if let Some(mebibytes) = peak_memory(&mut command)? {
            table.note(&format!(
                "From {what} cvol takes {mebibytes} MiB of memory at its peak."
            ));
        }
        crate::workspace::remove_tree(&folder.join("store"))?;
    }
    Ok(table)
}

/// A volume written as a tar archive, against tar that reads a mounted ext4 with the same files.
pub(super) fn export(bench: &Bench) -> Result<Table, Failure> {
    let folder = bench.memory();
    let mut table = pairs();
    process::capture(&mut bench.cvol(
        folder,
        &["create", "data", "--size", "20G", "--from", SOURCE],
    ))?;
    let ours = || Way {
        name: "cvol",
        commands: vec![bench.cvol(folder, &["export", "data", "-o", "a.tar"])],
        makes: vec![folder.join("a.tar")],
    };
    let what = format!("tar archive of {SOURCE}");
    match Mounted::new(folder) {
        Ok(mounted) => {
            let theirs = Way {
                name: "tar from ext4 in a loop device",
                commands: vec![peer(folder, "tar", &["-C", "mounted", "-cf", "b.tar", "."])],
                makes: vec![folder.join("b.tar")],
            };
            measure(bench, &mut table, &what, ours(), vec![theirs])?;
            mounted.end()?;
        }
        Err(failure) => {
            measure(bench, &mut table, &what, ours(), Vec::new())?;
            table.note(&format!("tar from ext4 is left out: {failure}"));
        }
    }
    crate::workspace::remove_tree(&folder.join("store"))?;
    Ok(table)
}

/// A mounted ext4 with the files of the source.
struct Mounted(Option<PathBuf>);

impl Mounted {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let make = "truncate -s 4G c.raw && mke2fs -q -F -t ext4 c.raw && mkdir mounted && \
                    mount -o loop c.raw mounted";
        process::capture(&mut peer(folder, "sh", &["-c", make]))?;
        let mounted = Self(Some(folder.join("mounted")));
        let copy = format!("cp -a {SOURCE}/. mounted");
        process::capture(&mut peer(folder, "sh", &["-c", &copy]))?;
        Ok(mounted)
    }

    fn end(mut self) -> Outcome {
        self.unmount()
    }

    fn unmount(&mut self) -> Outcome {
        let Some(place) = self.0.take() else {
            return Ok(());
        };
        process::capture(std::process::Command::new("umount").arg(place)).map(drop)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Where measuring failed: that failure is the one to tell.
        let _ = self.unmount();
    }
}
