//! The gate between a differencing image and the parent it names.
//!
//! The paths in an image are advice of an untrusted file. No code of this crate opens one: it asks
//! a gate, which the caller supplies and which knows what may be opened. The default denies all.

use blockio::Storage;

use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::info::ParentInfo;

/// Decides which file, if any, is the parent that an image names, and opens it.
pub trait ParentGate: Send + Sync {
    /// Opens the parent of a child of `format` for reading. Whether it is the right parent (its
    /// identifier, its sector size) is checked by the format afterwards.
    ///
    /// # Errors
    /// `Differencing` where the gate refuses or finds nothing, else what opening failed with.
    fn open_parent(
        &self,
        format: ImageFormat,
        parent: &ParentInfo,
    ) -> Result<Box<dyn Storage>, ImageError>;
}

/// The gate that opens nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyAll;

impl ParentGate for DenyAll {
    fn open_parent(
        &self,
        _format: ImageFormat,
        parent: &ParentInfo,
    ) -> Result<Box<dyn Storage>, ImageError> {
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
            let error = DenyAll.open_parent(format, &parent).err().unwrap();
            assert_eq!(error.kind(), ImageErrorKind::Differencing);
        }
    }
}
