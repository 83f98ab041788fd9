//! Security descriptors: owner, group and two lists, in one self-relative piece
//! ([MS-DTYP] 2.4.6).

use std::fmt;
use std::sync::Arc;

use super::acl::{Acl, ListPart};
use super::sid::Sid;

/// The largest descriptor that is taken, in bytes: NTFS keeps each in one block of 256 KiB.
pub const MAX_DESCRIPTOR_BYTES: usize = 64 * 1024;
/// Bytes of the head.
const HEAD_BYTES: usize = 20;
const REVISION: u8 = 1;
/// What a descriptor points at stands at multiples of this.
const ALIGNMENT: usize = 4;

/// A self-relative security descriptor that is whole: every part that it names lies within it and
/// can be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecurityDescriptor(Arc<[u8]>);

/// Bytes that are no security descriptor, or parts that do not fit into one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a security descriptor {0}")]
pub struct DescriptorError(&'static str);

impl DescriptorError {
    pub(super) const fn new(reason: &'static str) -> Self {
        Self(reason)
    }
}

/// The control flags of a descriptor ([MS-DTYP] 2.4.6, Control).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Control(pub u16);

impl Control {
    /// There is a discretionary list, if only a null one.
    pub const DACL_PRESENT: Self = Self(0x0004);
    /// There is a system list, if only a null one.
    pub const SACL_PRESENT: Self = Self(0x0010);
    /// The discretionary list is to be inherited below (SDDL `AR`).
    pub const DACL_AUTO_INHERIT_REQUIRED: Self = Self(0x0100);
    /// The system list is to be inherited below (SDDL `AR`).
    pub const SACL_AUTO_INHERIT_REQUIRED: Self = Self(0x0200);
    /// The discretionary list takes part in automatic inheritance (SDDL `AI`).
    pub const DACL_AUTO_INHERITED: Self = Self(0x0400);
    /// The system list takes part in automatic inheritance (SDDL `AI`).
    pub const SACL_AUTO_INHERITED: Self = Self(0x0800);
    /// The discretionary list inherits nothing (SDDL `P`).
    pub const DACL_PROTECTED: Self = Self(0x1000);
    /// The system list inherits nothing (SDDL `P`).
    pub const SACL_PROTECTED: Self = Self(0x2000);
    /// It is in one piece, as every stored descriptor.
    pub const SELF_RELATIVE: Self = Self(0x8000);

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the flags of `other` as well.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the flags of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// A descriptor taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parts {
    /// Its flags. Those that say which lists there are, and that it is self-relative, are set by
    /// what there is when it is put together.
    pub control: Control,
    /// The owner.
    pub owner: Option<Sid>,
    /// The primary group.
    pub group: Option<Sid>,
    /// The discretionary list: who may do what.
    pub dacl: ListPart,
    /// The system list: what is recorded, and labels.
    pub sacl: ListPart,
}

impl SecurityDescriptor {
    /// The descriptor that bytes hold.
    ///
    /// # Errors
    /// [`DescriptorError`] where they are too few or too many, of another revision, not
    /// self-relative, or where a part is cut short, misplaced or malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DescriptorError> {
        decode(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// Puts a descriptor together: head, system list, discretionary list, owner, group, the order in
    /// which NTFS of Windows stores them.
    ///
    /// # Errors
    /// [`DescriptorError`] where it would be longer than [`MAX_DESCRIPTOR_BYTES`].
    pub fn from_parts(parts: &Parts) -> Result<Self, DescriptorError> {
        let mut control = parts
            .control
            .with(Control::SELF_RELATIVE)
            .without(Control::DACL_PRESENT)
            .without(Control::SACL_PRESENT);
        let mut bytes = vec![0; HEAD_BYTES];
        let mut offsets = [0_u32; 4];
        let mut place = |offset: &mut u32, piece: &[u8]| {
            *offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(piece);
        };
        let [owner_at, group_at, sacl_at, dacl_at] = &mut offsets;
        for (part, present, at) in [
            (&parts.sacl, Control::SACL_PRESENT, sacl_at),
            (&parts.dacl, Control::DACL_PRESENT, dacl_at),
        ] {
            if *part != ListPart::Absent {
                control = control.with(present);
            }
            if let ListPart::List(acl) = part {
                place(at, &acl.encode()?);
            }
        }
        for (sid, at) in [(&parts.owner, owner_at), (&parts.group, group_at)] {
            if let Some(sid) = sid {
                place(at, &sid.to_bytes());
            }
        }
        if bytes.len() > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError("is longer than 64 KiB"));
        }
        bytes[0] = REVISION;
        bytes[2..4].copy_from_slice(&control.0.to_le_bytes());
        for (field, offset) in bytes[4..HEAD_BYTES].chunks_exact_mut(4).zip(offsets) {
            field.copy_from_slice(&offset.to_le_bytes());
        }
        Ok(Self(bytes.into()))
    }

    /// The descriptor taken apart.
    ///
    /// # Errors
    /// None for a descriptor that one of the constructors made; bytes are nevertheless read anew.
    pub fn parts(&self) -> Result<Parts, DescriptorError> {
        decode(&self.0)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecurityDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_sddl() {
            Ok(text) => write!(f, "SecurityDescriptor({text})"),
            Err(error) => write!(f, "SecurityDescriptor({} bytes, {error})", self.0.len()),
        }
    }
}

