//! A file that a result is written to: whole under its name, or not at all.
//!
//! It is made under a temporary name beside it, `.{name}.cvol-*.tmp`, which only a killed process
//! leaves behind.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use blockio::{FileStorage, replace_file, write_file_atomically};
use vdisk::{CreateOptions, ImageDisk, ImageFormat};

use crate::error::{Error, Result};
use crate::image::ImageReference;

/// How a picture begins.
const PICTURE_START: &[u8] = b"<svg ";

/// A file to be made.
#[derive(Clone, Copy)]
pub(crate) struct Target<'t> {
    pub(crate) path: &'t Path,
    /// Whether an existing file is replaced.
    pub(crate) replace: bool,
    /// What it is made from.
    pub(crate) source: &'t ImageReference,
}

impl Target<'_> {
    /// Refuses a target that exists (unless it is to be replaced), is a folder, or is the source.
    pub(crate) fn check(&self) -> Result<()> {
        let metadata = match fs::symlink_metadata(self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::host("look at", self.path)(error)),
        };
        if !self.replace {
            return Err(Error::TargetExists {
                path: self.path.to_owned(),
            });
        }
        if !metadata.is_file() {
            return Err(Error::InvalidRequest {
                message: format!("{} is no file that could be replaced", self.path.display()),
            });
        }
        if let ImageReference::File(source) = self.source
            && let (Ok(source), Ok(target)) =
                (fs::canonicalize(source), fs::canonicalize(self.path))
            && source == target
        {
            return Err(Error::InvalidRequest {
                message: format!("{} is both source and target", self.path.display()),
            });
        }
        Ok(())
    }

    /// Makes the file. `write` gets an empty one under another name, makes it durable and closes it:
    /// Windows renames no open file.
    pub(crate) fn make<T>(&self, write: impl FnOnce(FileStorage) -> Result<T>) -> Result<T> {
        let (temporary, storage) = TemporaryFile::create_beside(self.path)?;
        let made = write(storage)?;
        // It may have come into being meanwhile.
        self.check()?;
        temporary.take_place_of(self.path)?;
        Ok(made)
    }

    /// Makes an image, with what `fill` writes to its disk.
    pub(crate) fn make_image<T>(
        &self,
        format: ImageFormat,
        options: &CreateOptions,
        fill: impl FnOnce(&dyn ImageDisk) -> Result<T>,
    ) -> Result<T> {
        let name = self.path.display().to_string();
        self.make(|storage| {
            let image = vdisk::create(Box::new(storage), format, options)
                .map_err(Error::image("create", &name))?;
            let filled = fill(&*image)?;
            // Closing makes the bytes durable.
            image.close().map_err(Error::image("write", &name))?;
            Ok(filled)
        })
    }
}

/// Makes a picture (SVG) the whole content of a file, in one step. What is there already is replaced
/// only where it is one: a name that was mistyped may be that of an image.
///
/// # Errors
/// `InvalidArgument` where the path names no file, or one that is no picture; `NotFound`, `NoSpace`,
/// `Io`.
pub fn write_picture(path: &Path, picture: &str) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() && !is_picture(path) {
        return Err(Error::InvalidRequest {
            message: format!(
                "{} exists already, and is no picture that could be replaced",
                path.display()
            ),
        });
    }
    let Some(name) = path.file_name() else {
        return Err(Error::InvalidRequest {
            message: format!("{} names no file", path.display()),
        });
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    write_file_atomically(folder, name, picture.as_bytes())
        .map_err(Error::image("write", path.display().to_string()))
}

/// Whether a file begins as pictures of ours do, or holds nothing.
fn is_picture(path: &Path) -> bool {
    let mut start = Vec::new();
    let length = u64::try_from(PICTURE_START.len()).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|file| file.take(length).read_to_end(&mut start));
    read.is_ok() && (start.is_empty() || start == PICTURE_START)
}

/// A file that is removed on drop unless it took its place.
struct TemporaryFile {
    path: PathBuf,
    armed: bool,
}

impl TemporaryFile {
    /// A new file in the folder of `target`.
    fn create_beside(target: &Path) -> Result<(Self, FileStorage)> {
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
    fn take_place_of(mut self, target: &Path) -> Result<()> {
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
            let target = Target {
                path: &folder.path().join(text),
                replace: true,
                source: &ImageReference::File(source.clone()),
            };
            target.check()
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
