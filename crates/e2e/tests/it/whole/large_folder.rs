//! One folder with very many files: a hundred thousand, or with `CVOL_WHOLE=full` a million.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::crate_walk;
use super::judge::Judged;
use crate::command::Cvol;
use crate::ntfs::{Mount, differences, partition, validate, validate_very_large};
use crate::tools;

/// What a build may hold in memory.
const MEMORY_KIB: u64 = 2 << 20;

fn make(folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    for number in 0..count {
        let content = if number % 10 == 0 { "ten" } else { "" };
        fs::write(
            folder.join(format!("entry number {number:07}.txt")),
            content,
        )
        .unwrap();
    }
}

/// The most memory that a command held while it ran, in KiB.
fn run_and_watch(cvol: &Cvol, arguments: &[&str]) -> u64 {
    let mut child = cvol
        .command(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // It only grows, so that the last that is read before the end is the most.
        let text = fs::read_to_string(&status_file).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) = high.and_then(|line| line.split_whitespace().next()) {
            peak = kib.parse().unwrap();
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{arguments:?}: {status}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_folder_of_very_many_files_is_built_in_bounded_memory_and_read_by_others() {
    if Judged::begin().is_none() {
        return;
    }
    let count = if super::is_full() { 1_000_000 } else { 100_000 };
    let started = Instant::now();
    let step = |what: &str| println!("{:>6.1} s {what}", started.elapsed().as_secs_f64());
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    make(&source.join("folder"), count);
    step("source made");
    let from = source.to_str().unwrap();
    let peak = run_and_watch(&cvol, &["create", "large", "--size", "20G", "--from", from]);
    step(&format!("built, {} MiB at most", peak >> 10));
    assert!(peak > 0 && peak < MEMORY_KIB, "{peak} KiB");
    let partition = partition(&cvol, "large");
    match super::is_full() {
        true => validate_very_large(&partition),
        false => validate(&partition),
    }
    step("validated");
    assert_eq!(crate_walk::count(&partition), count + 1);
    step("found by the crate ntfs");
    {
        let mount = Mount::with(&partition, "ro,streams_interface=none");
        assert_eq!(differences(&source, mount.path()), [""; 0]);
        step("compared through ntfs-3g");
    }
    let first = cvol.work().join("first.tar");
    let archive = first.to_str().unwrap();
    let peak = run_and_watch(&cvol, &["export", "large", "-o", archive]);
    step(&format!("exported, {} MiB at most", peak >> 10));
    assert!(peak > 0 && peak < MEMORY_KIB, "{peak} KiB");
    let peak = run_and_watch(
        &cvol,
        &["create", "back", "--size", "20G", "--from", archive],
    );
    step(&format!("built of the archive, {} MiB at most", peak >> 10));
    assert!(peak > 0 && peak < MEMORY_KIB, "{peak} KiB");
    let second = cvol.work().join("second.tar");
    cvol.ok(&["export", "back", "-o", second.to_str().unwrap()]);
    tools::run("cmp", &[&first, &second]);
    step("and exported the same");
}
