//! The built `cvol` command, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The `cvol` of the same build as this test.
pub(crate) fn cvol_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "cli", "--manifest-path"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"))
            .arg("--target-dir")
            .arg(folder.parent().unwrap())
            .status()
            .unwrap();
        assert!(status.success(), "cvol does not build");
        folder.join("cvol")
    })
}

/// A store in a temporary folder and the command that works on it.
pub(crate) struct Cvol {
    folder: tempfile::TempDir,
}

impl Cvol {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// An empty store beneath `folder`.
    pub(crate) fn under(folder: &Path) -> Self {
        Self {
            folder: tempfile::tempdir_in(folder).unwrap(),
        }
    }

    /// A folder beside the store for files of the test.
    pub(crate) fn work(&self) -> &Path {
        self.folder.path()
    }

    /// The root folder of the store.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The command with `--root` set and nothing inherited that could change what it does.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cvol_path());
        command.arg("--root").arg(self.root()).args(arguments);
        command
            .env_remove("CVOL_ROOT")
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Runs the command to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the command, which must succeed, and returns its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "cvol {arguments:?} failed with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the command, which must end with `code`, and returns its standard error.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "cvol {arguments:?}: {error}"
        );
        assert!(
            !error.trim().is_empty(),
            "cvol {arguments:?} failed without a word"
        );
        error
    }

    /// The image file of a volume.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        let text = self.ok(&["inspect", name]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let path = json[0]["image_path"]
            .as_str()
            .unwrap_or_else(|| panic!("inspect names no image: {text}"));
        PathBuf::from(path)
    }

    /// The names of all volumes, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .ok(&["ls", "--quiet"])
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    /// Every entry below `volumes/` of the store, sorted.
    pub(crate) fn volume_folders(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root().join("volumes")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}
