//! Seeds for the fuzz targets: small images that `cvol` makes now, so that they follow what it
//! writes, and no image is committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::{demo, process, workspace};

/// Makes the seeds of a target and returns their folder; it may be empty.
pub(super) fn make(target: &str) -> Result<PathBuf, Failure> {
    let seeds = workspace::empty_scratch(&format!("fuzz/seeds/{target}"))?;
    match target {
        "vhd_open" => vhd(&seeds)?,
        "gpt" => gpt(&seeds)?,
        "option_string" => texts(
            &seeds,
            &[
                "size=1G,fs=ntfs,persistent=true",
                "size=512MiB,fs=fat32,format=vhd,type=fixed,layout=disk",
                "fs=none,block=1M,sector=4096,cluster=64K,label=Data",
            ],
        )?,
        "names" => texts(
            &seeds,
            &["data", "web-1.cache_2", "con", "aux.txt", "COM1", "a.b"],
        )?,
        "sddl" => texts(
            &seeds,
            &[
                "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICIIO;GXGR;;;BU)S:AI(AU;SAFA;FW;;;WD)(ML;;NW;;;LW)",
                "O:S-1-5-93-2-1D:AR(D;NPID;0x1301bf;;;S-1-0x010000000000-7)",
                "D:NO_ACCESS_CONTROL",
            ],
        )?,
        // The target makes its own image and takes its input for changes to it.
        _ => {}
    }
    Ok(seeds)
}

fn texts(seeds: &Path, texts: &[&str]) -> Outcome {
    for (number, text) in texts.iter().enumerate() {
        workspace::write(&seeds.join(format!("{number}")), text)?;
    }
    Ok(())
}

fn vhd(seeds: &Path) -> Outcome {
    for (number, size) in ["3M", "16M", "200M"].iter().enumerate() {
        let image = seeds.join(format!("{number}"));
        image_file(&image, &["--format", "vhd", "--fs", "none", "--size", size])?;
    }
    Ok(())
}

/// A whole disk is too long an input: what stands between the two partition tables is left out,
/// and the target puts the places and checksums right.
fn gpt(seeds: &Path) -> Outcome {
    const TABLE: usize = 34 * 512;
    let whole = workspace::scratch("fuzz")?.join("gpt.raw");
    image_file(
        &whole,
        &["--format", "raw", "--fs", "none", "--size", "16M"],
    )?;
    let bytes = workspace::read(&whole)?;
    let last = bytes.len().saturating_sub(TABLE);
    let short = [bytes.get(..TABLE), bytes.get(last..)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    workspace::write(&seeds.join("0"), short.concat())
}

/// The image of a new volume, copied to `path`.
fn image_file(path: &Path, words: &[&str]) -> Outcome {
    let store = workspace::empty_scratch("fuzz/store")?;
    let cvol = demo::Cvol::new(demo::build(false)?, store);
    let mut create = vec!["create", "seed"];
    create.extend(words);
    process::capture(&mut cvol.command(&create))?;
    let mut copy = Command::new("cp");
    process::run_quietly(copy.arg(cvol.image("seed")?).arg(path))
}
