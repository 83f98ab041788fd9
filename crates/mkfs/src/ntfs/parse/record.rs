//! A file record: its head, and its attributes one after another.

use zerocopy::FromBytes;

use super::super::attribute::FileReference;
use super::super::format::{
    ATTRIBUTES_END, RECORD_DIRECTORY, RECORD_IN_USE, RECORD_VIEW_INDEX, RecordHeader,
};
use super::attribute::AttributeView;
use super::error::{ParseError, Structure};
use super::fixup::unprotect;

/// A record with its update sequence put back.
#[derive(Clone, Debug)]
pub struct Record {
    number: u64,
    bytes: Vec<u8>,
}

/// A record, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    number: u64,
    bytes: &'a [u8],
    header: &'a RecordHeader,
}

impl Record {
    /// Reads a record from its bytes as they stand on the disk.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn parse(number: u64, mut bytes: Vec<u8>) -> Result<Self, ParseError> {
        let damaged =
            |reason: String| ParseError::damaged(Structure::Record, reason).of_record(number);
        if !bytes.starts_with(b"FILE") {
            return Err(damaged("it has no magic number".into()));
        }
        unprotect(&mut bytes).map_err(|problem| damaged(problem.to_string()))?;
        RecordView::new(number, &bytes)?;
        Ok(Self { number, bytes })
    }

    /// The record, borrowed.
    pub fn view(&self) -> RecordView<'_> {
        RecordView {
            number: self.number,
            bytes: &self.bytes,
            // Checked when it was made; an empty one cannot be.
            header: RecordHeader::ref_from_prefix(&self.bytes).map_or(&EMPTY, |(header, _)| header),
        }
    }

    /// All bytes, the update sequence put back.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

static EMPTY: RecordHeader = zerocopy::transmute!([0_u8; size_of::<RecordHeader>()]);

impl<'a> RecordView<'a> {
    /// A view of bytes whose update sequence is put back.
    ///
    /// # Errors
    /// `Damaged` where the sizes in its head contradict each other.
    pub fn new(number: u64, bytes: &'a [u8]) -> Result<Self, ParseError> {
        let damaged =
            |reason: &str| ParseError::damaged(Structure::Record, reason).of_record(number);
        let Ok((header, _)) = RecordHeader::ref_from_prefix(bytes) else {
            return Err(damaged("it is cut short"));
        };
        let first = usize::from(header.attributes_offset.get());
        let used = usize::try_from(header.used.get()).unwrap_or(usize::MAX);
        if used > bytes.len() {
            return Err(damaged("more bytes are in use than it has"));
        }
        if first < size_of::<RecordHeader>() - 8 || first % 8 != 0 || first + 4 > used {
            return Err(damaged("its attributes begin nowhere"));
        }
        Ok(Self {
            number,
            bytes,
            header,
        })
    }

    /// Its number, by its place.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The reference that leads to it.
    pub fn reference(&self) -> FileReference {
        FileReference::new(self.number, self.sequence())
    }

    /// How often the record was used again.
    pub fn sequence(&self) -> u16 {
        self.header.sequence.get()
    }

    /// Names of the file, as the record counts them.
    pub fn links(&self) -> u16 {
        self.header.links.get()
    }

    /// The flags.
    pub fn flags(&self) -> u16 {
        self.header.flags.get()
    }

    /// Whether the record is in use.
    pub fn is_in_use(&self) -> bool {
        self.flags() & RECORD_IN_USE != 0
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.flags() & RECORD_DIRECTORY != 0
    }

    /// Whether it has an index that is no directory.
    pub fn has_view_index(&self) -> bool {
        self.flags() & RECORD_VIEW_INDEX != 0
    }

    /// The base record, of an extension record.
    pub fn base(&self) -> Option<FileReference> {
        match self.header.base.get() {
            0 => None,
            bits => Some(FileReference::from_bits(bits)),
        }
    }

    /// Bytes in use, as it says.
    pub fn used(&self) -> u32 {
        self.header.used.get()
    }

    /// Bytes of the record, as it says.
    pub fn allocated(&self) -> u32 {
        self.header.allocated.get()
    }

    /// The number that its next attribute will have.
    pub fn next_instance(&self) -> u16 {
        self.header.next_instance.get()
    }

    /// Its number as it says itself; none in the form of NTFS 1.2, whose head is shorter.
    pub fn own_number(&self) -> Option<u64> {
        let has_number = self.header.fixup_offset.get() >= 0x30;
        let high = u64::from(self.header.number_high.get());
        has_number.then(|| high << 32 | u64::from(self.header.number.get()))
    }

    /// Where its first attribute stands.
    pub fn attributes_offset(&self) -> u16 {
        self.header.attributes_offset.get()
    }

    /// All bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes in order; ends after the first that cannot be read.
    pub fn attributes(&self) -> Attributes<'a> {
        let used = usize::try_from(self.used()).unwrap_or(0);
        Attributes {
            number: self.number,
            bytes: self.bytes.get(..used).unwrap_or_default(),
            offset: usize::from(self.header.attributes_offset.get()),
            is_done: false,
        }
    }

    /// The first attribute of a type and name.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn find(&self, kind: u32, name: &str) -> Result<Option<AttributeView<'a>>, ParseError> {
        for attribute in self.attributes() {
            let attribute = attribute?;
            if attribute.is(kind, name) {
                return Ok(Some(attribute));
            }
        }
        Ok(None)
    }
}

/// The attributes of a record.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    number: u64,
    bytes: &'a [u8],
    offset: usize,
    is_done: bool,
}

impl Attributes<'_> {
    /// Where the next attribute, or the end mark, stands.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<AttributeView<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let kind = self
            .bytes
            .get(self.offset..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map(|bytes| u32::from_le_bytes(*bytes));
        if kind == Some(ATTRIBUTES_END) {
            self.is_done = true;
            return None;
        }
        let attribute = AttributeView::parse(self.bytes, self.offset)
            .map_err(|error| error.of_record(self.number));
        match &attribute {
            // A length is never zero, so this ends.
            Ok(attribute) => self.offset += attribute.length,
            Err(_) => self.is_done = true,
        }
        Some(attribute)
    }
}
