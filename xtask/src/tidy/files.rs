//! The text files of the repository: everything that is not built, fetched or kept by git.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::workspace;

/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 5] = [".git", "target", "corpus", "artifacts", "coverage"];

/// One text file.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Its path from the root of the workspace.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl TextFile {
    /// The path with `/` between its parts on every system.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string().replace('\\', "/")
    }
}

/// Reads all of them, in the order of their names.
pub(crate) fn all() -> Result<Vec<TextFile>, Failure> {
    let root = workspace::root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).map_err(|error| Failure::io("listing", &folder, &error))?;
        for entry in entries.flatten() {
            let path = entry.path();
            // In a second work tree, `.git` is a file.
            if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Some(file) = read(&root, &path)? {
                files.push(file);
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// A file that is not UTF-8 is data, not text.
fn read(root: &Path, path: &Path) -> Result<Option<TextFile>, Failure> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        // An editor's passing file may be gone by now.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("reading", path, &error)),
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(None);
    };
    let path = path.strip_prefix(root).unwrap_or(path).to_path_buf();
    Ok(Some(TextFile { path, text }))
}
