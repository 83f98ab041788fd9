//! Security descriptors in `$Secure`: an existing one is used again, a new one is added to the
//! stream, its copy and both indexes.

use super::bytes::{array, put, u32_at, u64_at, wide};
use super::index::{Index, IndexKind};
use super::node::Entry;
use super::record::kind;
use super::space::{read_stream, write_stream};
use super::volume::Volume;
use crate::change::ChangeError;
use crate::ntfs::narrow::to_u32;
use crate::security::{Creator, SecurityDescriptor, inherit};

const SECURE: u64 = 9;
/// Distance from an entry to its copy; also the size of a block, which no entry crosses.
const BLOCK: u64 = 0x4_0000;
const HEADER: usize = 20;
const MAX_DESCRIPTOR: u64 = 0x1_0000;
/// What Windows writes at the end of an entry of `$SDH`.
const HASH_ENTRY_END: [u8; 4] = [0x49, 0, 0x49, 0];
/// The first key that Windows gives out.
const FIRST_ID: u32 = 0x100;

/// Where a descriptor stands in `$SDS`: offset and length with its head.
#[derive(Clone, Copy)]
struct Stored {
    id: u32,
    offset: u64,
    length: u64,
}

fn stored(data: &[u8]) -> Option<Stored> {
    let (id, offset) = (u32_at(data, 4)?, u64_at(data, 8)?);
    Some(Stored {
        id,
        offset,
        length: u64::from(u32_at(data, 16)?),
    })
}

fn sds() -> Vec<u16> {
    "$SDS".encode_utf16().collect()
}

impl Volume<'_> {
    fn damaged_secure(reason: &'static str) -> ChangeError {
        ChangeError::damaged("$Secure", SECURE, reason)
    }

    fn read_descriptor(&mut self, place: Stored) -> Result<Vec<u8>, ChangeError> {
        if place.length < wide(HEADER) || place.length > MAX_DESCRIPTOR {
            return Err(Self::damaged_secure("the length of an entry is impossible"));
        }
        let length = usize::try_from(place.length).unwrap_or(HEADER);
        self.ensure(SECURE)?;
        let stream = self.file(SECURE)?.stream(kind::DATA, &sds())?;
        let mut bytes = vec![0; length];
        read_stream(
            &self.disk,
            stream,
            self.layout.cluster,
            &mut bytes,
            place.offset,
        )?;
        Ok(bytes.split_off(HEADER))
    }

    /// The security descriptor of a file.
    pub(super) fn security_of(&mut self, record: u64) -> Result<Vec<u8>, ChangeError> {
        let file = self.loaded(record)?;
        let Some(id) = file.security_id() else {
            let attribute = file.attribute(kind::SECURITY_DESCRIPTOR, &[])?.clone();
            return self.whole_value(&attribute, MAX_DESCRIPTOR);
        };
        let index = Index {
            file: SECURE,
            kind: IndexKind::SecurityIds,
        };
        let entry = self.index_find(index, &id.to_le_bytes())?;
        let place = entry.and_then(|entry| stored(entry.data()));
        let place =
            place.ok_or_else(|| Self::damaged_secure("the descriptor of a file is missing"))?;
        self.read_descriptor(place)
    }

    /// The key of a descriptor, which is added where it is not there.
    pub(super) fn security_id(&mut self, descriptor: &[u8]) -> Result<u32, ChangeError> {
        if let Some(id) = self.descriptors.get(descriptor) {
            return Ok(*id);
        }
        let id = match self.find_descriptor(descriptor)? {
            Some(id) => id,
            None => self.add_descriptor(descriptor)?,
        };
        self.descriptors.insert(descriptor.to_vec(), id);
        Ok(id)
    }

    /// The key of what a new entry of a directory inherits.
    pub(super) fn inherited_id(
        &mut self,
        parent: u64,
        is_directory: bool,
    ) -> Result<u32, ChangeError> {
        let parent = SecurityDescriptor::from_bytes(&self.security_of(parent)?)?;
        let descriptor = inherit(&parent, None, is_directory, &Creator::default())?;
        self.security_id(descriptor.as_bytes())
    }

    fn find_descriptor(&mut self, descriptor: &[u8]) -> Result<Option<u32>, ChangeError> {
        let hash = hash(descriptor);
        let mut places = Vec::new();
        let index = Index {
            file: SECURE,
            kind: IndexKind::SecurityHashes,
        };
        self.index_entries(index, &mut |entry| {
            let key = u32_at(entry.key(), 0).unwrap_or(0);
            if key == hash {
                places.extend(stored(entry.data()));
            }
            key <= hash
        })?;
        for place in places {
            if self.read_descriptor(place)? == descriptor {
                return Ok(Some(place.id));
            }
        }
        Ok(None)
    }

    fn add_descriptor(&mut self, descriptor: &[u8]) -> Result<u32, ChangeError> {
        let (mut id, mut end) = (FIRST_ID, 0);
        let ids = Index {
            file: SECURE,
            kind: IndexKind::SecurityIds,
        };
        self.index_entries(ids, &mut |entry| {
            if let Some(place) = stored(entry.data()) {
                id = id.max(place.id.saturating_add(1));
                end = end.max(place.offset.saturating_add(place.length));
            }
            true
        })?;
        let length = wide(HEADER + descriptor.len());
        if length > MAX_DESCRIPTOR {
            return Err(ChangeError::Unsupported(
                "a security descriptor of this length",
            ));
        }
        let mut offset = end.next_multiple_of(16);
        let inside = offset % (2 * BLOCK);
        if inside + length > BLOCK {
            offset = offset - inside + 2 * BLOCK;
        }
        let hash = hash(descriptor);
        let mut header = [0; HEADER];
        put(&mut header, 0, &hash.to_le_bytes());
        put(&mut header, 4, &id.to_le_bytes());
        put(&mut header, 8, &offset.to_le_bytes());
        let whole = to_u32(
            HEADER + descriptor.len(),
            "a security descriptor of this length",
        )?;
        put(&mut header, 16, &whole.to_le_bytes());
        self.append_descriptor(offset, &[&header, descriptor].concat())?;
        let key = id.to_le_bytes();
        self.index_insert(ids, Entry::view(&key, &header, &[])?)?;
        let hashes = Index {
            file: SECURE,
            kind: IndexKind::SecurityHashes,
        };
        let key = [hash.to_le_bytes(), id.to_le_bytes()].concat();
        self.index_insert(hashes, Entry::view(&key, &header, &HASH_ENTRY_END)?)?;
        Ok(id)
    }

    /// Writes an entry and its copy; the stream ends with the copy.
    fn append_descriptor(&mut self, offset: u64, entry: &[u8]) -> Result<(), ChangeError> {
        let cluster = self.layout.cluster;
        let size = offset + BLOCK + wide(entry.len());
        let mut file = self.take_file(SECURE)?;
        file.is_dirty = true;
        let written = (|| {
            let attribute = file.attribute_mut(kind::DATA, &sds())?;
            if attribute.sizes().0 < size {
                self.grow_value(attribute, size)?;
            }
            let stream = file.stream(kind::DATA, &sds())?;
            write_stream(&mut self.disk, stream, cluster, entry, offset)?;
            write_stream(&mut self.disk, stream, cluster, entry, offset + BLOCK)
        })();
        self.put_file(file);
        written
    }
}

/// The hash of a descriptor, over its 32-bit words.
fn hash(descriptor: &[u8]) -> u32 {
    descriptor.chunks_exact(4).fold(0_u32, |hash, word| {
        let word = array(word, 0).map_or(0, u32::from_le_bytes);
        hash.rotate_left(3).wrapping_add(word)
    })
}
