//! Volumes made by `cvol.exe`, attached through the library to a machine that runs, and detached again.

use std::path::{Path, PathBuf};
use std::process::Command;

use computecore::Trouble;
use serde_json::Value;

use crate::command::{Cvol, cvol_path};
use crate::ntfs;
use crate::random::Random;

use super::stage::{ID, Stage, Windows, in_windows, said};
use super::troubles;

#[test]
fn volumes_made_on_windows_come_to_a_machine_and_both_sides_read_the_same() {
    let Some(stage) = Stage::new() else { return };
    volumes(&stage);
    attached_and_detached(&stage);
    every_call_failing_in_turn_leaves_nothing(&stage);
    a_machine_that_stops_takes_what_it_had(&stage);
}

/// Three volumes from directories: one of its own, one that others stand on, and one that stands on it.
fn volumes(stage: &Stage) {
    let windows = stage.windows();
    for (tree, seed) in [("one", 1), ("two", 2)] {
        let folder = windows.work().join(tree);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("noise"), noise(seed, 300_000)).unwrap();
        std::fs::write(folder.join("Überall \u{1F600}.txt"), tree).unwrap();
    }
    windows.ok(&["create", "data", "--size", "64M", "--from", "one"]);
    windows.ok(&["create", "base", "--size", "64M", "--from", "two"]);
    windows.ok(&["clone", "base", "child"]);
    windows.ok(&["create", "other", "--size", "64M"]);
    for name in ["data", "base", "child", "other"] {
        let (image, serial) = windows.image(name);
        stage.broker.name(&image, &serial);
    }
}

/// The snapshot of `base` that `child` stands on.
fn layer(windows: &Windows) -> PathBuf {
    windows.image("base").0.with_file_name("image.vhdx")
}

fn attached_and_detached(stage: &Stage) {
    let windows = stage.windows();
    let layer = layer(windows);
    let words = stage.attach_words(&[
        "source=data,target=/m/data",
        "source=child,target=/m/child",
        "source=other,target=/m/other,readonly",
    ]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.ok(&words);
    assert_eq!(stage.broker.places().len(), 3);
    // What the clone stands on had to be opened to the machine, too.
    let host = windows.host();
    let below = in_windows(&layer).to_lowercase();
    assert!(
        host.files_open_to(ID).contains(&below.as_str()),
        "{:?}",
        host.access
    );
    let told =
        stage.sh("cat /m/data/noise | sha256sum; cat /m/child/noise | sha256sum; cat /m/data/Ü*");
    assert!(told.contains(&digest(&noise(1, 300_000))), "{told}");
    assert!(told.contains(&digest(&noise(2, 300_000))), "{told}");
    assert!(told.ends_with("\none"), "{told}");
    // What the machine has is nobody else's.
    windows.fails(5, &["rm", "data"]);
    let told: Value = serde_json::from_str(&windows.ok(&["--json", "ps"])).unwrap();
    assert_eq!(told[0]["mounts"].as_array().unwrap().len(), 3, "{told}");
    let written = stage.sh(
        "head -c 500000 /dev/urandom > /m/data/written && echo more >> /m/child/noise && \
         mkdir /m/child/made && cp /m/data/written /m/child/made/copy && sync && \
         ! touch /m/other/none 2>/dev/null && sha256sum < /m/data/written",
    );
    let written = written.split_whitespace().next().unwrap().to_owned();
    stage.ok(&["detach", "--vm", "web", "--all"]);
    stage.check_bare("detached");
    for (name, file, expected) in [
        ("data", "written", written.clone()),
        ("child", "made/copy", written),
        (
            "child",
            "noise",
            digest(&[noise(2, 300_000), b"more\n".to_vec()].concat()),
        ),
        ("base", "noise", digest(&noise(2, 300_000))),
    ] {
        let (image, _) = windows.image(name);
        // On this side, where only what is named may be stood on beyond a folder, and on that.
        let file = format!("/{file}");
        let read = here(&["--parent"], &layer, &["cat", "--image"], &image, &[&file]);
        assert_eq!(digest(&read), expected, "{name}:{file}");
        let place = format!("{name}:{file}");
        let output = Windows::run(&mut windows.command(&["cat", &place]));
        assert_eq!(
            digest(&output.stdout),
            expected,
            "{place}: {}",
            said(&output)
        );
    }
    for name in ["data", "child"] {
        windows.ok(&["check", "--volume", name]);
        let (image, _) = windows.image(name);
        let cvol = Cvol::new();
        let whole = cvol.work().join("whole.vhdx");
        here(
            &["--parent"],
            &layer,
            &["convert"],
            &image,
            &[whole.to_str().unwrap()],
        );
        ntfs::validate(&ntfs::partition_of(&cvol, &whole, name));
    }
}

/// Every trouble at each call in turn: the volume is attached whole, or not at all, and what could not be
/// undone yet the next `cvol detach` undoes.
fn every_call_failing_in_turn_leaves_nothing(stage: &Stage) {
    const DETACH: [&str; 4] = ["detach", "--vm", "web", "--all"];
    let words = stage.attach_words(&["source=data,target=/m/data"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.ok(&words);
    let calls = stage.windows().log("call:");
    assert!(calls.len() >= 3, "{calls:?}");
    stage.ok(&DETACH);
    let all = troubles::all(&calls);
    for (call, trouble, context) in &all {
        let output = stage.run_with(&words, *call, *trouble, context);
        let is_refused = matches!(trouble, Trouble::Fail(_) | Trouble::FailAfter(_));
        if is_refused {
            assert_eq!(
                output.status.code(),
                Some(8),
                "{context}: {}",
                said(&output)
            );
        } else {
            // A service that is there again is asked again, and what was attached then is whole.
            stage.ok(&DETACH);
        }
        stage.bring_back();
        stage.check_bare(context);
    }
    println!("{} attachments had trouble, and left nothing", all.len());
    stage.windows().ok(&["fsck", "data"]);
}

fn a_machine_that_stops_takes_what_it_had(stage: &Stage) {
    let words = stage.attach_words(&["source=data,target=/m/data"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.ok(&words);
    stage.sh("echo kept > /m/data/kept && sync");
    let mut command = stage.command(&["detach", "--vm", "web", "--all"]);
    command.env("HCS_DOUBLE_TROUBLE", r#"{"2":"Stop"}"#);
    let output = Windows::run(&mut command);
    println!("the machine stopped in the middle: {}", said(&output));
    stage.ok(&["detach", "--vm", "web", "--all"]);
    let host = stage.windows().host();
    assert_eq!(host.machines[ID].disks, [].into());
    assert_eq!(host.access, [].into());
    assert_eq!(stage.broker.places(), []);
    assert!(stage.broker.asked() > 0);
    assert_eq!(stage.windows().ok(&["cat", "data:/kept"]), "kept\n");
    stage.windows().ok(&["rm", "data"]);
}

/// cvol of this machine on an image.
fn here(before: &[&str], layer: &Path, verb: &[&str], image: &Path, after: &[&str]) -> Vec<u8> {
    let mut command = Command::new(cvol_path());
    command
        .args(before)
        .arg(layer)
        .args(verb)
        .arg(image)
        .args(after);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{verb:?} {image:?} {after:?}: {}",
        said(&output)
    );
    output.stdout
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    Random(seed).bytes(length)
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
