//! The attributes of one record: their heads, order and numbers, their clusters, and what the check
//! needs to know of their values.

mod streams;

use std::cmp::Ordering;

use super::super::parse::{
    AttributeView, BodyView, FileReference, RecordView, StandardInformationView, kind,
};
use super::super::reparse::has_whole_names;
use super::context::Context;
use super::facts::Marks;
use super::information;
use super::kinds::{rule, text};
use super::names;
use super::records::IN_EXTEND;
use super::secure::is_descriptor;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

pub(super) use streams::{Whole, check_whole};

/// Record of `$BadClus`, whose stream of holes is not marked as sparse.
const BAD_CLUSTERS: u64 = 8;
/// File attribute: the file has a reparse point.
const FILE_REPARSE_POINT: u32 = 0x400;
/// Records of the volume's own files, each of which is checked by itself.
const FIRST_USER: u64 = 24;
/// Flag of an attribute: its clusters hold encrypted data.
const ENCRYPTED: u16 = 0x4000;
/// Flags of an attribute: how it is compressed; and the only way there is.
const COMPRESSION_METHODS: u16 = 0xFF;
const LZNT1: u16 = 1;
/// Bytes of the end mark of a record.
const END_MARK: usize = 8;

/// Checks the attributes of a record, of the file whose base record is `owner`.
pub(super) fn check(
    context: &mut Context<'_, '_>,
    record: RecordView<'_>,
    owner: u64,
) -> Result<(), MkfsError> {
    let number = record.number();
    let mut scan = Scan {
        owner,
        record,
        previous: None,
        instances: Vec::new(),
        has_directory_index: false,
        has_view_index: false,
        file_attributes: None,
        has_reparse: false,
        has_descriptor: false,
        has_data: false,
        extended_size: None,
        extended_says: None,
    };
    let mut attributes = record.attributes();
    for attribute in attributes.by_ref() {
        match attribute {
            Ok(attribute) => scan.attribute(context, attribute),
            Err(error) => {
                if let Some(facts) = context.facts.get_mut(owner) {
                    facts.marks.set(Marks::BROKEN);
                }
                return context.add_damage("attribute", number, error);
            }
        }
    }
    let used = usize::try_from(record.used()).unwrap_or(usize::MAX);
    if attributes.offset() + END_MARK != used {
        let finding = VolumeFinding::error("record-used", "the bytes in use are counted wrongly");
        context.add(
            finding
                .of(number)
                .versus(attributes.offset() + END_MARK, used),
        );
    }
    scan.finish(context);
    Ok(())
}

/// What is remembered from attribute to attribute.
struct Scan<'a> {
    owner: u64,
    record: RecordView<'a>,
    previous: Option<AttributeView<'a>>,
    instances: Vec<u16>,
    has_directory_index: bool,
    has_view_index: bool,
    file_attributes: Option<u32>,
    has_reparse: bool,
    has_descriptor: bool,
    has_data: bool,
    /// Bytes of the extended attributes, and what `$EA_INFORMATION` says of them.
    extended_size: Option<u64>,
    extended_says: Option<u64>,
}

impl<'a> Scan<'a> {
    fn error(&self, context: &mut Context<'_, '_>, class: &'static str, message: String) {
        context.add(VolumeFinding::error(class, message).of(self.record.number()));
    }

    fn attribute(&mut self, context: &mut Context<'_, '_>, attribute: AttributeView<'a>) {
        self.order(context, &attribute);
        if self.instances.contains(&attribute.instance) {
            let message = format!("{} has the number of another attribute", text(&attribute));
            self.error(context, "attribute-instance", message);
        }
        self.instances.push(attribute.instance);
        self.kind(context, &attribute);
        match attribute.body {
            BodyView::Resident {
                value,
                indexed,
                value_offset,
            } => {
                let expected = u8::from(attribute.kind == kind::FILE_NAME);
                if indexed != expected {
                    let finding = VolumeFinding::error(
                        "attribute-indexed",
                        format!("the indexed flag of {} is wrong", text(&attribute)),
                    );
                    context.add(finding.of(self.record.number()).versus(expected, indexed));
                }
                if value_offset % 8 != 0 || value_offset < 24 + attribute.name.len() {
                    let message = format!("the value of {} begins nowhere", text(&attribute));
                    self.error(context, "attribute", message);
                }
                if attribute.flags & COMPRESSION_METHODS > LZNT1 || attribute.flags & ENCRYPTED != 0
                {
                    let message = format!(
                        "{} has flags that no value in a record has",
                        text(&attribute)
                    );
                    self.error(context, "attribute-flags", message);
                }
                self.value(context, &attribute, value);
            }
            BodyView::NonResident(body) => self.stream(context, &attribute, &body),
        }
        self.previous = Some(attribute);
    }

