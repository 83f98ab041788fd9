//! Layers of a store: what other programs read of them, processes that are killed in the middle, many
//! at once, a host without space.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::command::Cvol;
use crate::full_disk::SmallFileSystem;
use crate::random::Random;
use crate::tools;

/// A store on memory-backed storage where there is one: these tests are about order, not about disks.
fn store() -> Cvol {
    match Path::new("/dev/shm") {
        memory if memory.is_dir() => Cvol::under(memory),
        _ => Cvol::new(),
    }
}

/// Every file in the folder of a volume is a layer of it or its record.
fn assert_no_strays(cvol: &Cvol) {
    let names = cvol.names();
    assert_eq!(
        cvol.volume_folders().len(),
        names.len(),
        "stray or lost folders"
    );
    for name in names {
        let json: serde_json::Value = serde_json::from_str(&cvol.ok(&["inspect", &name])).unwrap();
        let layers = json[0]["layers"].as_array().unwrap();
        let mut expected: Vec<String> = layers
            .iter()
            .map(|layer| layer["file"].as_str().unwrap().to_owned())
            .collect();
        let folder = Path::new(&expected[0]).parent().unwrap().to_owned();
        expected.push(folder.join("volume.json").display().to_string());
        expected.sort();
        let mut found: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().display().to_string())
            .collect();
        found.sort();
        assert_eq!(found, expected, "files of {name}");
        assert!(
            layers.iter().all(|layer| layer["state"] == "ready"),
            "{json}"
        );
    }
    let locks = std::fs::read_dir(cvol.root().join("locks")).unwrap();
    assert_eq!(locks.count(), 0, "stray locks");
}

/// What `state.txt` in a volume or snapshot says, and that all of the rest fits it.
fn version(cvol: &Cvol, name: &str) -> String {
    let state = cvol.ok(&["cat", &format!("{name}:/state.txt")]);
    let fits = cvol.ok(&["cat", &format!("{name}:/large.bin")]);
    assert!(fits.starts_with(&format!("{state} ")), "{name}: {state}");
    state
}

/// Snapshots that can be read, with their versions, and those whose removal began.
fn snapshots(cvol: &Cvol) -> (BTreeMap<String, String>, Vec<String>) {
    let json: serde_json::Value =
        serde_json::from_str(&cvol.ok(&["--json", "snapshot", "ls", "data"])).unwrap();
    let (mut ready, mut removing) = (BTreeMap::new(), Vec::new());
    for snapshot in json.as_array().unwrap() {
        let name = snapshot["name"].as_str().unwrap().to_owned();
        match snapshot["state"].as_str().unwrap() {
            "ready" => {
                let version = version(cvol, &name);
                ready.insert(name, version);
            }
            _ => removing.push(name),
        }
    }
    (ready, removing)
}

/// The files of a version: its number, and that number with much after it, so that it fills blocks.
fn write_version(folder: &Path, version: u64, random: &mut Random) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("state.txt"), version.to_string()).unwrap();
    let mut text = format!("{version} ");
    let length = 1 + usize::try_from(random.below(6 << 20)).unwrap();
    text.extend(std::iter::repeat_n('x', length));
    std::fs::write(folder.join("large.bin"), text).unwrap();
}

/// Most clones at once.
const MOST_CLONES: usize = 3;

/// What a store holds, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// The version of the volume.
    now: String,
    /// Those of its snapshots, by name.
    kept: BTreeMap<String, String>,
    /// Those of its clones, by name.
    clones: BTreeMap<String, String>,
}

/// A command, and what the store holds if it does what it is for.
struct Wanted {
    words: Vec<String>,
    then: Known,
}

/// The files that versions of a volume are made from.
struct Source {
    folder: std::path::PathBuf,
}

impl Known {
    /// What is found, and the snapshots whose removal began.
    fn find(cvol: &Cvol) -> (Self, Vec<String>) {
        let (kept, removing) = snapshots(cvol);
        let mut clones = cvol.names();
        clones.retain(|name| name != "data");
        let found = Self {
            now: version(cvol, "data"),
            kept,
            clones: clones
                .into_iter()
                .map(|name| {
                    let version = version(cvol, &name);
                    (name, version)
                })
                .collect(),
        };
        (found, removing)
    }

