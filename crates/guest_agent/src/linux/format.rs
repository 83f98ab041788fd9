//! Formatting on first use, by the programs that the guest has for it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use guest_proto::{ErrorKind, FileSystem, Refusal};

use super::contents;
use crate::refused::{failed, refusal};

/// Where programs are.
const FOLDERS: [&str; 6] = [
    "/sbin",
    "/usr/sbin",
    "/bin",
    "/usr/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
];

/// A program that makes a file system, and its words before the disk.
type Maker = (&'static str, &'static [&'static str]);

fn makers(file_system: FileSystem) -> &'static [Maker] {
    // The disk holds nothing, so nothing on it has to be discarded or overwritten.
    const EXT4: &[&str] = &[
        "-q",
        "-F",
        "-t",
        "ext4",
        "-E",
        "nodiscard,lazy_itable_init=1",
    ];
    match file_system {
        FileSystem::Ext4 => &[("mke2fs", EXT4), ("mkfs.ext4", EXT4)],
        FileSystem::Xfs => &[("mkfs.xfs", &["-q", "-f", "-K"])],
        FileSystem::Fat32 => &[("mkfs.fat", &["-F", "32"])],
        FileSystem::Ntfs => &[("mkntfs", &["-q", "-Q", "-F"])],
        FileSystem::Refs => &[],
    }
}

/// Makes a file system on a disk that holds nothing.
pub(super) fn format(disk: &Path, size: u64, file_system: FileSystem) -> Result<(), Refusal> {
    let (program, words) = maker(file_system)?;
    let opened = OpenOptions::new().read(true).write(true).open(disk);
    let opened = opened.map_err(|error| failed(disk.display(), error))?;
    contents::mark(&opened, size).map_err(|error| failed("marking the disk", error))?;
    run(&program, words, disk)?;
    finish(&opened, size)
}

fn finish(disk: &File, size: u64) -> Result<(), Refusal> {
    contents::unmark(disk, size).map_err(|error| failed("writing out the file system", error))
}

fn maker(file_system: FileSystem) -> Result<(PathBuf, &'static [&'static str]), Refusal> {
    let makers = makers(file_system);
    let found = makers.iter().find_map(|(program, words)| {
        let mut places = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
        let program = places.find(|path| fs::metadata(path).is_ok_and(|facts| facts.is_file()))?;
        Some((program, *words))
    });
    found.ok_or_else(|| {
        let names: Vec<&str> = makers.iter().map(|(name, _)| *name).collect();
        let text = match names.as_slice() {
            [] => format!("Linux cannot make {file_system:?}"),
            names => format!(
                "the guest has no program to make {file_system:?}: {}",
                names.join(" or ")
            ),
        };
        refusal(ErrorKind::Unsupported, text)
    })
}

fn run(program: &Path, words: &[&str], disk: &Path) -> Result<(), Refusal> {
    let mut command = Command::new(program);
    command.args(words).arg(disk).stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| failed(program.display(), error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = format!(
        "{} ended with {}: {}",
        program.display(),
        output.status,
        said.trim()
    );
    Err(refusal(ErrorKind::Failed, text))
}
