//! `cvol.exe` at work under Wine: the same volumes are made there and here, from the same
//! directory and with the same `SOURCE_DATE_EPOCH`; their images must be equal byte by byte. Each
//! side then reads, converts and checks what the other made.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use super::Target;
use super::wine::Wine;
use crate::failure::{Failure, Outcome};
use crate::{demo, process, workspace};

/// The time that both sides are told: 2025-01-01.
const EPOCH: &str = "1735689600";

/// How long one `cvol` may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Volumes that are made on both sides: a name and what follows it on the command line.
const VOLUMES: [(&str, &[&str]); 6] = [
    ("empty", &["--size", "1G"]),
    ("filled", &["--size", "128M", "--from", "tree"]),
    (
        "sectors",
        &["--size", "256M", "--sector-size", "4096", "--from", "tree"],
    ),
    (
        "fat",
        &["--size", "512M", "--fs", "fat32", "--from", "tree"],
    ),
    (
        "fixed",
        &[
            "--size", "64M", "--format", "vhd", "--type", "fixed", "--from", "tree",
        ],
    ),
    (
        "old",
        &["--size", "256M", "--format", "vhd", "--layout", "disk"],
    ),
];

pub(super) fn run(target: &Target) -> Outcome {
    let here = Side::new("here", Command::new(demo::build(false)?))?;
    let mut build = target.cargo("build");
    process::run(build.args(["-p", "cli", "--bin", "cvol"]))?;
    let wine = Wine::prepare()?;
    let _up = wine.stay_up()?;
    let there = Side::new(
        "there",
        wine.command(&target.programs("debug").join("cvol.exe")),
    )?;
    for side in [&here, &there] {
        make_tree(&side.folder.join("tree"))?;
    }
    for (name, words) in VOLUMES {
        compare_volume(&here, &there, name, words)?;
    }
    lists_and_trees(&here, &there)?;
    conversions(&here, &there)?;
    failures(&there)?;
    removal(&there)?;
    println!(
        "windows: cvol.exe made the same {} images as cvol",
        VOLUMES.len()
    );
    Ok(())
}

/// One of the two sides: a way to start `cvol`, a folder to work in, and one for what it says.
struct Side {
    start: Command,
    folder: PathBuf,
    said: PathBuf,
}

impl Side {
    fn new(name: &str, start: Command) -> Result<Self, Failure> {
        let folder = workspace::empty_scratch(&format!("windows/comparison/{name}"))?;
        let said = workspace::empty_scratch(&format!("windows/comparison/{name}-said"))?;
        Ok(Self {
            start,
            folder,
            said,
        })
    }

    /// Runs `cvol` in the folder; every path that it gets is relative to it.
    fn output(&self, words: &[&str]) -> Result<Output, Failure> {
        let mut command = Command::new(self.start.get_program());
        command.args(self.start.get_args());
        for (name, value) in self.start.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(words).current_dir(&self.folder);
        command
            .env("CVOL_ROOT", "store")
            .env("SOURCE_DATE_EPOCH", EPOCH);
        process::output_within(&mut command, &self.said, LIMIT)
    }

