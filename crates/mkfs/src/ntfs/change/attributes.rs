//! What a file says of itself: attributes, access control; and the label of the volume.

use super::names::ROOT;
use super::record::{Attribute, Value, kind};
use super::volume::Volume;
use crate::change::{ChangeError, PathNames};
use crate::error::MkfsError;
use crate::security::SecurityDescriptor;
use crate::tree::Attributes;

const VOLUME: u64 = 3;
/// UTF-16 units of a label: what Windows takes.
const MAX_LABEL: usize = 32;

impl Volume<'_> {
    /// Sets and clears attributes of what a path leads to.
    pub(super) fn set_attributes(
        &mut self,
        path: &PathNames,
        set: Attributes,
        clear: Attributes,
    ) -> Result<(), ChangeError> {
        let record = self.resolve(path)?.map_or(ROOT, |found| found.record);
        let now = self.now.ticks().to_le_bytes();
        self.with_file(record, |file| {
            let old = file.attributes_bits();
            let new = (old & !clear.bits()) | set.bits();
            if new != old {
                file.change_information(0x20, &new.to_le_bytes())?;
                file.change_information(0x10, &now)?;
            }
            Ok(())
        })
    }

    /// Replaces the security descriptor of what a path leads to; an owner and group that are not said
    /// stay.
    pub(super) fn set_security(
        &mut self,
        path: &PathNames,
        descriptor: &SecurityDescriptor,
    ) -> Result<(), ChangeError> {
        let record = self.resolve(path)?.map_or(ROOT, |found| found.record);
        let old = SecurityDescriptor::from_bytes(&self.security_of(record)?)?.parts()?;
        let mut new = descriptor.parts()?;
        new.owner = new.owner.or(old.owner);
        new.group = new.group.or(old.group);
        self.set_descriptor(record, SecurityDescriptor::from_parts(&new)?.as_bytes())
    }

    /// Replaces the security descriptor of a file.
    pub(super) fn set_descriptor(
        &mut self,
        record: u64,
        descriptor: &[u8],
    ) -> Result<(), ChangeError> {
        let now = self.now.ticks().to_le_bytes();
        if self.loaded(record)?.security_id().is_some() {
            let id = self.security_id(descriptor)?;
            return self.with_file(record, |file| {
                file.change_information(0x34, &id.to_le_bytes())?;
                file.change_information(0x10, &now)
            });
        }
        // The root of a volume by Windows has a descriptor of its own.
        let old = self.with_file(record, |file| {
            file.change_information(0x10, &now)?;
            let attribute = file.attribute_mut(kind::SECURITY_DESCRIPTOR, &[])?;
            let new = Value::Resident(descriptor.to_vec());
            let value = std::mem::replace(&mut attribute.value, new);
            Ok(Attribute {
                value,
                ..attribute.clone()
            })
        })?;
        self.discard_value(&old)
    }

    /// The label of the volume.
    pub(super) fn label(&mut self) -> Result<String, ChangeError> {
        let file = self.loaded(VOLUME)?;
        let value = file
            .find(kind::VOLUME_NAME, &[])
            .and_then(Attribute::resident_value);
        let units: Vec<u16> = value
            .map(|value| {
                value
                    .chunks_exact(2)
                    .map(|c| u16::from_le_bytes([c[0], c[1]]))
                    .collect()
            })
            .unwrap_or_default();
        Ok(String::from_utf16_lossy(&units))
    }

    /// Changes the label of the volume.
    pub(super) fn set_label(&mut self, label: &str) -> Result<(), ChangeError> {
        let units: Vec<u16> = label.encode_utf16().collect();
        if units.len() > MAX_LABEL || units.contains(&0) {
            return Err(ChangeError::Mkfs(MkfsError::InvalidOption {
                option: "label",
                reason: format!(
                    "{label:?} is longer than {MAX_LABEL} UTF-16 units, or holds a NUL"
                ),
            }));
        }
        let value: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        self.with_file(VOLUME, |file| {
            file.attributes.retain(|a| a.kind != kind::VOLUME_NAME);
            file.attributes
                .push(Attribute::resident(kind::VOLUME_NAME, &[], value));
            Ok(())
        })
    }
}
