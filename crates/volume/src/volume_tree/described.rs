//! What the records of one file say of it: times, attributes, access control, links, contents.

use std::collections::HashMap;

use mkfs::ntfs::parse::{
    AttributeView, BodyView, File, FileNameView, NtfsVolume, ParseError, SecurityStore,
    StandardInformationView, Value, kind,
};
use mkfs::{Attributes, MkfsErrorKind, SecurityDescriptor, Times, TreeError, TreeErrorKind};

use super::malformed;

/// A name of eight and three characters beside a long one.
pub(super) const NAMESPACE_DOS: u8 = 2;
/// The largest reparse point ([MS-FSCC] 2.1.2.2), and descriptor.
const MAX_REPARSE_BYTES: u64 = 16 * 1024;
const MAX_DESCRIPTOR_BYTES: u64 = 64 * 1024;
/// Descriptors that are kept decoded.
const MAX_KEPT: usize = 4096;

/// What a record says of a file.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) times: Times,
    pub(crate) attributes: Attributes,
    pub(crate) security: Option<SecurityDescriptor>,
    pub(crate) is_directory: bool,
    pub(crate) names: usize,
    pub(crate) reparse: Option<Vec<u8>>,
    pub(crate) data: Option<Value>,
    /// Named streams in the order of their names.
    pub(crate) streams: Vec<(Vec<u16>, Value)>,
}

pub(crate) fn of_parse(path: &str, error: &ParseError) -> TreeError {
    let kind = match error.kind() {
        MkfsErrorKind::Unsupported => TreeErrorKind::Unsupported,
        MkfsErrorKind::Damaged => TreeErrorKind::Malformed,
        _ => TreeErrorKind::Unreadable,
    };
    TreeError::new(kind, path, error.to_string())
}

/// Describes files of one volume, whose descriptors are decoded once.
pub(crate) struct Descriptions {
    store: SecurityStore,
    known: HashMap<u32, SecurityDescriptor>,
}

impl Descriptions {
    /// # Errors
    /// `Malformed` where `$Secure` is damaged, `Unreadable`.
    pub(crate) fn open(volume: &NtfsVolume<'_>) -> Result<Self, TreeError> {
        Ok(Self {
            store: SecurityStore::open(volume).map_err(|error| of_parse("/", &error))?,
            known: HashMap::new(),
        })
    }

    /// What the records of a file say.
    pub(crate) fn describe(
        &mut self,
        volume: &NtfsVolume<'_>,
        file: &File,
        path: &str,
    ) -> Result<Described, TreeError> {
        let fail = |error: ParseError| of_parse(path, &error);
        let attributes = file.attributes().map_err(fail)?;
        let value =
            |of: &AttributeView<'_>| file.value_named(volume, of.kind, of.name).map_err(fail);
        let bytes = |of: &AttributeView<'_>, limit| match value(of)? {
            Some(value) => value.read_all(volume, limit).map_err(fail),
            None => Ok(Vec::new()),
        };
        let mut found = Described {
            times: Times::default(),
            attributes: Attributes::NONE,
            security: None,
            is_directory: file.base().is_directory(),
            names: 0,
            reparse: None,
            data: None,
            streams: Vec::new(),
        };
        let mut security_id = None;
        for (_, attribute) in &attributes {
            match attribute.kind {
                kind::STANDARD_INFORMATION => {
                    let information = attribute
                        .value()
                        .and_then(StandardInformationView::parse)
                        .ok_or_else(|| malformed(path, "its times and attributes are cut short"))?;
                    found.times = information.times();
                    found.attributes =
                        Attributes::from_bits(information.attributes()).with(Attributes::NORMAL);
                    security_id = information.security_id();
                }
                kind::FILE_NAME => {
                    let name = attribute.value().and_then(FileNameView::parse);
                    found.names +=
                        usize::from(name.is_some_and(|name| name.name_space() != NAMESPACE_DOS));
                }
                kind::SECURITY_DESCRIPTOR => {
                    let bytes = bytes(attribute, MAX_DESCRIPTOR_BYTES)?;
                    found.security = Some(descriptor(&bytes, path)?);
                }
                kind::REPARSE_POINT => {
                    found.reparse = Some(bytes(attribute, MAX_REPARSE_BYTES)?);
                }
                kind::DATA if is_first_part(attribute) => {
                    let Some(value) = value(attribute)? else {
                        continue;
                    };
                    if attribute.name.is_empty() {
                        found.data = Some(value);
                    } else {
                        found.streams.push((attribute.name_units(), value));
                    }
                }
                _ => {}
            }
        }
        found.streams.sort_by(|a, b| a.0.cmp(&b.0));
        if let (None, Some(id)) = (&found.security, security_id) {
            found.security = self.descriptor(volume, id, path)?;
        }
        Ok(found)
    }

    /// The descriptor of a number in `$Secure`; 0 is that of no file.
    fn descriptor(
        &mut self,
        volume: &NtfsVolume<'_>,
        id: u32,
        path: &str,
    ) -> Result<Option<SecurityDescriptor>, TreeError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(Some(known.clone()));
        }
        if id == 0 {
            return Ok(None);
        }
        let bytes = self
            .store
            .descriptor(volume, id)
            .map_err(|error| of_parse(path, &error))?
            .ok_or_else(|| malformed(path, format!("its security descriptor {id} is missing")))?;
        let descriptor = descriptor(&bytes, path)?;
        if self.known.len() >= MAX_KEPT {
            self.known.clear();
        }
        self.known.insert(id, descriptor.clone());
        Ok(Some(descriptor))
    }
}

fn descriptor(bytes: &[u8], path: &str) -> Result<SecurityDescriptor, TreeError> {
    SecurityDescriptor::from_bytes(bytes).map_err(|error| malformed(path, error))
}

/// Whether an attribute is the first of the parts that make up a value.
fn is_first_part(attribute: &AttributeView<'_>) -> bool {
    match attribute.body {
        BodyView::Resident { .. } => true,
        BodyView::NonResident(body) => body.first_vcn == 0,
    }
}