    fn any(of: &BTreeMap<String, String>, random: &mut Random) -> Option<(String, String)> {
        let count = u64::try_from(of.len()).unwrap().max(1);
        let number = usize::try_from(random.below(count)).unwrap();
        let (name, version) = of.iter().nth(number)?;
        Some((name.clone(), version.clone()))
    }

    fn wish(&self, round: u64, source: &Source, random: &mut Random) -> Wanted {
        let mut then = self.clone();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let snapshot = Self::any(&self.kept, random);
        let clone = Self::any(&self.clones, random);
        let words: Vec<String> = match (random.below(20), snapshot, clone) {
            (0..4, ..) => {
                write_version(&source.folder, round, random);
                then.now = round.to_string();
                let content = format!("{}/.", source.folder.display());
                words(&["cp", &content, "data:/"])
            }
            (4..6, Some((name, version)), _) => {
                then.now = version;
                words(&["snapshot", "restore", &name])
            }
            (6..10, Some((name, _)), _) => {
                then.kept.remove(&name);
                words(&["snapshot", "rm", &name])
            }
            (10..12, ..) => words(&["compact", "data"]),
            (12..14, Some((name, version)), _) if self.clones.len() < MOST_CLONES => {
                let fresh = format!("clone-{round}");
                then.clones.insert(fresh.clone(), version);
                words(&["clone", &name, &fresh])
            }
            (14, _, Some((name, _))) => {
                then.clones.remove(&name);
                words(&["rm", &name])
            }
            (15, _, Some((name, _))) => words(&["flatten", &name]),
            (16..18, ..) => {
                let size = format!("{}M", 256 + random.below(40) * 8);
                words(&["resize", "data", &size])
            }
            _ => {
                let fresh = format!("data@s{round}");
                then.kept.insert(fresh.clone(), self.now.clone());
                words(&["snapshot", "create", &fresh])
            }
        };
        Wanted { words, then }
    }
}

/// Starts a command and kills it after a moment; whether it was running still.
fn killed(cvol: &Cvol, words: &[&str], random: &mut Random) -> bool {
    let mut child = cvol
        .command(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_micros(random.below(20_000)));
    let was_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    was_running
}

/// `CVOL_LAYER_KILLS` says how many commands are started.
#[test]
fn commands_on_layers_killed_at_any_moment_lose_nothing_and_leave_no_stray() {
    let asked = std::env::var("CVOL_LAYER_KILLS");
    let rounds: u64 = asked.map_or(60, |text| text.parse().unwrap());
    let cvol = store();
    let mut random = Random(0x1a_7e25);
    let source = Source {
        folder: cvol.work().join("source"),
    };
    write_version(&source.folder, 0, &mut random);
    let from = source.folder.to_str().unwrap();
    cvol.ok(&["create", "data", "--size", "256M", "--from", from]);
    let (mut known, _) = Known::find(&cvol);
    let (mut kills, mut by_verb) = (0, BTreeMap::<String, u64>::new());
    for round in 1..=rounds {
        let wanted = known.wish(round, &source, &mut random);
        let words: Vec<&str> = wanted.words.iter().map(String::as_str).collect();
        if killed(&cvol, &words, &mut random) {
            kills += 1;
            let verb = words.iter().take(1 + usize::from(words[0] == "snapshot"));
            let verb: Vec<&str> = verb.copied().collect();
            *by_verb.entry(verb.join(" ")).or_default() += 1;
        }
        let (seen, removing) = Known::find(&cvol);
        // What is written and what is kept are one change each; no command makes two of them.
        assert!(
            seen == known || seen == wanted.then,
            "{words:?}: {seen:?} is neither {known:?} nor {:?}",
            wanted.then
        );
        // What began is completed by asking again, and changes nothing that is read.
        for name in removing {
            if random.below(2) == 0 {
                cvol.ok(&["snapshot", "rm", &name]);
                assert_eq!(version(&cvol, "data"), seen.now);
            }
        }
        known = seen;
    }
    println!("{kills} of {rounds} commands were killed: {by_verb:?}");
    assert!(
        kills * 20 >= rounds,
        "only {kills} of {rounds} were still running when killed"
    );
    let (_, removing) = snapshots(&cvol);
    for name in removing {
        cvol.ok(&["snapshot", "rm", &name]);
    }
    // A change of size that was cut short is completed by whoever opens the volume for writing.
    cvol.ok(&["compact", "data"]);
    assert_no_strays(&cvol);
    // The doctor finds nothing, or what it mends.
    if !cvol.output(&["doctor", "--deep"]).status.success() {
        cvol.output(&["doctor", "--fix", "--deep"]);
        cvol.ok(&["doctor", "--deep"]);
    }
    let names = known.kept.keys().chain(known.clones.keys());
    for name in names.map(String::as_str).chain(["data"]) {
        cvol.ok(&["check", "--volume", name]);
        cvol.ok(&["fsck", "--volume", name]);
    }
    assert_eq!(Known::find(&cvol).0, known);
}