    /// Attributes stand in the order of their types, then of their names.
    fn order(&self, context: &mut Context<'_, '_>, attribute: &AttributeView<'_>) {
        let Some(previous) = &self.previous else {
            return;
        };
        let upcase = context.volume.upcase();
        let fold = |view: &AttributeView<'_>| -> Vec<u16> {
            view.name_units()
                .iter()
                .map(|unit| upcase.of(*unit))
                .collect()
        };
        let order = previous
            .kind
            .cmp(&attribute.kind)
            .then_with(|| fold(previous).cmp(&fold(attribute)));
        let first_vcn = |view: &AttributeView<'_>| match view.body {
            BodyView::Resident { .. } => 0,
            BodyView::NonResident(body) => body.first_vcn,
        };
        match order {
            Ordering::Less => {}
            Ordering::Equal if attribute.kind == kind::FILE_NAME => {}
            Ordering::Equal if first_vcn(previous) < first_vcn(attribute) => {}
            Ordering::Equal => {
                let message = format!("{} is there twice", text(attribute));
                self.error(context, "attribute-duplicate", message);
            }
            Ordering::Greater => {
                let message = format!("{} stands behind {}", text(attribute), text(previous));
                self.error(context, "attribute-order", message);
            }
        }
    }

    /// The type, and what `$AttrDef` says of it.
    fn kind(&mut self, context: &mut Context<'_, '_>, attribute: &AttributeView<'_>) {
        let Some(rule) = rule(attribute.kind) else {
            let message = format!("type {:#x} is none", attribute.kind);
            return self.error(context, "attribute-type", message);
        };
        let size = match attribute.body {
            BodyView::Resident { value, .. } => {
                if attribute.kind == kind::INDEX_ALLOCATION {
                    let message = format!("{} is resident", text(attribute));
                    self.error(context, "attribute-resident", message);
                }
                u64::try_from(value.len()).unwrap_or(u64::MAX)
            }
            BodyView::NonResident(body) => {
                if rule.resident_only {
                    let message = format!("{} is not resident", text(attribute));
                    self.error(context, "attribute-resident", message);
                }
                if body.first_vcn == 0 {
                    body.size
                } else {
                    rule.least
                }
            }
        };
        if size < rule.least || size > rule.most {
            let finding = VolumeFinding::error(
                "attribute-size",
                format!("{} has a size that its type has not", text(attribute)),
            );
            let bounds = format!("{} to {} bytes", rule.least, rule.most);
            context.add(finding.of(self.record.number()).versus(bounds, size));
        }
        let owner = self.owner;
        match attribute.kind {
            kind::ATTRIBUTE_LIST => {
                if self.record.base().is_some() {
                    let message = "an extension record has an attribute list".to_owned();
                    self.error(context, "list", message);
                } else if let Some(facts) = context.facts.get_mut(owner) {
                    facts.marks.set(Marks::LIST);
                }
            }
            kind::INDEX_ROOT if attribute.is_named("$I30") => self.has_directory_index = true,
            kind::INDEX_ROOT => self.has_view_index = true,
            kind::SECURITY_DESCRIPTOR => self.has_descriptor = true,
            kind::DATA => {
                self.has_data = true;
                if attribute.name.is_empty() && self.record.is_directory() {
                    let message = "a directory has data of its own".to_owned();
                    self.error(context, "attribute-type", message);
                }
            }
            kind::EA => self.extended_size = Some(size),
            kind::EA_INFORMATION => {
                if let Some(facts) = context.facts.get_mut(owner) {
                    facts.marks.set(Marks::EXTENDED);
                }
            }
            kind::REPARSE_POINT => {
                self.has_reparse = true;
                if let Some(facts) = context.facts.get_mut(owner) {
                    facts.marks.set(Marks::REPARSE);
                }
            }
            _ => {}
        }
    }

    /// A resident value.
    fn value(
        &mut self,
        context: &mut Context<'_, '_>,
        attribute: &AttributeView<'_>,
        value: &[u8],
    ) {
        let owner = self.owner;
        match attribute.kind {
            kind::STANDARD_INFORMATION => self.information(context, value),
            kind::FILE_NAME => names::check(context, self.record, owner, value),
            kind::DATA if attribute.name.is_empty() => {
                if let Some(facts) = context.facts.get_mut(owner) {
                    facts.size = u64::try_from(value.len()).unwrap_or(u64::MAX);
                    facts.allocated = facts.size.next_multiple_of(8);
                }
            }
            kind::EA_INFORMATION => {
                // Packed size, and how many are needed, stand before the size.
                let size = value.get(4..).and_then(|rest| rest.first_chunk::<4>());
                self.extended_says = size.map(|size| u32::from_le_bytes(*size).into());
            }
            kind::OBJECT_ID => {
                if let Some(id) = value.first_chunk::<16>() {
                    context
                        .object_ids
                        .push((*id, self.owner_reference(context).bits()));
                } else {
                    self.error(
                        context,
                        "object-id",
                        "the object identifier is cut short".into(),
                    );
                }
            }
            kind::REPARSE_POINT => {
                self.reparse(context, value, value.len());
                if !has_whole_names(value) {
                    let message = "the names of the link stand outside its reparse point";
                    self.error(context, "reparse", message.into());
                }
            }
            kind::SECURITY_DESCRIPTOR if !is_descriptor(value) => {
                let message = "the security descriptor of the file is none";
                self.error(context, "secure-descriptor", message.into());
            }
            _ => {}
        }
    }

    fn owner_reference(&self, context: &Context<'_, '_>) -> FileReference {
        match self.record.base() {
            Some(base) => base,
            None => FileReference::new(
                self.owner,
                context
                    .facts
                    .get(self.owner)
                    .map_or(0, |facts| facts.sequence),
            ),
        }
    }

    fn information(&mut self, context: &mut Context<'_, '_>, value: &[u8]) {
        let Some(information) = StandardInformationView::parse(value) else {
            return;
        };
        self.file_attributes = Some(information.attributes());
        self.has_descriptor |= information.security_id().is_some_and(|id| id != 0);
        information::check(context, self.record, self.owner, &information);
    }

    /// The head of reparse data ([MS-FSCC] 2.1.2.1): tag, and bytes that follow the head.
    fn reparse(&self, context: &mut Context<'_, '_>, value: &[u8], size: usize) {
        let Some(head) = value.first_chunk::<8>() else {
            return self.error(context, "reparse", "the reparse point is cut short".into());
        };
        let [t0, t1, t2, t3, l0, l1, ..] = *head;
        let tag = u32::from_le_bytes([t0, t1, t2, t3]);
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        // Tags that are not Microsoft's are followed by a GUID that is not counted.
        let guid = if tag & 0x8000_0000 == 0 { 16 } else { 0 };
        if size != 8 + guid + length {
            let finding =
                VolumeFinding::error("reparse", "the length of the reparse point is wrong");
            context.add(
                finding
                    .of(self.record.number())
                    .versus(8 + guid + length, size),
            );
        }
        let reference = self.owner_reference(context);
        context.reparse_points.push((tag, reference.bits()));
        if let Some(facts) = context.facts.get_mut(self.owner) {
            facts.tag = tag;
        }
    }

    /// What is told of the record when all attributes are known.
    fn finish(&self, context: &mut Context<'_, '_>) {
        let number = self.record.number();
        if let Some(largest) = self.instances.iter().max()
            && self.record.next_instance() <= *largest
        {
            let finding = VolumeFinding::error(
                "record-next-instance",
                "the next number of an attribute is taken already",
            );
            let expected = format!("more than {largest}");
            context.add(
                finding
                    .of(number)
                    .versus(expected, self.record.next_instance()),
            );
        }
        if self.record.base().is_some() {
            return;
        }
        let has_list = context
            .facts
            .get(number)
            .is_some_and(|facts| facts.marks.has(Marks::LIST));
        if !has_list {
            self.flags(context);
            self.missing(context);
        }
        let Some(attributes) = self.file_attributes else {
            return self.error(
                context,
                "record-information",
                "the record has no standard information".into(),
            );
        };
        if !has_list && (attributes & FILE_REPARSE_POINT != 0) != self.has_reparse {
            let message = if self.has_reparse {
                "the file has a reparse point, but its attributes do not say so"
            } else {
                "the attributes tell of a reparse point, but the file has none"
            };
            self.error(context, "reparse-flag", message.into());
        }
    }

    /// What every file has.
    fn missing(&self, context: &mut Context<'_, '_>) {
        let number = self.record.number();
        if number < FIRST_USER {
            return;
        }
        let has_content = self.has_data || self.has_directory_index || self.has_view_index;
        if !has_content {
            let message = "the file has neither data nor an index";
            self.error(context, "attribute-missing", message.into());
        }
        let is_extended_right = match (self.extended_size, self.extended_says) {
            (Some(size), Some(says)) => says <= size,
            (size, says) => size == says,
        };
        if !is_extended_right {
            let words = |size: Option<u64>| size.map_or("none".into(), |size| size.to_string());
            let message = "$EA_INFORMATION tells another size than $EA has";
            let finding = VolumeFinding::error("extended-attributes", message).of(number);
            context.add(finding.versus(words(self.extended_size), words(self.extended_says)));
        }
        // Windows itself leaves some files of $Extend without.
        if !self.has_descriptor && self.record.flags() & IN_EXTEND == 0 {
            let message = "the file has no security descriptor";
            context.add(VolumeFinding::warning("security-id", message).of(number));
        }
    }

    /// The flags of the record follow from its indexes.
    fn flags(&self, context: &mut Context<'_, '_>) {
        if self.record.is_directory() != self.has_directory_index {
            let message = if self.has_directory_index {
                "the record has the index of a directory, but is not marked as one"
            } else {
                "the record is marked as a directory, but has no index"
            };
            self.error(context, "record-flags", message.into());
        }
        if self.record.has_view_index() != self.has_view_index {
            let message = if self.has_view_index {
                "the record has a view index, but is not marked so"
            } else {
                "the record is marked as having a view index, but has none"
            };
            self.error(context, "record-flags", message.into());
        }
    }
}
