//! A file: its base record, and the extension records that its attribute list names.

use std::collections::BTreeSet;

use super::MAX_ATTRIBUTE_LIST_BYTES;
use super::attribute::{AttributeView, BodyView, kind};
use super::error::{ParseError, Structure};
use super::list::{ListEntry, list_entries};
use super::record::{Record, RecordView};
use super::stream::StreamMap;
use super::value::Value;
use super::volume::NtfsVolume;

/// A file, with all of its records in memory.
#[derive(Clone, Debug)]
pub struct File {
    base: Record,
    extensions: Vec<Record>,
    list: Vec<ListEntry>,
}

impl File {
    /// Reads what `base` leads to.
    pub(super) fn read(volume: &NtfsVolume<'_>, base: Record) -> Result<Self, ParseError> {
        let view = base.view();
        let number = view.number();
        let damaged =
            |reason: &str| ParseError::damaged(Structure::Record, reason).of_record(number);
        if !view.is_in_use() {
            return Err(damaged("it is not in use"));
        }
        if view.base().is_some() {
            return Err(damaged("it only holds attributes of another record"));
        }
        let Some(list) = view.find(kind::ATTRIBUTE_LIST, "")? else {
            return Ok(Self {
                base,
                extensions: Vec::new(),
                list: Vec::new(),
            });
        };
        let of_base = |error: ParseError| error.of_record(number);
        let bytes = volume
            .value_of_one(&list)
            .and_then(|list| list.read_all(volume, MAX_ATTRIBUTE_LIST_BYTES))
            .map_err(of_base)?;
        let list = list_entries(&bytes).map_err(of_base)?;
        // At most as many as the list has entries.
        let records: BTreeSet<_> = list.iter().map(|entry| entry.record).collect();
        let mut extensions = Vec::new();
        for reference in records {
            if reference.record() == number {
                continue;
            }
            let record = volume.read_record(reference.record())?;
            let extension = record.view();
            if !extension.is_in_use()
                || extension.base() != Some(view.reference())
                || extension.sequence() != reference.sequence()
            {
                return Err(ParseError::damaged(
                    Structure::AttributeList,
                    format!("record {} is none of the file's", reference.record()),
                )
                .of_record(number));
            }
            extensions.push(record);
        }
        Ok(Self {
            base,
            extensions,
            list,
        })
    }

    /// The base record.
    pub fn base(&self) -> RecordView<'_> {
        self.base.view()
    }

    /// The extension records, by number.
    pub fn extensions(&self) -> impl Iterator<Item = RecordView<'_>> {
        self.extensions.iter().map(Record::view)
    }

    /// The attribute list; empty where the file has none.
    pub fn list(&self) -> &[ListEntry] {
        &self.list
    }

    /// The attributes of all records: those of the base record first.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn attributes(&self) -> Result<Vec<(u64, AttributeView<'_>)>, ParseError> {
        let mut attributes = Vec::new();
        for record in std::iter::once(&self.base).chain(&self.extensions) {
            for attribute in record.view().attributes() {
                attributes.push((record.number(), attribute?));
            }
        }
        Ok(attributes)
    }

    /// The value of the attribute of a type and name; `None` where there is none.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn value(
        &self,
        volume: &NtfsVolume<'_>,
        kind: u32,
        name: &str,
    ) -> Result<Option<Value>, ParseError> {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.value_named(volume, kind, &name)
    }

    /// The same, by a name in UTF-16, little endian, as [`AttributeView::name`] has it.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn value_named(
        &self,
        volume: &NtfsVolume<'_>,
        kind: u32,
        name: &[u8],
    ) -> Result<Option<Value>, ParseError> {
        let number = self.base.number();
        let mut parts: Vec<AttributeView<'_>> = self
            .attributes()?
            .into_iter()
            .map(|(_, attribute)| attribute)
            .filter(|attribute| attribute.kind == kind && attribute.name == name)
            .collect();
        parts.sort_by_key(|part| match part.body {
            BodyView::Resident { .. } => 0,
            BodyView::NonResident(body) => body.first_vcn,
        });
        let Some((first, more)) = parts.split_first() else {
            return Ok(None);
        };
        let mut value = volume
            .value_of_one(first)
            .map_err(|error| error.of_record(number))?;
        for part in more {
            append(&mut value, part, volume.geometry().clusters)
                .map_err(|error| error.of_record(number))?;
        }
        Ok(Some(value))
    }
}

fn append(value: &mut Value, part: &AttributeView<'_>, clusters: u64) -> Result<(), ParseError> {
    match (value, part.body) {
        (Value::Stream(map), BodyView::NonResident(body)) => {
            StreamMap::append(map, &body, clusters)
        }
        _ => Err(ParseError::damaged(
            Structure::Attribute,
            "it is there more than once",
        )),
    }
}