#[test]
fn sixteen_processes_snapshot_clone_restore_and_remove_at_once() {
    let cvol = store();
    cvol.ok(&["create", "base", "--size", "64M", "--fs", "fat32"]);
    std::thread::scope(|scope| {
        for worker in 0..16 {
            let cvol = &cvol;
            scope.spawn(move || {
                let own = format!("clone-{worker}");
                // Sixteen at once take the snapshot that they stand on; they share what they can.
                cvol.ok(&["clone", "base", &own]);
                let snapshot = format!("{own}@s");
                cvol.ok(&["snapshot", "create", &snapshot]);
                cvol.ok(&["mkdir", &format!("{own}:/folder")]);
                cvol.ok(&["snapshot", "restore", &snapshot]);
                assert_eq!(cvol.ok(&["ls", &own]), "");
                if worker % 2 == 0 {
                    cvol.ok(&["snapshot", "rm", &snapshot]);
                    cvol.ok(&["rm", &own]);
                }
            });
        }
    });
    assert_eq!(cvol.names().len(), 9);
    assert_no_strays(&cvol);
    cvol.fails(5, &["rm", "base"]);
}

fn digest_of_raw(cvol: &Cvol, name: &str) -> String {
    let raw = cvol.work().join("out.raw");
    cvol.ok(&[
        "convert",
        "--force",
        "--volume",
        name,
        raw.to_str().unwrap(),
    ]);
    tools::sha256(&raw)
}

/// A volume with two snapshots and a clone of the first, its layers written each.
fn layered(cvol: &Cvol, format: &str) {
    let mut random = Random(7);
    let source = cvol.work().join("source");
    write_version(&source, 1, &mut random);
    let from = source.to_str().unwrap();
    let create = [
        "create", "data", "--size", "64M", "--format", format, "--from", from,
    ];
    cvol.ok(&create);
    let content = format!("{from}/.");
    for (number, snapshot) in [(2, "data@one"), (3, "data@two")] {
        cvol.ok(&["snapshot", "create", snapshot]);
        write_version(&source, number, &mut random);
        cvol.ok(&["cp", &content, "data:/"]);
    }
    cvol.ok(&["clone", "data@one", "copy"]);
    write_version(&source, 4, &mut random);
    cvol.ok(&["cp", &content, "copy:/"]);
}

#[test]
fn other_programs_find_and_read_the_layers_of_a_store() {
    for (format, tool) in [("vhdx", "vhdimount"), ("vhd", "7z")] {
        let is_vhdx = format == "vhdx";
        if !tools::needs(&[tool]) || (is_vhdx && !Path::new("/dev/fuse").exists()) {
            continue;
        }
        let cvol = Cvol::new();
        layered(&cvol, format);
        // Before and after the middle one is merged, which gives a layer another parent.
        for removed in [None, Some("data@one"), Some("data@two")] {
            if let Some(name) = removed {
                if name == "data@one" {
                    cvol.fails(5, &["snapshot", "rm", name]);
                    cvol.ok(&["flatten", "copy"]);
                }
                cvol.ok(&["snapshot", "rm", name]);
            }
            for volume in ["data", "copy"] {
                // Both programs look for a parent in the folder of the child alone.
                if volume == "copy" && removed.is_none() {
                    continue;
                }
                let expected = digest_of_raw(&cvol, volume);
                let image = cvol.image(volume);
                let seen = match is_vhdx {
                    true => digest_by_libvhdi(&cvol, &image),
                    false => {
                        let output = tools::output("7z", &[&"x", &"-so", &"-tVHD", &image]);
                        assert!(output.status.success(), "{output:?}");
                        let raw = cvol.work().join("seven.raw");
                        std::fs::write(&raw, output.stdout).unwrap();
                        tools::sha256(&raw)
                    }
                };
                assert_eq!(seen, expected, "{volume} in {format} without {removed:?}");
            }
        }
        assert_no_strays(&cvol);
    }
}

