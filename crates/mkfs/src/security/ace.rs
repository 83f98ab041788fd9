//! Entries of access control lists ([MS-DTYP] 2.4.4).
//!
//! All kinds whose layout is published are taken apart: a mask, for object kinds two optional
//! identifiers of types, an account, and whatever follows (the condition of a conditional entry). An
//! entry of any other kind is kept as the bytes it is.

use super::descriptor::DescriptorError;
use super::mask::AccessMask;
use super::sid::Sid;

/// Bytes of the head of an entry ([MS-DTYP] 2.4.4.1).
pub(super) const HEAD_BYTES: usize = 4;
/// Entries stand at multiples of this.
pub(super) const ALIGNMENT: usize = 4;
/// Bytes of the identifier of a type.
const GUID_BYTES: usize = 16;
/// Bits of the field that says which identifiers of types there are.
const OBJECT_TYPE_PRESENT: u32 = 1;
const INHERITED_OBJECT_TYPE_PRESENT: u32 = 2;

/// What an entry does ([MS-DTYP] 2.4.4.1, AceType).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AceKind(pub u8);

impl AceKind {
    /// Allows.
    pub const ALLOW: Self = Self(0x00);
    /// Denies.
    pub const DENY: Self = Self(0x01);
    /// Has accesses recorded.
    pub const AUDIT: Self = Self(0x02);
    /// Reserved for alarms.
    pub const ALARM: Self = Self(0x03);
    /// The integrity label of an object.
    pub const MANDATORY_LABEL: Self = Self(0x11);
    /// Attributes of an object, for conditions to ask for.
    pub const RESOURCE_ATTRIBUTE: Self = Self(0x12);
    /// A policy that is kept elsewhere.
    pub const SCOPED_POLICY: Self = Self(0x13);
    /// The trust label of a process.
    pub const TRUST_LABEL: Self = Self(0x14);

    /// Whether it speaks of types of objects: 5 to 8, and 0xB, 0xC, 0xF, 0x10 with a condition.
    pub const fn is_object(self) -> bool {
        matches!(self.0, 0x05..=0x08 | 0x0B | 0x0C | 0x0F | 0x10)
    }

    /// Whether it holds a condition.
    pub const fn is_conditional(self) -> bool {
        matches!(self.0, 0x09..=0x10)
    }

    /// Whether its layout is known.
    const fn is_known(self) -> bool {
        matches!(self.0, 0x00..=0x03 | 0x05..=0x15)
    }
}

/// To whom an entry goes on and whether it works here ([MS-DTYP] 2.4.4.1, AceFlags).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AceFlags(pub u8);

impl AceFlags {
    /// Files inherit it.
    pub const OBJECT_INHERIT: Self = Self(0x01);
    /// Directories inherit it.
    pub const CONTAINER_INHERIT: Self = Self(0x02);
    /// It goes one generation down only.
    pub const NO_PROPAGATE: Self = Self(0x04);
    /// It does not work where it stands.
    pub const INHERIT_ONLY: Self = Self(0x08);
    /// It came from the directory above.
    pub const INHERITED: Self = Self(0x10);

    /// What is said of inheritance and cleared where it ends.
    pub(super) const ALL_INHERITANCE: Self = Self(0x0F);

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

impl std::fmt::Debug for AceFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ace {
    /// What it does.
    pub kind: AceKind,
    /// To whom it goes on.
    pub flags: AceFlags,
    /// Of whom and what it speaks.
    pub body: AceBody,
}

/// What follows the head of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AceBody {
    /// An entry of a published layout.
    Rights {
        /// The rights.
        mask: AccessMask,
        /// The type of object it is about, and the type that inherits it; object kinds only.
        object_types: [Option<[u8; GUID_BYTES]>; 2],
        /// The account.
        sid: Sid,
        /// What follows the account: the condition of a conditional entry.
        tail: Vec<u8>,
    },
    /// An entry of an unknown layout.
    Opaque(Vec<u8>),
}

impl Ace {
    /// An entry of a simple kind.
    pub fn simple(kind: AceKind, flags: AceFlags, mask: AccessMask, sid: Sid) -> Self {
        let body = AceBody::Rights {
            mask,
            object_types: [None, None],
            sid,
            tail: Vec::new(),
        };
        Self { kind, flags, body }
    }

    /// Takes an entry apart; `bytes` are all of it, head included.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let (&[kind, flags, _, _], body) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or(DescriptorError::new("has an entry shorter than its head"))?;
        let (kind, flags) = (AceKind(kind), AceFlags(flags));
        let body = if kind.is_known() {
            decode_rights(kind, body)?
        } else {
            AceBody::Opaque(body.to_vec())
        };
        Ok(Self { kind, flags, body })
    }

    /// Its bytes; `None` where it is longer than 64 KiB.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![self.kind.0, self.flags.0, 0, 0];
        match &self.body {
            AceBody::Opaque(body) => bytes.extend_from_slice(body),
            AceBody::Rights {
                mask,
                object_types: [object, inherited],
                sid,
                tail,
            } => {
                bytes.extend_from_slice(&mask.0.to_le_bytes());
                if self.kind.is_object() {
                    let present = u32::from(object.is_some()) * OBJECT_TYPE_PRESENT
                        + u32::from(inherited.is_some()) * INHERITED_OBJECT_TYPE_PRESENT;
                    bytes.extend_from_slice(&present.to_le_bytes());
                    for guid in [object, inherited].into_iter().flatten() {
                        bytes.extend_from_slice(guid);
                    }
                }
                bytes.extend_from_slice(&sid.to_bytes());
                bytes.extend_from_slice(tail);
            }
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let [low, high] = u16::try_from(bytes.len()).ok()?.to_le_bytes();
        bytes[2] = low;
        bytes[3] = high;
        Some(bytes)
    }
}

fn decode_rights(kind: AceKind, body: &[u8]) -> Result<AceBody, DescriptorError> {
    let cut_short = || DescriptorError::new("has an entry that is cut short");
    let (mask, mut rest) = body.split_first_chunk::<4>().ok_or_else(cut_short)?;
    let mut object_types = [None, None];
    if kind.is_object() {
        let (present, after) = rest.split_first_chunk::<4>().ok_or_else(cut_short)?;
        let present = u32::from_le_bytes(*present);
        rest = after;
        let bits = [OBJECT_TYPE_PRESENT, INHERITED_OBJECT_TYPE_PRESENT];
        for (place, bit) in object_types.iter_mut().zip(bits) {
            if present & bit != 0 {
                let (guid, after) = rest.split_first_chunk().ok_or_else(cut_short)?;
                *place = Some(*guid);
                rest = after;
            }
        }
    }
    let (sid, length) = Sid::from_prefix(rest)
        .map_err(|_| DescriptorError::new("has an entry without a whole security identifier"))?;
    Ok(AceBody::Rights {
        mask: AccessMask(u32::from_le_bytes(*mask)),
        object_types,
        sid,
        tail: rest.get(length..).unwrap_or_default().to_vec(),
    })
}
