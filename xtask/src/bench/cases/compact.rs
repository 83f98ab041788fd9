//! A volume that was filled and emptied to a quarter, made small: in place by what its file system
//! knows, against a copy that leaves zeros out.

use std::path::Path;

use crate::bench::Bench;
use crate::bench::pair::{Cost, Way, pairs, row};
use crate::bench::report::Table;
use crate::failure::{Failure, Outcome};
use crate::process;

use super::peer;

/// Files of the volume, of which one in four stays.
const FILES: u32 = 128;
/// Bytes of each.
const FILE_BYTES: usize = 4 << 20;

pub(super) fn run(bench: &Bench) -> Result<Table, Failure> {
    // On a disk: file systems in memory are slow to tell where the holes of a file are.
    let folder = &bench.folder;
    let image = make(bench, folder)?;
    let work = folder.join("work.vhdx");
    let other = folder.join("other.vhdx");
    let name = |path: &Path| path.display().to_string();
    let mut ours = Way {
        name: "cvol",
        commands: vec![bench.cvol(folder, &["compact", &name(&work)])],
        makes: Vec::new(),
    };
    let words = ["convert", "-O", "vhdx", &name(&image), &name(&other)];
    let mut theirs = Way {
        name: "qemu-img",
        commands: vec![peer(folder, "qemu-img", &words)],
        makes: vec![other.clone()],
    };
    let (mut own, mut others): (Vec<Cost>, Vec<Cost>) = (Vec::new(), Vec::new());
    for round in 0..=bench.rounds {
        // Compaction is in place: each round begins with the same image, copied untimed.
        copy(folder, &image, &work)?;
        let costs = (ours.time()?, theirs.time()?);
        if round > 0 || bench.rounds == 0 {
            own.push(costs.0);
            others.push(costs.1);
        }
    }
    let mut table = pairs();
    row(
        &mut table,
        "filled, emptied to a quarter",
        &own,
        &theirs,
        &others,
    );
    for (name, path) in [("cvol", &work), ("qemu-img", &other)] {
        let length = std::fs::metadata(path).map_err(|e| Failure::io("reading", path, &e))?;
        table.note(&format!(
            "After {name} the file is {} MiB long; {} MiB of files are left.",
            length.len() >> 20,
            u64::from(FILES / 4) * 4
        ));
    }
    table.command(ours.name, &ours.shown());
    table.command(theirs.name, &theirs.shown());
    theirs.clear()?;
    Ok(table)
}

fn copy(folder: &Path, from: &Path, to: &Path) -> Outcome {
    let words = [
        "--sparse=always".to_owned(),
        from.display().to_string(),
        to.display().to_string(),
    ];
    process::capture(&mut peer(folder, "cp", &words))?;
    Ok(())
}

/// The image of a volume of 20 GiB from which three of four files were removed.
fn make(bench: &Bench, folder: &Path) -> Result<std::path::PathBuf, Failure> {
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
    let words = [
        "create",
        "filled",
        "--size",
        "20G",
        "--block-size",
        "2M",
        "--from",
        "files",
    ];
    process::capture(&mut bench.cvol(folder, &words))?;
    let gone = (0..FILES).filter(|number| !number.is_multiple_of(4));
    let mut words = vec!["rm".to_owned()];
    words.extend(gone.map(|number| format!("filled:/{number}")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    process::capture(&mut bench.cvol(folder, &words))?;
    let _ = std::fs::remove_dir_all(&source);
    let image = folder.join("filled.vhdx");
    let text = process::capture(&mut bench.cvol(folder, &["inspect", "filled"]))?;
    let path = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"image_path\": \""))
        .and_then(|rest| rest.split('"').next())
        .ok_or_else(|| Failure::new("inspect names no image".to_owned()))?;
    copy(folder, Path::new(path), &image)?;
    Ok(image)
}