    /// Runs `cvol`, which must succeed, and returns what it printed, with line ends of one kind.
    fn cvol(&self, words: &[&str]) -> Result<String, Failure> {
        let output = self.output(words)?;
        if !output.status.success() {
            return Err(Failure::new(format!(
                "cvol {} in {} ended with {}: {}",
                words.join(" "),
                self.folder.display(),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"))
    }

    /// The image of a volume, in the notation of this machine.
    fn image(&self, name: &str) -> Result<PathBuf, Failure> {
        let text = self.cvol(&["inspect", name])?;
        let json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("cvol inspect says no JSON: {error}")))?;
        let path = json[0]["image_path"]
            .as_str()
            .unwrap_or_default()
            .replace('\\', "/");
        let inside = path.split_once("store/").map(|(_, rest)| rest.to_owned());
        let inside = inside.ok_or_else(|| Failure::new(format!("no image in {path:?}")))?;
        Ok(self.folder.join("store").join(inside))
    }
}

/// A small tree that both file systems of the two machines show alike: no links, no hidden names.
fn make_tree(root: &Path) -> Outcome {
    let mut text = String::new();
    for line in 0..20_000 {
        text.push_str(&format!("line {line} of a file that takes many clusters\n"));
    }
    let files = [
        ("empty.txt", ""),
        ("small.txt", "resident\n"),
        ("docs/large.txt", &text),
        (
            "docs/Überraschung \u{1F600}.txt",
            "a name of many kinds of characters\n",
        ),
        (
            "docs/a name that is much longer than eight and three.text",
            "long\n",
        ),
        ("docs/deep/er/still/leaf", "deep\n"),
    ];
    let mut made = Vec::new();
    for (name, text) in files {
        let path = root.join(name);
        workspace::write(&path, text)?;
        made.push(path);
    }
    for number in 0..300 {
        let path = root.join(format!("many/{number:04}.dat"));
        workspace::write(&path, format!("{number}\n"))?;
        made.push(path);
    }
    for folder in [
        "docs/deep/er/still",
        "docs/deep/er",
        "docs/deep",
        "docs",
        "many",
        "",
    ] {
        made.push(root.join(folder));
    }
    for (path, seconds) in made.iter().zip(1_600_000_000_u64..) {
        set_time(path, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))?;
    }
    Ok(())
}

fn set_time(path: &Path, time: SystemTime) -> Outcome {
    File::open(path)
        .and_then(|file| file.set_modified(time))
        .map_err(|error| Failure::io("setting the time of", path, &error))
}

fn compare_volume(here: &Side, there: &Side, name: &str, words: &[&str]) -> Outcome {
    let mut line = vec!["create", name];
    line.extend(words);
    println!("$ cvol {}", line.join(" "));
    for side in [here, there] {
        side.cvol(&line)?;
        side.cvol(&["check", "--volume", name])?;
    }
    equal_files(&here.image(name)?, &there.image(name)?)
}

fn equal_files(ours: &Path, theirs: &Path) -> Outcome {
    let (mut ours_read, mut theirs_read) = (Pieces::open(ours)?, Pieces::open(theirs)?);
    let mut position = 0;
    loop {
        let (a, b) = (ours_read.next()?, theirs_read.next()?);
        if a != b {
            let inside = a.iter().zip(b).position(|(x, y)| x != y);
            let first = position + inside.unwrap_or(a.len().min(b.len()));
            let (ours, theirs) = (ours.display(), theirs.display());
            return Err(Failure::new(format!(
                "{ours} and {theirs} differ from byte {first} on"
            )));
        }
        if a.is_empty() {
            return Ok(());
        }
        position += a.len();
    }
}

/// A file read piece by piece.
struct Pieces {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
}

impl Pieces {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| Failure::io("opening", path, &error))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            buffer: Vec::new(),
        })
    }

    /// The next piece; an empty one at the end.
    fn next(&mut self) -> Result<&[u8], Failure> {
        self.buffer.clear();
        let mut piece = Read::by_ref(&mut self.file).take(1 << 20);
        piece
            .read_to_end(&mut self.buffer)
            .map_err(|error| Failure::io("reading", &self.path, &error))?;
        Ok(&self.buffer)
    }
}

fn equal_text(what: &str, ours: &str, theirs: &str) -> Outcome {
    if ours == theirs {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{what} differs:\n--- here\n{ours}\n--- there\n{theirs}"
    )))
}

/// What the two sides show of their volumes, and the bytes that they read back.
fn lists_and_trees(here: &Side, there: &Side) -> Outcome {
    let names = here.cvol(&["ls", "--quiet"])?;
    if names.lines().count() != VOLUMES.len() {
        return Err(Failure::new(format!("cvol ls lists {names:?}")));
    }
    let leaf = "docs/large.txt";
    for words in [
        &["ls", "--quiet"][..],
        &["tree", "filled"],
        &["tree", "fat"],
        &["ls", "filled:/docs"],
        &["cat", "filled:/docs/large.txt"],
        &["cat", "fat:/docs/large.txt"],
    ] {
        equal_text(&words.join(" "), &here.cvol(words)?, &there.cvol(words)?)?;
    }
    there.cvol(&["cp", "filled:/docs", "copied"])?;
    equal_files(
        &here.folder.join("tree").join(leaf),
        &there.folder.join("copied/large.txt"),
    )
}

/// Each side converts the other's image to each format; the results are equal.
fn conversions(here: &Side, there: &Side) -> Outcome {
    for (mine, other) in [(here, there), (there, here)] {
        fs::copy(other.image("filled")?, mine.folder.join("given.vhdx"))
            .map_err(|error| Failure::io("copying to", &mine.folder, &error))?;
    }
    for target in ["made.raw", "made.vhd", "again.vhdx"] {
        println!("$ cvol convert given.vhdx {target}");
        for side in [here, there] {
            side.cvol(&["convert", "given.vhdx", target])?;
            side.cvol(&["info", target])?;
        }
        equal_files(&here.folder.join(target), &there.folder.join(target))?;
    }
    for image in ["made.vhd", "again.vhdx"] {
        for side in [here, there] {
            side.cvol(&["check", image])?;
        }
    }
    Ok(())
}

/// Exit codes are the same on every system.
fn failures(there: &Side) -> Outcome {
    let cases: [(&[&str], i32); 5] = [
        (&["nothing"], 2),
        (&["create", "con"], 2),
        (&["inspect", "missing"], 3),
        (&["create", "empty"], 4),
        (&["cp", "filled:/x", "filled:/y"], 7),
    ];
    for (words, code) in cases {
        let output = there.output(words)?;
        if output.status.code() != Some(code) {
            return Err(Failure::new(format!(
                "cvol.exe {} ended with {}, not {code}: {}",
                words.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )));
        }
    }
    Ok(())
}

fn removal(there: &Side) -> Outcome {
    for (name, _) in VOLUMES {
        there.cvol(&["rm", name])?;
    }
    equal_text("what is left", "", &there.cvol(&["ls", "--quiet"])?)
}
