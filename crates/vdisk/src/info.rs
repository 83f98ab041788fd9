//! What is known of an image without reading its data: plain facts for whoever shows them.
//!
//! Every string in here may come from an untrusted file; whoever prints it escapes it.

use blockio::{ByteCount, SectorSize};
use uuid::Uuid;

use crate::image::ImageFormat;

/// How an image holds the bytes of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageKind {
    /// Blocks come into being when they are first written.
    Dynamic,
    /// Every byte has its place from the start.
    Fixed,
    /// Holds what differs from a parent image.
    Differencing,
}

/// Facts of one image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// The format.
    pub format: ImageFormat,
    /// How the bytes of the disk are held.
    pub kind: ImageKind,
    /// Size of the disk that a guest sees.
    pub virtual_size: ByteCount,
    /// Logical sector size of that disk.
    pub logical_sector: SectorSize,
    /// Physical sector size of that disk.
    pub physical_sector: SectorSize,
    /// Bytes in a block; `None` where the image has no blocks.
    pub block_size: Option<ByteCount>,
    /// Bytes of all blocks that have a place in the file (for a raw or fixed image: of the disk).
    pub allocated: ByteCount,
    /// Length of the file.
    pub file_length: ByteCount,
    /// Identifiers by name, such as `("disk", "4a0e...")`.
    pub ids: Vec<(&'static str, String)>,
    /// The program that made the image, as the image says; empty where it says nothing.
    pub creator: String,
    /// Whether the image has a log that must be replayed before it is written.
    pub dirty_log: bool,
    /// What a differencing image says of its parent.
    pub parent: Option<ParentInfo>,
}

/// What a differencing image says of its parent: advice from an untrusted file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentInfo {
    /// The parent's identifier as the child remembers it (VHDX: its data write GUID).
    pub linkage: Option<Uuid>,
    /// A second identifier that is also accepted (VHDX `parent_linkage2`).
    pub linkage2: Option<Uuid>,
    /// Ways to the parent in the order they are to be tried.
    pub paths: Vec<ParentPath>,
}

/// One way to the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentPath {
    /// What kind of path the image says it is, such as `relative_path` or `W2ku`.
    pub kind: &'static str,
    /// The path as it stands in the image.
    pub path: String,
}

impl ParentInfo {
    /// The name to show for the parent: its first path, else its identifier, else nothing.
    pub fn display_name(&self) -> String {
        match (self.paths.first(), self.linkage) {
            (Some(first), _) => first.path.clone(),
            (None, Some(linkage)) => linkage.to_string(),
            (None, None) => String::new(),
        }
    }
}
