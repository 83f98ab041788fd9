//! `cargo xtask demo`: the main job, on a real directory, as a user would do it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::setup::Group;
use crate::{agent, process, setup, workspace};

pub(crate) const HELP: &str = "\
usage: cargo xtask demo [DIR] [--release] [--keep]

Builds cvol and makes a volume, filled from DIR, in a store of its own below cargo's target folder;
then shows the volume listed, its tree, one file read back with the same digest, and what qemu-img
says of the image. At the end a virtual machine has the volume: its guest writes a file, and the volume
at rest holds it (on Linux). Without DIR: /usr/share/doc, or the sources of cvol where that is missing.

  --release   build with all optimisations (takes longer to build)
  --keep      leave the store there to look at; otherwise the volume is removed at the end
";

const NAME: &str = "demo";
/// Lines of the tree that are shown.
const TREE_LINES: usize = 24;
/// The file that is read back is at most this large.
const LARGEST_READ_BACK: u64 = 16 << 20;

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let release = arguments.flag("--release");
    let keep = arguments.flag("--keep");
    let source = arguments
        .positional()?
        .map_or_else(default_source, PathBuf::from);
    arguments.finish()?;
    let source = std::fs::canonicalize(&source)
        .map_err(|error| Failure::io("looking at", &source, &error))?;
    setup::require(&[Group::Build, Group::Demo])?;

    let store = workspace::empty_scratch("demo")?;
    let cvol = Cvol {
        program: build(release)?,
        store: store.join("store"),
    };
    create_and_list(&cvol, &source)?;
    read_back(&cvol, &source, &store)?;
    let image = cvol.image(NAME)?;
    ask_qemu(&image)?;
    if cfg!(target_os = "linux") {
        use_in_machine(&cvol)?;
    }
    if keep {
        println!("\nThe store is {}", cvol.store.display());
        return Ok(());
    }
    heading("The volume is removed again");
    cvol.show(&["rm", NAME])?;
    workspace::remove_tree(&store)
}

fn default_source() -> PathBuf {
    let documents = PathBuf::from("/usr/share/doc");
    if documents.is_dir() {
        documents
    } else {
        workspace::root().join("crates")
    }
}

fn heading(text: &str) {
    println!("\n--- {text}");
}

/// Builds `cvol` and returns where it is.
pub(crate) fn build(release: bool) -> Result<PathBuf, Failure> {
    let mut command = process::cargo();
    command.args(["build", "-p", "cli", "--bin", "cvol"]);
    command.args(release.then_some("--release"));
    process::run(&mut command)?;
    let profile = if release { "release" } else { "debug" };
    let name = format!("cvol{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace::target().join(profile).join(name))
}

/// `cvol` with a store of its own.
pub(crate) struct Cvol {
    program: PathBuf,
    store: PathBuf,
}

impl Cvol {
    pub(crate) fn new(program: PathBuf, store: PathBuf) -> Self {
        Self { program, store }
    }

    /// A command line on that store.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("CVOL_ROOT", &self.store);
        command
    }

    /// Shows the command line and lets the command print.
    fn show(&self, words: &[&str]) -> Outcome {
        process::run(&mut self.command(words))
    }

    /// Where the image of a volume is.
    pub(crate) fn image(&self, name: &str) -> Result<PathBuf, Failure> {
        let text = process::capture(&mut self.command(&["inspect", name]))?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("cvol inspect says no JSON: {error}")))?;
        let path = json[0]["image_path"].as_str();
        path.map(PathBuf::from)
            .ok_or_else(|| Failure::new("cvol inspect names no image"))
    }
}

