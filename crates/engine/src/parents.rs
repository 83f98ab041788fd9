//! Which files may be parents of a differencing image that lies in a folder of the host.
//!
//! Invariant: a name in an image leads to a file in the folder of the image that the caller named,
//! or below it, or to a file that the caller gave; to no other, whatever links lead there. So an
//! image from a stranger cannot have a file read that the caller did not put beside it.
//!
//! Names are tried as Windows does: relative, volume, absolute. On a host without drives an absolute
//! one is looked for by its last part, beside the child.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blockio::{FileAccess, FileStorage, IoError, Storage};
use vdisk::{
    FileIdentity, ImageError, ImageFormat, OpenedParent, ParentGate, ParentInfo, ParentPath,
};

/// The gate of one image file.
pub(crate) struct PathGate {
    allowed: Arc<Allowed>,
    /// The image whose parents are asked for, by its canonical path.
    child: PathBuf,
}

struct Allowed {
    /// The folder of the image that the caller named, by its canonical path.
    tree: PathBuf,
    /// Files that the caller gave, by their canonical paths.
    given: Vec<PathBuf>,
}

/// A file that may be opened.
struct Candidate {
    path: PathBuf,
    identity: FileIdentity,
}

impl PathGate {
    /// The gate of `image`, to parents in its folder and those in `given`.
    ///
    /// # Errors
    /// Where the host cannot tell what `image` or a file of `given` is.
    pub(crate) fn new(image: &Path, given: &[PathBuf]) -> Result<Self, ImageError> {
        let canonical = |path: &Path| fs::canonicalize(path).map_err(unreadable);
        let child = canonical(image)?;
        let tree = child.parent().unwrap_or(&child).to_owned();
        let given = given.iter().map(|path| canonical(path));
        Ok(Self {
            allowed: Arc::new(Allowed {
                tree,
                given: given.collect::<Result<_, _>>()?,
            }),
            child,
        })
    }

    /// The gate of `parent`, as if it had been named by a child beside which the caller put it.
    pub(crate) fn parent(path: &Path, given: &[PathBuf]) -> Result<OpenedParent, ImageError> {
        let gate = Self::new(path, given)?;
        let storage = FileStorage::open(&gate.child, FileAccess::ReadOnly)?;
        Ok(OpenedParent {
            storage: Box::new(storage),
            name: path.display().to_string(),
            gate: Box::new(gate),
        })
    }

    /// The given file that is the parent by what it says of itself.
    fn given(&self, format: ImageFormat, parent: &ParentInfo) -> Option<&PathBuf> {
        let linkages = [parent.linkage, parent.linkage2].into_iter().flatten();
        let wanted: Vec<String> = linkages.map(|id| id.to_string()).collect();
        self.allowed.given.iter().find(|path| {
            // One that cannot be read is not the one; if it is wanted by name, that will be told.
            let info = FileStorage::open(path, FileAccess::ReadOnly)
                .map_err(ImageError::from)
                .and_then(|storage| vdisk::info(&storage, Some(format)));
            info.is_ok_and(|info| info.ids.iter().any(|(_, id)| wanted.contains(id)))
        })
    }

    /// The gate of a file that this one led to.
    pub(crate) fn of(&self, path: &Path) -> Self {
        Self {
            allowed: self.allowed.clone(),
            child: path.to_owned(),
        }
    }

    /// Opens a parent that was found for writing.
    ///
    /// # Errors
    /// What opening it fails with.
    pub(crate) fn open_for_writing(&self, path: &Path) -> Result<OpenedParent, ImageError> {
        Ok(OpenedParent {
            storage: Box::new(FileStorage::open(path, FileAccess::ReadWrite)?),
            name: path.display().to_string(),
            gate: Box::new(self.of(path)),
        })
    }

