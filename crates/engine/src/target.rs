//! A file that a result is written to: whole under its name, or not at all.
//!
//! It is made under a temporary name beside it, `.{name}.cvol-*.tmp`, which only a killed process
//! leaves behind.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blockio::{FileStorage, replace_file, write_file_atomically};

use crate::error::{Error, Result};
use crate::image::ImageReference;

/// Refuses a target that exists (unless it is to be replaced), is a folder, or is the source.
pub(crate) fn check_target(path: &Path, replace: bool, source: &ImageReference) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::host("look at", path)(error)),
    };
    if !replace {
        return Err(Error::TargetExists {
            path: path.to_owned(),
        });
    }
    if !metadata.is_file() {
        return Err(Error::InvalidRequest {
            message: format!("{} is no file that could be replaced", path.display()),
        });
    }
    if let ImageReference::File(source) = source
        && let (Ok(source), Ok(target)) = (fs::canonicalize(source), fs::canonicalize(path))
        && source == target
    {
        return Err(Error::InvalidRequest {
            message: format!("{} is both source and target", path.display()),
        });
    }
    Ok(())
}

/// Makes `bytes` the whole content of a file, in one step.
///
/// # Errors
/// `InvalidArgument` where the path names no file, `NotFound`, `NoSpace`, `Io`.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(Error::InvalidRequest {
            message: format!("{} names no file", path.display()),
        });
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    write_file_atomically(folder, name, bytes)
        .map_err(Error::image("write", path.display().to_string()))
}

/// A file that is removed on drop unless it took its place.
pub(crate) struct TemporaryFile {
    pub(crate) path: PathBuf,
    armed: bool,
}

impl TemporaryFile {
    /// A new file in the folder of `target`.
    pub(crate) fn create_beside(target: &Path) -> Result<(Self, FileStorage)> {
        let Some(name) = target.file_name() else {
            return Err(Error::InvalidRequest {
                message: format!("{} names no file", target.display()),
            });
        };
        let nanoseconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos());
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".cvol-{}-{nanoseconds}.tmp", std::process::id()));
        let path = target.with_file_name(temporary);
        let storage = FileStorage::create_new(&path)
            .map_err(Error::image("create", target.display().to_string()))?;
        Ok((Self { path, armed: true }, storage))
    }

    /// Gives the file its name.
    pub(crate) fn take_place_of(mut self, target: &Path) -> Result<()> {
        let name = target.display().to_string();
        replace_file(&self.path, target).map_err(Error::image("write", name))?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if self.armed {
            // Absent where it was never made; else nothing more can be done than to leave it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_target_is_not_the_source_in_another_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("Image.raw");
        fs::write(&source, "x").unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let spelled = |text: &str| {
            let text = folder.path().join(text);
            check_target(&text, true, &ImageReference::File(source.clone()))
        };
        let mut same = vec!["Image.raw", "sub/../Image.raw"];
        // Windows does not tell cases apart.
        if cfg!(windows) {
            same.extend(["IMAGE.RAW", "image.raw", "sub/../iMAGE.raw"]);
        }
        for text in same {
            let error = spelled(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        }
        assert!(spelled("other.raw").is_ok());
    }
}
