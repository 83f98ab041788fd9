//! What an image says of itself and of its parent, without reading what it holds.

use blockio::{ByteCount, Storage};
use uuid::Uuid;

use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::info::ParentInfo;
use crate::{vhd, vhdx};

/// The links of an image. Reading it takes the same time whatever the size of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Size of the disk.
    pub size: ByteCount,
    /// What changes whenever the disk is written (VHDX: the data write GUID, which children remember
    /// their parent by); `None` where the format keeps no such thing.
    pub data_identity: Option<Uuid>,
    /// Whether the image has a log that must be replayed before it is written.
    pub dirty_log: bool,
    /// What a differencing image says of its parent.
    pub parent: Option<ParentInfo>,
}

/// Reads the links of an image.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported`, `Io`.
pub fn link_state(storage: &dyn Storage, format: ImageFormat) -> Result<LinkState, ImageError> {
    match format {
        ImageFormat::Vhdx => vhdx::link_state(storage),
        ImageFormat::Vhd => {
            let facts = vhd::link_facts(storage)?;
            Ok(LinkState {
                size: facts.size,
                data_identity: None,
                dirty_log: false,
                parent: facts.parent,
            })
        }
        ImageFormat::Raw | ImageFormat::Qcow2 => Ok(LinkState {
            size: storage.len()?,
            data_identity: None,
            dirty_log: false,
            parent: None,
        }),
    }
}
