//! The values of `$FILE_NAME` and `$STANDARD_INFORMATION`.

use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

use super::super::attribute::FileReference;
use super::super::format::{FileNameHeader, StandardInformation, StandardInformation3};
use super::attribute::units;
use crate::tree::{NtTime, Times};

/// A name of a file, as its record or its directory has it.
#[derive(Clone, Copy, Debug)]
pub struct FileNameView<'a> {
    header: &'a FileNameHeader,
    name: &'a [u8],
}

impl<'a> FileNameView<'a> {
    /// Reads a value of `$FILE_NAME`, or a key of a directory; `None` where it is cut short.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = FileNameHeader::ref_from_prefix(bytes).ok()?;
        let name = rest.get(..2 * usize::from(header.name_length))?;
        Some(Self { header, name })
    }

    /// Bytes that the value has.
    pub fn length(&self) -> usize {
        size_of::<FileNameHeader>() + self.name.len()
    }

    /// The directory it is in.
    pub fn parent(&self) -> FileReference {
        FileReference::from_bits(self.header.parent.get())
    }

    /// The name in UTF-16, little endian.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The name in UTF-16 units.
    pub fn name_units(&self) -> Vec<u16> {
        units(self.name)
    }

    /// The name; what is not Unicode is replaced.
    pub fn name_text(&self) -> String {
        String::from_utf16_lossy(&self.name_units())
    }

    /// Its name space: 0 POSIX, 1 Win32, 2 DOS, 3 Win32 and DOS.
    pub fn name_space(&self) -> u8 {
        self.header.name_space
    }

    /// Bytes allocated for the file, repeated here.
    pub fn allocated(&self) -> u64 {
        self.header.allocated.get()
    }

    /// Bytes of the file, repeated here.
    pub fn size(&self) -> u64 {
        self.header.size.get()
    }

    /// The attributes of the file ([MS-FSCC] 2.6), repeated here.
    pub fn attributes(&self) -> u32 {
        self.header.attributes.get()
    }

    /// Reparse tag, or the size of extended attributes.
    pub fn tag(&self) -> u32 {
        self.header.tag.get()
    }

    /// Whether each of its times is one that Windows accepts: they are signed ([MS-DTYP] 2.3.3).
    pub fn has_possible_times(&self) -> bool {
        let it = self.header;
        are_possible([it.created, it.modified, it.changed, it.accessed])
    }

    /// The times of the file, repeated here.
    pub fn times(&self) -> Times {
        Times {
            created: NtTime::from_ticks(self.header.created.get()),
            modified: NtTime::from_ticks(self.header.modified.get()),
            changed: NtTime::from_ticks(self.header.changed.get()),
            accessed: NtTime::from_ticks(self.header.accessed.get()),
        }
    }
}

fn are_possible(times: [U64; 4]) -> bool {
    times.iter().all(|ticks| i64::try_from(ticks.get()).is_ok())
}

/// `$STANDARD_INFORMATION`.
#[derive(Clone, Copy, Debug)]
pub struct StandardInformationView<'a> {
    header: &'a StandardInformation,
    more: Option<&'a StandardInformation3>,
}

impl<'a> StandardInformationView<'a> {
    /// Reads the value; `None` where it is cut short.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = StandardInformation::ref_from_prefix(bytes).ok()?;
        let more = StandardInformation3::ref_from_prefix(rest).ok();
        Some(Self {
            header,
            more: more.map(|(more, _)| more),
        })
    }

    /// The attributes of the file ([MS-FSCC] 2.6).
    pub fn attributes(&self) -> u32 {
        self.header.attributes.get()
    }

    /// The key of the security descriptor in `$Secure`; none in the form of NTFS 1.2.
    pub fn security_id(&self) -> Option<u32> {
        self.more.map(|more| more.security.get())
    }

    /// Key of the owner in `$Quota`; none in the form of NTFS 1.2.
    pub fn owner_id(&self) -> Option<u32> {
        self.more.map(|more| more.owner.get())
    }

    /// Whether names in the directory are told apart by case.
    pub fn is_case_sensitive(&self) -> bool {
        // Where Windows keeps the flag FILE_CS_FLAG_CASE_SENSITIVE_DIR.
        self.header.max_versions.get() == 0 && self.header.version.get() == 1
    }

    /// Whether each of its times is one that Windows accepts: they are signed ([MS-DTYP] 2.3.3).
    pub fn has_possible_times(&self) -> bool {
        let it = self.header;
        are_possible([it.created, it.modified, it.changed, it.accessed])
    }

    /// The times of the file.
    pub fn times(&self) -> Times {
        Times {
            created: NtTime::from_ticks(self.header.created.get()),
            modified: NtTime::from_ticks(self.header.modified.get()),
            changed: NtTime::from_ticks(self.header.changed.get()),
            accessed: NtTime::from_ticks(self.header.accessed.get()),
        }
    }
}
