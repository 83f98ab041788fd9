//! The gate between a differencing image and the parent it names.
//!
//! The paths in an image are advice of an untrusted file. No code of this crate opens one: it asks
//! a gate, which the caller supplies and which knows what may be opened. The default denies all.
//!
//! A gate belongs to one image, the child: what the child calls `.\base.vhdx` lies beside the child.
//! With the parent's bytes it hands out the gate of the parent, for the parent's own parent.

use blockio::Storage;

use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::info::ParentInfo;

/// What tells one file from another, whatever names lead to it; made by the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIdentity(String);

/// A parent that a gate let through.
pub struct OpenedParent {
    /// Its bytes, for reading.
    pub storage: Box<dyn Storage>,
    /// Its name, to be shown.
    pub name: String,
    /// The gate to its own parent.
    pub gate: Box<dyn ParentGate>,
}

/// Decides which file, if any, is the parent that an image names, and opens it.
pub trait ParentGate: Send + Sync {
    /// Which file the child is; `None` where the gate cannot tell, and a loop is then found by its
    /// depth alone.
    fn identity(&self) -> Option<FileIdentity>;

    /// Opens the parent of a child of `format` for reading. Whether it is the right parent (its
    /// identifier, its sector size) is checked by the format afterwards.
    ///
    /// `descendants` are the child and all below it: the gate refuses them before it opens (and
    /// locks) anything.
    ///
    /// # Errors
    /// `ParentDenied` where the gate refuses, `ParentMissing` where it finds nothing, `ParentLoop`,
    /// `Differencing` of the gate that opens nothing, else what opening failed with.
    fn open_parent(
        &self,
        format: ImageFormat,
        parent: &ParentInfo,
        descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError>;
}

/// The gate that opens nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyAll;

impl FileIdentity {
    /// The identity with this text: equal texts mean one file, different ones different files.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl ParentGate for DenyAll {
    fn identity(&self) -> Option<FileIdentity> {
        None
    }

    fn open_parent(
        &self,
        _format: ImageFormat,
        parent: &ParentInfo,
        _descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError> {
        Err(ImageError::Differencing {
            parent: parent.display_name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ImageErrorKind;
    use crate::info::ParentPath;

    #[test]
    fn the_default_gate_opens_no_parent_whatever_the_image_names() {
        let parent = ParentInfo {
            paths: vec![ParentPath {
                kind: "relative_path",
                path: "..\\..\\etc\\passwd".to_owned(),
            }],
            ..ParentInfo::default()
        };
        for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
            let error = DenyAll.open_parent(format, &parent, &[]).err().unwrap();
            assert_eq!(error.kind(), ImageErrorKind::Differencing);
        }
    }
}