fn digest_by_libvhdi(cvol: &Cvol, image: &Path) -> String {
    let mount = cvol.work().join("mount");
    std::fs::create_dir_all(&mount).unwrap();
    tools::run("vhdimount", &[&image, &mount]);
    // One file a layer; the last is the youngest.
    let mut layers: Vec<_> = std::fs::read_dir(&mount)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    layers.sort();
    let seen = tools::sha256(layers.last().unwrap());
    tools::run("fusermount3", &[&"-u", &mount]);
    seen
}

#[test]
fn a_flattened_volume_is_a_whole_image_for_qemu() {
    if !tools::needs(&["qemu-img"]) {
        return;
    }
    for format in ["vhdx", "vhd"] {
        let cvol = Cvol::new();
        layered(&cvol, format);
        let expected = digest_of_raw(&cvol, "copy");
        cvol.ok(&["flatten", "copy"]);
        cvol.ok(&["snapshot", "rm", "data@one", "data@two"]);
        for volume in ["copy", "data"] {
            let image = cvol.image(volume);
            let raw = cvol.work().join("qemu.raw");
            let qemu = if format == "vhd" { "vpc" } else { "vhdx" };
            tools::run(
                "qemu-img",
                &[&"convert", &"-f", &qemu, &"-O", &"raw", &image, &raw],
            );
            assert_eq!(
                tools::sha256(&raw),
                digest_of_raw(&cvol, volume),
                "{volume}"
            );
            if format == "vhdx" {
                tools::run("qemu-img", &[&"check", &image]);
            }
        }
        assert_eq!(digest_of_raw(&cvol, "copy"), expected);
    }
}

#[test]
fn a_full_host_leaves_every_layer_as_it_was() {
    let mut refused = 0;
    for size in ["22m", "24m", "27m", "40m"] {
        let Some(host) = SmallFileSystem::new(size) else {
            return;
        };
        let cvol = Cvol::under(host.path());
        // Given back in the end: on a host that is full to the last byte not even a row can change.
        let ballast = host.path().join("ballast");
        std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
        let outside = tempfile::tempdir().unwrap();
        let mut random = Random(11);
        let source = outside.path().join("source");
        let from = source.to_str().unwrap().to_owned();
        write_version(&source, 1, &mut random);
        cvol.ok(&["create", "data", "--size", "64M", "--from", &from]);
        let commands: [&[&str]; 11] = [
            &["compact", "data"],
            &["resize", "data", "+200M"],
            &["snapshot", "create", "data@one"],
            &["clone", "data@one", "copy"],
            &["snapshot", "create", "data@two"],
            &["flatten", "copy"],
            &["compact", "copy"],
            &["resize", "copy", "+100M"],
            &["snapshot", "restore", "data@two"],
            &["snapshot", "rm", "data@one"],
            &["snapshot", "rm", "data@two"],
        ];
        for words in commands {
            let output = cvol.output(words);
            refused += usize::from(!output.status.success());
            let code = output.status.code();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(code, Some(0 | 3 | 5 | 8)), "{words:?}: {error}");
            assert_eq!(version(&cvol, "data"), "1", "{words:?} on {size}");
            for name in cvol.names() {
                assert_eq!(version(&cvol, &name), "1", "{words:?} on {size}");
            }
        }
        std::fs::remove_file(ballast).unwrap();
        cvol.names();
        assert_no_strays(&cvol);
    }
    assert!(refused > 0, "no host was full");
}
