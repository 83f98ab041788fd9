//! A volume that was filled and emptied to a quarter, made small: in place by what its file system
//! knows, against a copy that leaves zeros out.

use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::bench::pair::{Cost, Way, pairs, row};
use crate::bench::report::Table;
use crate::failure::{Failure, Outcome};
use crate::process;

use super::peer;

/// Files in a folder of the volume, of which one in four stays.
const FILES: u32 = 128;
/// Bytes of each.
const FILE_BYTES: usize = 4 << 20;
/// Bytes of the files in a folder.
const FOLDER_BYTES: u64 = 512 << 20;
/// Folders of the whole case: 16 GiB of the 20 that the volume has.
const FOLDERS: u64 = 32;
/// Bytes that stay free on the host.
const SPARE: u64 = 10 << 30;

/// One folder, in blocks of 2 MiB: a block holds one file or none.
pub(super) fn small(bench: &Bench) -> Result<Table, Failure> {
    run(bench, 1, Some("2M"))
}

/// As many folders as there is room for, in blocks as they are made without being told: each holds a
/// little of what stays.
pub(super) fn full(bench: &Bench) -> Result<Table, Failure> {
    let words = ["--output=avail", "-B1", "."];
    let text = process::capture(&mut peer(&bench.folder, "df", &words))?;
    let free = text
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok());
    let free: u64 = free.ok_or_else(|| Failure::new("df tells no room".to_owned()))?;
    // The image, and the copy that one of the two works on or makes.
    let room = free.saturating_sub(SPARE) / 2 / FOLDER_BYTES;
    run(bench, room.clamp(1, FOLDERS), None)
}

fn run(bench: &Bench, folders: u64, block_size: Option<&str>) -> Result<Table, Failure> {
    // On a disk: file systems in memory are slow to tell where the holes of a file are.
    let folder = &bench.folder;
    let image = make(bench, folders, block_size)?;
    let work = folder.join("work.vhdx");
    let other = folder.join("other.vhdx");
    let name = |path: &Path| path.display().to_string();
    let mut ours = Way {
        name: "cvol",
        commands: vec![bench.cvol(folder, &["compact", &name(&work)])],
        makes: Vec::new(),
    };
    let convert = |how: &'static str, flags: &[&str]| {
        let (image, other) = (name(&image), name(&other));
        let words = [&["convert"], flags, &["-O", "vhdx", &image, &other]].concat();
        Way {
            name: how,
            commands: vec![peer(folder, "qemu-img", &words)],
            makes: vec![other.into()],
        }
    };
    let mut theirs = [
        convert("qemu-img", &[]),
        convert("qemu-img, durable like ours", &["-t", "writeback"]),
    ];
    let mut own: Vec<Cost> = Vec::new();
    let mut others: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
    let (mut length, mut other_length) = (0, 0);
    for round in 0..=bench.rounds {
        let counts = round > 0 || bench.rounds == 0;
        // Compaction is in place: each round begins with the same image, copied untimed.
        copy(folder, &image, &work)?;
        let cost = ours.time()?;
        own.extend(counts.then_some(cost));
        length = length_of(&work)?;
        // There may be no room for both copies at once.
        std::fs::remove_file(&work).map_err(|e| Failure::io("removing", &work, &e))?;
        for (way, costs) in theirs.iter_mut().zip(&mut others) {
            read(folder, &image)?;
            let cost = way.time()?;
            costs.extend(counts.then_some(cost));
            other_length = length_of(&other)?;
            way.clear()?;
        }
    }
    let mut table = pairs();
    let held = folders * FOLDER_BYTES;
    let what = format!("{} MiB filled, emptied to a quarter", held >> 20);
    for (way, costs) in theirs.iter().zip(&others) {
        row(&mut table, &what, &own, way, costs);
    }
    table.note(&format!(
        "{} MiB of files are left. After cvol the file is {} MiB long, after qemu-img {} MiB.",
        held >> 22,
        length >> 20,
        other_length >> 20
    ));
    table.command(ours.name, &ours.shown());
    for way in &theirs {
        table.command(way.name, &way.shown());
    }
    Ok(table)
}

fn length_of(path: &Path) -> Result<u64, Failure> {
    let found = std::fs::metadata(path).map_err(|e| Failure::io("reading", path, &e))?;
    Ok(found.len())
}

/// A copy that is on the disk, and in memory as far as it holds it.
fn copy(folder: &Path, from: &Path, to: &Path) -> Outcome {
    let words = [
        "--sparse=always".to_owned(),
        from.display().to_string(),
        to.display().to_string(),
    ];
    process::capture(&mut peer(folder, "cp", &words))?;
    process::capture(&mut peer(folder, "sync", &[to]))?;
    read(folder, to)
}

/// Reads a file, so that both ways find it in memory as far as that holds it.
fn read(folder: &Path, path: &Path) -> Outcome {
    let words = [
        format!("if={}", path.display()),
        "of=/dev/null".to_owned(),
        "bs=1M".to_owned(),
    ];
    process::capture(&mut peer(folder, "dd", &words))?;
    Ok(())
}

/// The image of a volume of 20 GiB from which three of four files were removed.
fn make(bench: &Bench, folders: u64, block_size: Option<&str>) -> Result<PathBuf, Failure> {
    let folder = &bench.folder;
    let source = folder.join("files");
    std::fs::create_dir_all(&source).map_err(|e| Failure::io("making", &source, &e))?;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for number in 0..FILES {
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        while bytes.len() < FILE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        let path = source.join(format!("{number}"));
        std::fs::write(&path, bytes).map_err(|e| Failure::io("writing", &path, &e))?;
    }
    let mut words = vec!["create", "filled", "--size", "20G"];
    words.extend(block_size.iter().flat_map(|size| ["--block-size", size]));
    process::capture(&mut bench.cvol(folder, &words))?;
    let mut gone = vec!["rm".to_owned()];
    for number in 0..folders {
        let to = format!("filled:/{number}");
        process::capture(&mut bench.cvol(folder, &["cp", "files", &to]))?;
        let files = (0..FILES).filter(|file| !file.is_multiple_of(4));
        gone.extend(files.map(|file| format!("{to}/{file}")));
    }
    let words: Vec<&str> = gone.iter().map(String::as_str).collect();
    process::capture(&mut bench.cvol(folder, &words))?;
    let _ = std::fs::remove_dir_all(&source);
    let text = process::capture(&mut bench.cvol(folder, &["inspect", "filled"]))?;
    let path = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"image_path\": \""))
        .and_then(|rest| rest.split('"').next())
        .ok_or_else(|| Failure::new("inspect names no image".to_owned()))?;
    let image = folder.join("filled.vhdx");
    std::fs::rename(path, &image).map_err(|e| Failure::io("moving", &image, &e))?;
    Ok(image)
}