    /// The file that is the parent that an image of `format` names.
    ///
    /// # Errors
    /// `ParentDenied`, `ParentMissing`.
    pub(crate) fn find(
        &self,
        format: ImageFormat,
        parent: &ParentInfo,
    ) -> Result<PathBuf, ImageError> {
        if let Some(given) = self.given(format, parent) {
            return Ok(given.clone());
        }
        let mut tried = Vec::new();
        let mut denied = None;
        let folder = self.child.parent().unwrap_or(&self.child);
        for name in &parent.paths {
            let Some(path) = host_path(folder, name) else {
                continue;
            };
            match fs::canonicalize(&path) {
                // Images of one store are all called alike: beside the child that finds the child.
                Ok(found) if found == self.child && is_guess(name) => {}
                // An empty name leads to the folder of the image.
                Ok(found) if found.is_dir() => tried.push(path.display().to_string()),
                Ok(found) if self.is_allowed(&found) => return Ok(found),
                Ok(_) => denied = denied.or_else(|| Some(path.display().to_string())),
                Err(_) => tried.push(path.display().to_string()),
            }
        }
        if let Some(parent) = denied {
            return Err(ImageError::ParentDenied {
                parent,
                reason: "it lies outside the folder of the image and was not given",
            });
        }
        // What was given is the wrong one, which the format will say with what it expected.
        let given = self.allowed.given.iter().find(|path| **path != self.child);
        given.cloned().ok_or_else(|| {
            tried.dedup();
            ImageError::ParentMissing {
                parent: parent.display_name(),
                tried,
            }
        })
    }

    fn is_allowed(&self, path: &PathBuf) -> bool {
        path.starts_with(&self.allowed.tree) || self.allowed.given.contains(path)
    }
}

impl ParentGate for PathGate {
    fn identity(&self) -> Option<FileIdentity> {
        let metadata = fs::metadata(&self.child).ok()?;
        Some(identity(&self.child, &metadata))
    }

