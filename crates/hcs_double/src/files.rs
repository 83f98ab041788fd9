//! The files of a host: those that a model lists, or those of the system that the double runs on, as far
//! as the service looks at them.

use std::path::Path;

use blockio::{FileAccess, FileStorage, LockMode};
use serde::{Deserialize, Serialize};
use vdisk::ImageFormat;

use crate::codes::{
    FILE_CORRUPT, FILE_NOT_FOUND, PARENT_ID_MISMATCH, PARENT_NOT_FOUND, Refusal, VHD_CYCLE, refusal,
};
use crate::host::HostModel;

/// Images in one chain; no honest one has as many.
const MAX_CHAIN: usize = 64;

/// What is in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A VHD or VHDX.
    #[default]
    Disk,
    /// It is a directory.
    Directory,
    /// Neither.
    Other,
}

/// A file as the service sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileModel {
    /// What is in it.
    pub content: Content,
    /// The image that it stands on.
    pub parent: Option<String>,
    /// Whether the file system keeps no space for its holes.
    pub sparse: bool,
    /// Whether the file system compresses it.
    pub compressed: bool,
    /// Whether the file system encrypts it.
    pub encrypted: bool,
}

impl FileModel {
    /// A directory.
    pub fn directory() -> Self {
        Self {
            content: Content::Directory,
            ..Self::default()
        }
    }

    /// An image that stands on another one.
    pub fn child_of(parent: &str) -> Self {
        Self {
            parent: Some(parent.to_owned()),
            ..Self::default()
        }
    }
}

impl HostModel {
    /// A file or directory; `None` where there is none.
    ///
    /// # Errors
    /// Where an image names a parent that is not there or is another than it remembers.
    pub(crate) fn file(&self, path: &str) -> Result<Option<FileModel>, Refusal> {
        match &self.files {
            Some(files) => {
                let mut files = files.iter();
                let found = files.find(|(name, _)| name.eq_ignore_ascii_case(path));
                Ok(found.map(|(_, file)| file.clone()))
            }
            None => look(path),
        }
    }

    /// Whether there is a file or directory.
    pub(crate) fn has_file(&self, path: &str) -> bool {
        match &self.files {
            Some(files) => files.keys().any(|name| name.eq_ignore_ascii_case(path)),
            None => Path::new(path).exists(),
        }
    }

    /// An image with all that it stands on, the image first.
    pub(crate) fn chain(&self, path: &str) -> Result<Vec<(String, FileModel)>, Refusal> {
        let mut chain: Vec<(String, FileModel)> = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next.take() {
            let missing = if chain.is_empty() {
                FILE_NOT_FOUND
            } else {
                PARENT_NOT_FOUND
            };
            let file = self.file(&path)?;
            let file = file.ok_or_else(|| refusal(missing, format!("{path} is not there")))?;
            if file.content != Content::Disk {
                let words = format!("{path} is no VHD or VHDX");
                return Err(refusal(FILE_CORRUPT, words));
            }
            let is_there = |(other, _): &(String, FileModel)| other.eq_ignore_ascii_case(&path);
            if chain.len() >= MAX_CHAIN || chain.iter().any(is_there) {
                return Err(refusal(VHD_CYCLE, format!("{path} stands on itself")));
            }
            next.clone_from(&file.parent);
            chain.push((path, file));
        }
        Ok(chain)
    }
}

/// Looks at a file of this system.
fn look(path: &str) -> Result<Option<FileModel>, Refusal> {
    let Ok(metadata) = std::fs::metadata(path) else {
        return Ok(None);
    };
    if metadata.is_dir() {
        return Ok(Some(FileModel::directory()));
    }
    let attributes = attributes(&metadata);
    let mut file = FileModel {
        content: Content::Other,
        parent: None,
        sparse: attributes & 0x200 != 0,
        compressed: attributes & 0x800 != 0,
        encrypted: attributes & 0x4000 != 0,
    };
    let Some((format, storage)) = open(Path::new(path)) else {
        return Ok(Some(file));
    };
    let Ok(info) = vdisk::info(&storage, Some(format)) else {
        return Ok(Some(file));
    };
    file.content = Content::Disk;
    if let Some(parent) = info.parent {
        file.parent = Some(find_parent(path, &parent)?);
    }
    Ok(Some(file))
}

#[cfg(windows)]
fn attributes(metadata: &std::fs::Metadata) -> u32 {
    std::os::windows::fs::MetadataExt::file_attributes(metadata)
}

#[cfg(not(windows))]
fn attributes(_metadata: &std::fs::Metadata) -> u32 {
    0
}

/// Opens an image without any lock: whoever has it open meanwhile is judged by the model.
fn open(path: &Path) -> Option<(ImageFormat, FileStorage)> {
    let storage = FileStorage::open_with_lock(path, FileAccess::ReadOnly, LockMode::None).ok()?;
    let format = vdisk::probe(&storage).ok()?;
    matches!(format, ImageFormat::Vhdx | ImageFormat::Vhd).then_some((format, storage))
}

/// The first of the ways to a parent that leads to an image, if that is the one that is remembered.
fn find_parent(child: &str, parent: &vdisk::ParentInfo) -> Result<String, Refusal> {
    let folder = Path::new(child).parent().unwrap_or(Path::new("."));
    for way in &parent.paths {
        // The notation of Windows, wherever this runs.
        let text = if cfg!(windows) {
            way.path.clone()
        } else {
            way.path.replace('\\', "/")
        };
        let candidate = folder.join(text);
        let Some((format, storage)) = open(&candidate) else {
            continue;
        };
        let remembered = [parent.linkage, parent.linkage2];
        if format == ImageFormat::Vhdx
            && let Ok(link) = vdisk::link_state(&storage, format)
            && !remembered.contains(&link.data_identity)
        {
            let words = format!("{} was changed since", candidate.display());
            return Err(refusal(PARENT_ID_MISMATCH, words));
        }
        let found = std::path::absolute(&candidate).unwrap_or(candidate);
        return Ok(found.display().to_string());
    }
    let words = format!("what {child} stands on is not there");
    Err(refusal(PARENT_NOT_FOUND, words))
}
