//! Reads a volume with the crate `ntfs`: every entry of every directory, found a second time by name.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom};

use ntfs::indexes::NtfsFileNameIndex;
use ntfs::structured_values::{NtfsFileNamespace, NtfsStandardInformation};
use ntfs::{Ntfs, NtfsAttributeType, NtfsFile, NtfsReadSeek};

/// What was found of one entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) is_directory: bool,
    pub(crate) size: u64,
    pub(crate) attributes: u32,
    pub(crate) modified: u64,
    pub(crate) record: u64,
    pub(crate) reparse: Option<Vec<u8>>,
}

/// An open volume in memory.
pub(crate) struct Reader {
    ntfs: Ntfs,
    bytes: Cursor<Vec<u8>>,
}

impl Reader {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let mut bytes = Cursor::new(bytes);
        let mut ntfs = Ntfs::new(&mut bytes).unwrap();
        ntfs.read_upcase_table(&mut bytes).unwrap();
        Self { ntfs, bytes }
    }

    pub(crate) fn ntfs(&self) -> &Ntfs {
        &self.ntfs
    }

    pub(crate) fn label(&mut self) -> String {
        let name = self.ntfs.volume_name(&mut self.bytes).unwrap().unwrap();
        name.name().to_string_lossy()
    }

    /// Every entry below the root but the system files, by path.
    pub(crate) fn walk(&mut self) -> BTreeMap<String, Found> {
        let mut found = BTreeMap::new();
        let mut open = vec![(String::new(), 5_u64)];
        while let Some((path, record)) = open.pop() {
            for (name, child) in self.list(record) {
                if record == 5 && child < 16 {
                    continue;
                }
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}/{name}")
                };
                let entry = self.entry(child);
                if entry.is_directory && entry.reparse.is_none() {
                    open.push((path.clone(), child));
                }
                assert!(found.insert(path, entry).is_none());
            }
        }
        found
    }

    /// Names and records of a directory, each found again by a look-up.
    fn list(&mut self, record: u64) -> Vec<(String, u64)> {
        let fs = &mut self.bytes;
        let file = self.ntfs.file(fs, record).unwrap();
        let index = file.directory_index(fs).unwrap();
        let mut names = Vec::new();
        let mut entries = index.entries();
        while let Some(entry) = entries.next(fs) {
            let entry = entry.unwrap();
            let key = entry.key().unwrap().unwrap();
            let parent = key.parent_directory_reference();
            assert_eq!(parent.file_record_number(), record);
            assert_eq!(parent.sequence_number(), file.sequence_number());
            let number = entry.file_reference().file_record_number();
            names.push((key.name().to_string_lossy(), number));
        }
        for (name, number) in &names {
            let mut finder = index.finder();
            let entry = NtfsFileNameIndex::find(&mut finder, &self.ntfs, fs, name);
            let entry = entry
                .unwrap_or_else(|| panic!("{name:?} is not found"))
                .unwrap();
            assert_eq!(entry.file_reference().file_record_number(), *number);
        }
        names
    }

    fn entry(&mut self, record: u64) -> Found {
        let fs = &mut self.bytes;
        let file = self.ntfs.file(fs, record).unwrap();
        let information: NtfsStandardInformation = file.info().unwrap();
        let size = file.data(fs, "").map_or(0, |data| {
            data.unwrap().to_attribute().unwrap().value_length()
        });
        Found {
            is_directory: file.is_directory(),
            size,
            attributes: information.file_attributes().bits(),
            modified: information.modification_time().nt_timestamp(),
            record,
            reparse: value_of(&file, fs, NtfsAttributeType::ReparsePoint),
        }
    }

    /// Bytes of a file from a position on.
    pub(crate) fn read(&mut self, record: u64, position: u64, length: usize) -> Vec<u8> {
        let fs = &mut self.bytes;
        let file = self.ntfs.file(fs, record).unwrap();
        let data = file.data(fs, "").unwrap().unwrap();
        let attribute = data.to_attribute().unwrap();
        let mut value = attribute.value(fs).unwrap();
        value.seek(fs, SeekFrom::Start(position)).unwrap();
        let mut bytes = vec![0; length];
        value.read_exact(fs, &mut bytes).unwrap();
        bytes
    }

    /// Every name below the root but those of system files, by path, with its record and name space.
    /// Names of eight and three characters lead to no further names.
    pub(crate) fn names(&mut self) -> BTreeMap<String, (u64, u8)> {
        let mut found = BTreeMap::new();
        let mut open = vec![(String::new(), 5_u64)];
        while let Some((path, record)) = open.pop() {
            let fs = &mut self.bytes;
            let file = self.ntfs.file(fs, record).unwrap();
            let index = file.directory_index(fs).unwrap();
            let mut entries = index.entries();
            while let Some(entry) = entries.next(fs) {
                let entry = entry.unwrap();
                let key = entry.key().unwrap().unwrap();
                let number = entry.file_reference().file_record_number();
                if record == 5 && number < 16 {
                    continue;
                }
                let name = key.name().to_string_lossy();
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}/{name}")
                };
                let space = match key.namespace() {
                    NtfsFileNamespace::Posix => 0,
                    NtfsFileNamespace::Win32 => 1,
                    NtfsFileNamespace::Dos => 2,
                    NtfsFileNamespace::Win32AndDos => 3,
                };
                if key.is_directory() && space != 2 {
                    open.push((path.clone(), number));
                }
                assert!(found.insert(path, (number, space)).is_none());
            }
        }
        found
    }

    /// The version in a file's `$STANDARD_INFORMATION`.
    pub(crate) fn version(&mut self, record: u64) -> u32 {
        let file = self.ntfs.file(&mut self.bytes, record).unwrap();
        let information = NtfsAttributeType::StandardInformation;
        let value = value_of(&file, &mut self.bytes, information).unwrap();
        u32::from_le_bytes(value[0x28..0x2C].try_into().unwrap())
    }

    /// The link count of a file and how many names it has.
    pub(crate) fn links(&mut self, record: u64) -> (u16, usize) {
        let fs = &mut self.bytes;
        let file = self.ntfs.file(fs, record).unwrap();
        let mut names = 0;
        let mut attributes = file.attributes();
        while let Some(item) = attributes.next(fs) {
            let item = item.unwrap();
            let attribute = item.to_attribute().unwrap();
            names += usize::from(attribute.ty().unwrap() == NtfsAttributeType::FileName);
        }
        (file.hard_link_count(), names)
    }

    /// The named streams of a file.
    pub(crate) fn streams(&mut self, record: u64) -> BTreeMap<String, Vec<u8>> {
        let fs = &mut self.bytes;
        let file = self.ntfs.file(fs, record).unwrap();
        let mut streams = BTreeMap::new();
        let mut attributes = file.attributes();
        while let Some(item) = attributes.next(fs) {
            let item = item.unwrap();
            let attribute = item.to_attribute().unwrap();
            if attribute.ty().unwrap() == NtfsAttributeType::Data && attribute.name_length() > 0 {
                let name = attribute.name().unwrap().to_string_lossy();
                let mut value = attribute.value(fs).unwrap();
                let mut bytes = vec![0; usize::try_from(value.len()).unwrap()];
                value.read_exact(fs, &mut bytes).unwrap();
                assert!(streams.insert(name, bytes).is_none());
            }
        }
        streams
    }

    /// Key of a file's security descriptor.
    pub(crate) fn security_id(&mut self, record: u64) -> u32 {
        let fs = &mut self.bytes;
        let file = self.ntfs.file(fs, record).unwrap();
        let information: NtfsStandardInformation = file.info().unwrap();
        information.security_id().unwrap()
    }

    /// Whole value of a system file's unnamed data.
    pub(crate) fn system_file(&mut self, record: u64) -> Vec<u8> {
        let file = self.ntfs.file(&mut self.bytes, record).unwrap();
        value_of(&file, &mut self.bytes, NtfsAttributeType::Data).unwrap()
    }
}

fn value_of<T: Read + Seek>(
    file: &NtfsFile<'_>,
    fs: &mut T,
    kind: NtfsAttributeType,
) -> Option<Vec<u8>> {
    let mut attributes = file.attributes();
    while let Some(item) = attributes.next(fs) {
        let item = item.unwrap();
        let attribute = item.to_attribute().unwrap();
        if attribute.ty().unwrap() == kind && attribute.name_length() == 0 {
            let mut value = attribute.value(fs).unwrap();
            let mut bytes = vec![0; usize::try_from(value.len()).unwrap()];
            value.read_exact(fs, &mut bytes).unwrap();
            return Some(bytes);
        }
    }
    None
}
