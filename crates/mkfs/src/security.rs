//! Security descriptors: who may do what with a file or directory ([MS-DTYP] 2.4).

use std::sync::Arc;

/// Bytes of the head of a self-relative descriptor.
const HEAD_SIZE: usize = 20;
/// The largest descriptor that is taken: NTFS keeps each in one block of 256 KiB.
const MAX_SIZE: usize = 64 * 1024;

/// A self-relative security descriptor whose head is sound ([MS-DTYP] 2.4.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecurityDescriptor(Arc<[u8]>);

/// Bytes that are no security descriptor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a security descriptor {0}")]
pub struct DescriptorError(&'static str);

impl SecurityDescriptor {
    /// The descriptor that bytes hold.
    ///
    /// # Errors
    /// [`DescriptorError`] where they are too few or too many, of another revision, or not
    /// self-relative.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DescriptorError> {
        const SELF_RELATIVE: u8 = 0x80;
        let head = bytes
            .first_chunk::<HEAD_SIZE>()
            .ok_or(DescriptorError("is shorter than its head"))?;
        if bytes.len() > MAX_SIZE {
            return Err(DescriptorError("is longer than 64 KiB"));
        }
        if head[0] != 1 {
            return Err(DescriptorError("is of an unknown revision"));
        }
        if head[3] & SELF_RELATIVE == 0 {
            return Err(DescriptorError("is not self-relative"));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