fn decode(bytes: &[u8]) -> Result<Parts, DescriptorError> {
    let (head, _) = bytes
        .split_first_chunk::<HEAD_BYTES>()
        .ok_or(DescriptorError("is shorter than its head"))?;
    if bytes.len() > MAX_DESCRIPTOR_BYTES {
        return Err(DescriptorError("is longer than 64 KiB"));
    }
    if head[0] != REVISION {
        return Err(DescriptorError("is of an unknown revision"));
    }
    let control = Control(u16::from_le_bytes([head[2], head[3]]));
    if !control.contains(Control::SELF_RELATIVE) {
        return Err(DescriptorError("is not self-relative"));
    }
    let (fields, _) = head[4..].as_chunks::<4>();
    let mut pieces = fields
        .iter()
        .map(|field| piece(bytes, u32::from_le_bytes(*field)));
    let mut next = || pieces.next().unwrap_or(Ok(None));
    let [owner, group, sacl, dacl] = [next()?, next()?, next()?, next()?];
    Ok(Parts {
        control,
        owner: owner.map(sid).transpose()?,
        group: group.map(sid).transpose()?,
        dacl: list(control.contains(Control::DACL_PRESENT), dacl)?,
        sacl: list(control.contains(Control::SACL_PRESENT), sacl)?,
    })
}

/// What stands at an offset of the head, to the end; `None` for offset 0.
fn piece(bytes: &[u8], offset: u32) -> Result<Option<&[u8]>, DescriptorError> {
    if offset == 0 {
        return Ok(None);
    }
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    if offset < HEAD_BYTES || offset % ALIGNMENT != 0 {
        return Err(DescriptorError("has a part at a wrong place"));
    }
    let piece = bytes.get(offset..).filter(|piece| !piece.is_empty());
    piece
        .map(Some)
        .ok_or(DescriptorError("has a part behind its end"))
}

fn sid(bytes: &[u8]) -> Result<Sid, DescriptorError> {
    let wrong = |_| DescriptorError("has an owner or group that is no security identifier");
    Sid::from_prefix(bytes).map(|(sid, _)| sid).map_err(wrong)
}

fn list(present: bool, bytes: Option<&[u8]>) -> Result<ListPart, DescriptorError> {
    // An offset without the flag means nothing, as Windows reads it.
    if !present {
        return Ok(ListPart::Absent);
    }
    bytes.map_or(Ok(ListPart::Null), |bytes| {
        Acl::decode(bytes).map(ListPart::List)
    })
}
