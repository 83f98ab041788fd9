//! Named streams: each follows the entry it belongs to.
//!
//! Windows compares their names without regard to case and takes all characters but `\`, `/` and `:`
//! ([MS-FSCC] 2.1.5.3).

use super::attribute::Attribute;
use super::build::{Builder, Last};
use super::directory::DirectoryIndex;
use super::file::copy_error;
use super::format::AttributeKind;
use super::spread::MAX_STREAM_ENTRIES;
use super::upcase::Upcase;
use crate::error::MkfsError;
use crate::names::{NameError, NameNote, NamePolicy, NameProblem};
use crate::report::{SkipReason, Skipped};
use crate::tree::{FileContent, NodeName, TreeEntry, TreeError, TreeErrorKind};

/// Bytes of a stream that stays in a record of its own where it does not fit the first one.
const SMALL_STREAM: usize = 64;
/// First code unit of the private area that stands for forbidden characters.
const PRIVATE_AREA: u16 = 0xF000;

impl Builder<'_, '_> {
    /// Stores a stream of the entry that arrived last.
    pub(super) fn add_stream(
        &mut self,
        entry: &TreeEntry,
        mut content: FileContent,
    ) -> Result<(), MkfsError> {
        // Its number is taken whatever becomes of it.
        self.number_node(entry.id, DirectoryIndex::ROOT, None)?;
        let path = self.stream_path(&entry.name);
        if matches!(self.last, Last::Nothing) {
            self.skip_stream(path, SkipReason::StreamOfSkipped);
            return Ok(());
        }
        if matches!(self.last, Last::HardLink) {
            return Err(MkfsError::Tree(TreeError::new(
                TreeErrorKind::Malformed,
                path,
                "a stream follows a hard link, not its file",
            )));
        }
        self.check_content(&content, || path.clone())?;
        let name = self.stream_name(&entry.name, &path)?;
        let present = self.attributes_of_last();
        let is_there = present.iter().any(|attribute| {
            attribute.kind == AttributeKind::Data
                && is_same_name(&attribute.name, &name, &self.upcase)
        });
        if is_there {
            self.skip_stream(path, SkipReason::StreamExists);
            return Ok(());
        }
        let entries: usize = present.iter().map(|a| 32 + 2 * a.name.len()).sum();
        if entries > MAX_STREAM_ENTRIES {
            self.skip_stream(path, SkipReason::TooManyStreams);
            return Ok(());
        }
        let taken = present.iter().map(Attribute::length).sum();
        let room = match &self.last {
            Last::File(_) => self.value_room(taken, name.len())?,
            _ => 0,
        };
        let stored = self
            .store_content(&mut content, room.max(SMALL_STREAM))
            .map_err(|error| copy_error(error, || path))?;
        let mut attribute = stored.attribute;
        attribute.name = name;
        self.report.streams += 1;
        match &mut self.last {
            Last::File(file) => file.record.attributes.push(attribute),
            Last::Link(place) => self.links[*place].streams.push(attribute),
            Last::Directory(index) => {
                let extras = self.directory_extras.entry(*index).or_default();
                extras.push(attribute);
            }
            Last::HardLink | Last::Nothing => {}
        }
        Ok(())
    }

    /// The attributes known of the entry that arrived last.
    fn attributes_of_last(&self) -> &[Attribute] {
        match &self.last {
            Last::File(file) => &file.record.attributes,
            Last::Link(place) => &self.links[*place].streams,
            Last::Directory(index) => self.directory_extras.get(index).map_or(&[], Vec::as_slice),
            Last::HardLink | Last::Nothing => &[],
        }
    }

    fn stream_path(&self, name: &NodeName) -> String {
        let file = match &self.last {
            Last::File(file) => self.directories.path(file.parent, &file.source_name),
            Last::Link(place) => self.link_path(*place),
            Last::Directory(index) => self.directories.directory_path(*index),
            Last::HardLink | Last::Nothing => String::new(),
        };
        format!("{file}:{name}")
    }

    fn skip_stream(&mut self, path: String, reason: SkipReason) {
        self.report.skipped.push(Skipped { path, reason });
    }

    /// The name under which a stream is stored.
    fn stream_name(&mut self, name: &NodeName, path: &str) -> Result<Vec<u16>, MkfsError> {
        let is_forbidden = |unit: &u16| matches!(*unit, 0x2F | 0x3A | 0x5C);
        if !name.units().iter().any(is_forbidden) {
            return Ok(name.units().to_vec());
        }
        let reason = NameProblem::ForbiddenCharacter;
        if self.name_policy == NamePolicy::Strict {
            return Err(MkfsError::Name(NameError::new(path, reason)));
        }
        let stored: Vec<u16> = name
            .units()
            .iter()
            .map(|unit| {
                if is_forbidden(unit) {
                    PRIVATE_AREA + unit
                } else {
                    *unit
                }
            })
            .collect();
        self.report.name_notes.push(NameNote {
            path: path.to_owned(),
            reason,
            stored_as: String::from_utf16_lossy(&stored),
        });
        Ok(stored)
    }
}

/// Whether two names are the same but for their case.
fn is_same_name(a: &[u16], b: &[u16], upcase: &Upcase) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| upcase.of(*a) == upcase.of(*b))
}