    fn open_parent(
        &self,
        format: ImageFormat,
        parent: &ParentInfo,
        descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError> {
        let path = self.find(format, parent)?;
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        let found = Candidate {
            identity: identity(&path, &metadata),
            path,
        };
        let name = found.path.display().to_string();
        // Before it is opened: an image that is open for writing is locked against its own reader.
        if descendants.contains(&found.identity) {
            return Err(ImageError::ParentLoop { parent: name });
        }
        let storage = FileStorage::open(&found.path, FileAccess::ReadOnly)?;
        let opened = storage.as_file().metadata().map_err(unreadable)?;
        if identity(&found.path, &opened) != found.identity {
            return Err(ImageError::ParentDenied {
                parent: name,
                reason: "another file took its place while it was opened",
            });
        }
        let storage: Box<dyn Storage> = Box::new(storage);
        Ok(OpenedParent {
            storage,
            name,
            gate: Box::new(Self {
                allowed: self.allowed.clone(),
                child: found.path,
            }),
        })
    }
}

fn unreadable(error: io::Error) -> ImageError {
    let (offset, length) = (blockio::ByteOffset(0), blockio::ByteCount(0));
    IoError::host(blockio::Operation::Open, offset, length, error).into()
}

/// What tells one file from another.
#[cfg(unix)]
fn identity(_path: &Path, metadata: &fs::Metadata) -> FileIdentity {
    use std::os::unix::fs::MetadataExt;
    FileIdentity::new(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// What tells one file from another: its canonical path. Hard links to one file are taken for
/// several, and a circle of those is found by its depth.
#[cfg(windows)]
fn identity(path: &Path, _metadata: &fs::Metadata) -> FileIdentity {
    FileIdentity::new(path.to_string_lossy().to_lowercase())
}

/// Where on this host a name of a parent leads; `None` where it leads nowhere here.
fn host_path(folder: &Path, name: &ParentPath) -> Option<PathBuf> {
    let mut parts = name.path.split(['\\', '/']).filter(|part| !part.is_empty());
    if is_relative(name) {
        return Some(parts.fold(folder.to_owned(), |path, part| path.join(part)));
    }
    if cfg!(windows) {
        return Some(PathBuf::from(&name.path));
    }
    parts.next_back().map(|last| folder.join(last))
}

fn is_relative(name: &ParentPath) -> bool {
    match name.kind {
        "relative_path" | "W2ru" | "Wi2r" => true,
        "backing_file" => !name.path.starts_with('/'),
        // Old programs wrote a bare name into the header.
        _ => !name.path.contains(['\\', '/', ':']),
    }
}

/// Whether a name is looked for by its last part alone.
fn is_guess(name: &ParentPath) -> bool {
    !cfg!(windows) && !is_relative(name)
}

/// What a child in `child` is to call its parent `parent`, in the spelling of Windows.
///
/// # Errors
/// Where the host cannot tell where the two are.
pub(crate) fn names(child: &Path, parent: &Path) -> io::Result<vdisk::ParentNames> {
    let parent = fs::canonicalize(parent)?;
    let folder = match child.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::canonicalize(folder)?,
        _ => fs::canonicalize(".")?,
    };
    let text = parent.to_string_lossy();
    // As Windows writes it: without the prefix of canonical paths. A path of Unix has no drive; spelled
    // with backslashes it is still what readers expect that take their name of the parent from here
    // alone (libvhdi), and that we look for by its last part.
    let absolute = if cfg!(windows) {
        text.strip_prefix(r"\\?\").unwrap_or(&text).to_owned()
    } else {
        text.replace('/', "\\")
    };
    Ok(vdisk::ParentNames {
        relative: relative(&folder, &parent),
        volume: None,
        absolute: Some(absolute),
    })
}

/// The way from `folder` to `file`, both canonical; `None` where there is none (two drives).
fn relative(folder: &Path, file: &Path) -> Option<String> {
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), file.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return None;
    }
    let up = from.len() - common;
    let mut parts = vec![".".to_owned(); usize::from(up == 0)];
    parts.extend(std::iter::repeat_n("..".to_owned(), up));
    for part in &to[common..] {
        parts.push(part.as_os_str().to_str()?.to_owned());
    }
    Some(parts.join("\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_name_is_spelled_as_windows_spells_it() {
        for (folder, file, expected) in [
            ("/a/b", "/a/b/base.vhdx", r".\base.vhdx"),
            ("/a/b", "/a/b/c/base.vhdx", r".\c\base.vhdx"),
            ("/a/b", "/a/base.vhdx", r"..\base.vhdx"),
            ("/a/b/c", "/a/x/base.vhdx", r"..\..\x\base.vhdx"),
        ] {
            let found = relative(Path::new(folder), Path::new(file));
            assert_eq!(found.as_deref(), Some(expected));
        }
    }

    /// All images of a store are called `image.vhdx`: a clone, read as a file, whose parent lies in
    /// another folder was told that its parents lead in a circle.
    #[test]
    fn a_parent_that_is_called_as_its_child_is_not_taken_for_it() {
        let store = tempfile::tempdir().unwrap();
        let image = |volume: &str| store.path().join(volume).join("image.vhdx");
        for volume in ["base", "clone"] {
            fs::create_dir(store.path().join(volume)).unwrap();
            fs::write(image(volume), volume).unwrap();
        }
        let name = |kind, path: &str| ParentPath {
            kind,
            path: path.to_owned(),
        };
        let relative = name("relative_path", r"..\base\image.vhdx");
        let absolute = name("absolute_win32_path", r"C:\store\base\image.vhdx");
        let find = |paths: &[&ParentPath]| {
            let parent = ParentInfo {
                linkage: None,
                linkage2: None,
                paths: paths.iter().map(|path| (*path).clone()).collect(),
            };
            let gate = PathGate::new(&image("clone"), &[]).unwrap();
            gate.find(ImageFormat::Vhdx, &parent)
        };
        let found = find(&[&relative, &absolute]);
        assert!(
            matches!(&found, Err(ImageError::ParentDenied { parent, .. }) if parent.contains("base")),
            "{found:?}"
        );
        let found = find(&[&absolute]);
        assert!(
            matches!(&found, Err(ImageError::ParentMissing { .. })),
            "{found:?}"
        );
        // An empty name leads to a folder, and none leads nowhere.
        for (paths, told) in [
            (&[&name("relative_path", "")][..], "looked at"),
            (&[], "the image names no file"),
        ] {
            let error = find(paths).unwrap_err();
            assert!(matches!(error, ImageError::ParentMissing { .. }), "{error}");
            assert!(error.to_string().contains(told), "{error}");
        }
        // One that says by its place that it is its own parent is one.
        let found = find(&[&name("relative_path", r".\image.vhdx")]);
        assert_eq!(found.unwrap(), fs::canonicalize(image("clone")).unwrap());
    }

    #[test]
    fn a_name_leads_beside_the_child_whatever_slashes_it_has() {
        let name = |kind, path: &str| ParentPath {
            kind,
            path: path.to_owned(),
        };
        let folder = Path::new("/images");
        for (kind, path, expected) in [
            ("relative_path", r".\base.vhdx", "/images/./base.vhdx"),
            ("relative_path", r"..\b\base.vhdx", "/images/../b/base.vhdx"),
            ("W2ru", "base.vhd", "/images/base.vhd"),
            ("parent_unicode_name", "base.vhd", "/images/base.vhd"),
        ] {
            let found = host_path(folder, &name(kind, path));
            assert_eq!(found.as_deref(), Some(Path::new(expected)), "{path}");
        }
        if cfg!(unix) {
            let found = host_path(folder, &name("absolute_win32_path", r"C:\x\base.vhdx"));
            assert_eq!(found.as_deref(), Some(Path::new("/images/base.vhdx")));
        }
    }
}
