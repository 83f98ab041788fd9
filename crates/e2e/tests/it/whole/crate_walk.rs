//! A volume walked by the crate `ntfs`: each name of each folder, found a second time by looking it
//! up, which goes down the index as Windows does.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ntfs::Ntfs;
use ntfs::indexes::NtfsFileNameIndex;
use ntfs::structured_values::NtfsFileNamespace;

/// Record of the root; system files lie below 24 and in the root alone.
const ROOT: u64 = 5;
const FIRST_USER_RECORD: u64 = 24;

/// How many names there are below the root, those of system files and of 8.3 partners left out.
pub(super) fn count(partition: &Path) -> usize {
    let mut disk = BufReader::with_capacity(4096, File::open(partition).unwrap());
    let mut volume = Ntfs::new(&mut disk).unwrap();
    volume.read_upcase_table(&mut disk).unwrap();
    let mut count = 0;
    let mut open = vec![ROOT];
    while let Some(record) = open.pop() {
        let file = volume.file(&mut disk, record).unwrap();
        let index = file.directory_index(&mut disk).unwrap();
        let mut entries = index.entries();
        let mut names = Vec::new();
        while let Some(entry) = entries.next(&mut disk) {
            let entry = entry.unwrap();
            let key = entry.key().unwrap().unwrap();
            let reference = entry.file_reference();
            let number = reference.file_record_number();
            assert_eq!(
                key.parent_directory_reference().file_record_number(),
                record
            );
            names.push((key.name().to_string_lossy(), number));
            if number < FIRST_USER_RECORD || key.namespace() == NtfsFileNamespace::Dos {
                continue;
            }
            count += 1;
            // What is a reparse point has an index too, an empty one.
            if key.is_directory() {
                open.push(number);
            }
        }
        let mut finder = index.finder();
        for (name, number) in names {
            let entry = NtfsFileNameIndex::find(&mut finder, &volume, &mut disk, &name);
            let entry = entry
                .unwrap_or_else(|| panic!("{name:?} is not found"))
                .unwrap();
            assert_eq!(
                entry.file_reference().file_record_number(),
                number,
                "{name}"
            );
        }
    }
    count
}
