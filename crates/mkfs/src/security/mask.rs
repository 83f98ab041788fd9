//! Access masks: which rights an entry speaks of ([MS-DTYP] 2.4.3).

use std::fmt;

/// A set of rights.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessMask(pub u32);

impl AccessMask {
    /// Everything, whatever the object is.
    pub const GENERIC_ALL: Self = Self(0x1000_0000);
    /// To run, or to pass through.
    pub const GENERIC_EXECUTE: Self = Self(0x2000_0000);
    /// To change.
    pub const GENERIC_WRITE: Self = Self(0x4000_0000);
    /// To look.
    pub const GENERIC_READ: Self = Self(0x8000_0000);
    /// FILE_ALL_ACCESS ([MS-SMB2] 2.2.13.1.1).
    pub const FILE_ALL: Self = Self(0x001F_01FF);
    /// FILE_GENERIC_READ.
    pub const FILE_READ: Self = Self(0x0012_0089);
    /// FILE_GENERIC_WRITE.
    pub const FILE_WRITE: Self = Self(0x0012_0116);
    /// FILE_GENERIC_EXECUTE.
    pub const FILE_EXECUTE: Self = Self(0x0012_00A0);

    /// What each generic right means for a file or directory.
    const FILE_MAPPING: [(Self, Self); 4] = [
        (Self::GENERIC_ALL, Self::FILE_ALL),
        (Self::GENERIC_EXECUTE, Self::FILE_EXECUTE),
        (Self::GENERIC_WRITE, Self::FILE_WRITE),
        (Self::GENERIC_READ, Self::FILE_READ),
    ];

    /// Whether every right of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same with each generic right replaced by what it means for files ([MS-DTYP] 2.5.3.4,
    /// generic mapping).
    #[must_use]
    pub fn for_files(self) -> Self {
        Self::FILE_MAPPING
            .iter()
            .filter(|(generic, _)| self.contains(*generic))
            .fold(self, |mask, (generic, specific)| {
                Self((mask.0 & !generic.0) | specific.0)
            })
    }
}

impl fmt::Debug for AccessMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_rights_become_those_of_files() {
        assert_eq!(AccessMask::GENERIC_ALL.for_files(), AccessMask::FILE_ALL);
        // What Windows 10 makes of SDGXGWGR and of GXGR.
        assert_eq!(AccessMask(0xE001_0000).for_files(), AccessMask(0x0013_01BF));
        assert_eq!(AccessMask(0xA000_0000).for_files(), AccessMask(0x0012_00A9));
        assert_eq!(AccessMask(7).for_files(), AccessMask(7));
    }
}
