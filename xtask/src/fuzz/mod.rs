//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, on the stable toolchain. Our code is safe
//! Rust, so that no sanitizer is needed to see a fault: a panic, an endless loop or an unbounded
//! allocation ends the run.

mod seeds;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::setup::Group;
use crate::{process, setup, workspace};

pub(crate) const HELP: &str = "\
usage: cargo xtask fuzz [TARGET]... [--seconds N] [--keep]
       cargo xtask fuzz TARGET --input FILE

Runs the fuzz targets, or those named, for N seconds each (60 without). They start from the
committed corpus in fuzz/corpus, from seeds made of small images by cvol, and from what earlier runs
found. An input that brings a target down is left in fuzz/artifacts.

  --input FILE   run the target once, on this input
  --keep         afterwards add small inputs that reach new code to the committed corpus

Targets: ntfs_fsck, vhdx_open, vhdx_changes, vhdx_child, vhd_open, gpt, option_string, names, sddl,
tar_import, qcow2_open, repair, nbd_session, qmp_answers, ledger, guest_channel.
";

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What `-Zsanitizer` would switch on for coverage alone.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";

/// Committed inputs are at most this long.
const LARGEST_KEPT: u64 = 4096;
/// Of each target so many inputs are committed at most.
const MOST_KEPT: usize = 200;

/// A fuzz target with the longest input that makes sense for it.
#[derive(Debug)]
struct Target {
    name: &'static str,
    longest: u32,
}

const TARGETS: [Target; 16] = [
    Target {
        name: "ntfs_fsck",
        longest: 1024,
    },
    Target {
        name: "vhdx_open",
        longest: 4096,
    },
    Target {
        name: "vhdx_changes",
        longest: 1024,
    },
    Target {
        name: "vhdx_child",
        longest: 1024,
    },
    Target {
        name: "vhd_open",
        longest: 16_384,
    },
    Target {
        name: "gpt",
        longest: 65_536,
    },
    Target {
        name: "option_string",
        longest: 512,
    },
    Target {
        name: "names",
        longest: 128,
    },
    Target {
        name: "sddl",
        longest: 1024,
    },
    Target {
        name: "tar_import",
        longest: 16_384,
    },
    Target {
        name: "qcow2_open",
        longest: 4096,
    },
    Target {
        name: "repair",
        longest: 1024,
    },
    Target {
        name: "nbd_session",
        longest: 2048,
    },
    Target {
        name: "qmp_answers",
        longest: 4096,
    },
    Target {
        name: "ledger",
        longest: 8192,
    },
    Target {
        name: "guest_channel",
        longest: 8192,
    },
];

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let seconds = arguments.number("--seconds")?.unwrap_or(60);
    let keep = arguments.flag("--keep");
    let input = arguments.option("--input")?.map(PathBuf::from);
    let mut named = Vec::new();
    while let Some(name) = arguments.positional()? {
        named.push(find(&name)?);
    }
    arguments.finish()?;
    if named.is_empty() {
        named.extend(&TARGETS);
    }
    setup::require(&[Group::Build, Group::Fuzz])?;
    if let Some(input) = input {
        let [target] = named.as_slice() else {
            return Err(Failure::usage("--input needs one target"));
        };
        return process::run(Command::new(build(target)?).arg(input));
    }
    let mut failed = Vec::new();
    for target in named {
        if let Err(failure) = hunt(target, seconds) {
            println!("fuzz: {failure}");
            failed.push(target.name);
        } else if keep {
            commit_corpus(target)?;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "brought down: {}; see fuzz/artifacts",
        failed.join(", ")
    )))
}

fn find(name: &str) -> Result<&'static Target, Failure> {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.ok_or_else(|| Failure::usage(format!("no fuzz target {name:?}")))
}

/// Builds a target and returns its program.
fn build(target: &Target) -> Result<PathBuf, Failure> {
    let folder = workspace::target().join("fuzz");
    let mut command = process::cargo();
    command.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a triple the flags are kept from build scripts.
    command
        .args(["--bin", target.name, "--target", TRIPLE])
        .arg("--target-dir")
        .arg(&folder);
    process::run(command.env("RUSTFLAGS", FLAGS))?;
    Ok(folder.join(TRIPLE).join("release").join(target.name))
}

/// The corpus that is committed.
fn committed(target: &Target) -> PathBuf {
    workspace::root().join("fuzz/corpus").join(target.name)
}

fn hunt(target: &Target, seconds: u64) -> Outcome {
    let program = build(target)?;
    let found = workspace::scratch(&format!("fuzz/corpus/{}", target.name))?;
    let seeds = seeds::make(target.name)?;
    let artifacts = workspace::root().join("fuzz/artifacts").join(target.name);
    for folder in [&artifacts, &committed(target)] {
        std::fs::create_dir_all(folder).map_err(|error| Failure::io("making", folder, &error))?;
    }
    let mut command = Command::new(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=0",
        ])
        .arg(&found)
        .arg(committed(target))
        .arg(seeds);
    process::run(&mut command)
}

/// Adds to the committed corpus what reaches code that it does not reach, the shortest first.
fn commit_corpus(target: &Target) -> Outcome {
    let program = build(target)?;
    let merged = workspace::empty_scratch(&format!("fuzz/merged/{}", target.name))?;
    let mut command = Command::new(program);
    command
        .args(["-merge=1", "-verbosity=0"])
        .arg(format!("-max_len={}", target.longest))
        .arg(&merged)
        .arg(committed(target))
        .arg(workspace::target().join("fuzz/corpus").join(target.name));
    process::run(&mut command)?;
    let mut inputs = files_by_size(&merged)?;
    inputs.retain(|(size, _)| *size <= LARGEST_KEPT);
    inputs.truncate(MOST_KEPT);
    for (_, input) in inputs {
        let kept = committed(target).join(input.file_name().unwrap_or_default());
        workspace::write(&kept, workspace::read(&input)?)?;
    }
    Ok(())
}

fn files_by_size(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Failure> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| Failure::io("listing", folder, &error))?;
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.len(), entry.path())))
        .collect();
    files.sort();
    Ok(files)
}