fn create_and_list(cvol: &Cvol, source: &Path) -> Outcome {
    heading("A volume is made from a directory");
    let from = source.display().to_string();
    cvol.show(&[
        "create",
        NAME,
        "--size",
        "20G",
        "--fs",
        "ntfs",
        "--from",
        &from,
        "--keep-going",
    ])?;
    heading("It is listed");
    cvol.show(&["ls"])?;
    heading("Its tree");
    let mut tree = cvol.command(&["tree", NAME]);
    println!("$ {}", process::shown(&tree));
    let text = process::capture(&mut tree)?;
    for line in text.lines().take(TREE_LINES) {
        println!("{line}");
    }
    let more = text.lines().count().saturating_sub(TREE_LINES);
    if more > 0 {
        println!("... and {more} more lines");
    }
    Ok(())
}

/// Reads one file back and compares it with its source.
fn read_back(cvol: &Cvol, source: &Path, folder: &Path) -> Outcome {
    heading("A file is read back");
    let Some(file) = pick_file(source) else {
        println!("(the directory holds no file that could be read back)");
        return Ok(());
    };
    let inside = file
        .strip_prefix(source)
        .unwrap_or(&file)
        .display()
        .to_string();
    let copy = folder.join("read-back");
    let mut cat = cvol.command(&["cat", &format!("{NAME}:/{}", inside.replace('\\', "/"))]);
    println!("$ {} > {}", process::shown(&cat), copy.display());
    let output = process::output(&mut cat)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "cvol cat ended with {}: {said}",
            output.status
        )));
    }
    workspace::write(&copy, &output.stdout)?;
    if process::find("sha256sum").is_some() {
        process::run(Command::new("sha256sum").arg(&file).arg(&copy))?;
    }
    if workspace::read(&file)? != output.stdout {
        return Err(Failure::new(format!(
            "{inside} reads back with other bytes"
        )));
    }
    println!("The two files are equal.");
    Ok(())
}

/// The largest file, up to a limit, with a name of plain characters. Links are not followed.
fn pick_file(source: &Path) -> Option<PathBuf> {
    let mut best: Option<(u64, PathBuf)> = None;
    let mut folders = vec![source.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // What cannot be read is left out of the volume as well.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let plain = entry.file_name().to_str().is_some_and(|name| {
                name.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            });
            if !plain {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && std::fs::File::open(entry.path()).is_ok() {
                let size = entry.metadata().map_or(0, |metadata| metadata.len());
                let larger = best.as_ref().is_none_or(|(known, _)| size > *known);
                if size > 0 && size <= LARGEST_READ_BACK && larger {
                    best = Some((size, entry.path()));
                }
            }
        }
    }
    best.map(|(_, path)| path)
}

/// A guest writes a file into the volume, which is read from the volume at rest.
fn use_in_machine(cvol: &Cvol) -> Outcome {
    heading("A virtual machine has the volume, and its guest writes a file");
    setup::guest::prepare()?;
    let agent = agent::build()?;
    let mount = format!("source={NAME},target=/data");
    let script =
        "uname -sr > /data/from-guest; ls /data | wc -l; df -h /data; sha256sum /data/from-guest";
    let mut command = cvol.command(&["vm", "run", "--mount", &mount, "--", "sh", "-c", script]);
    command
        .env("CVOL_GUEST", setup::guest::folder())
        .env("CVOL_GUEST_AGENT", agent);
    process::run(&mut command)?;
    heading("The machine is gone; the file at rest");
    let mut cat = cvol.command(&["cat", &format!("{NAME}:/from-guest")]);
    println!("$ {}", process::shown(&cat));
    let text = process::capture(&mut cat)?;
    print!("{text}");
    if !text.starts_with("Linux ") {
        return Err(Failure::new(
            "the volume does not hold what the guest wrote",
        ));
    }
    cvol.show(&["fsck", NAME])
}

fn ask_qemu(image: &Path) -> Outcome {
    heading("What qemu-img says of the image");
    let Some(qemu) = process::find("qemu-img") else {
        println!("(qemu-img is not installed)");
        return Ok(());
    };
    process::run(Command::new(&qemu).arg("info").arg(image))?;
    process::run(Command::new(&qemu).arg("check").arg(image))
}
