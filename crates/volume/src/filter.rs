//! Which volumes a list or a prune is about: `label=app=db`, `name=web`, `kind=smb`, `fs=ntfs`, `state=ready`.

use crate::error::VolumeError;
use crate::record::VolumeRecord;
use crate::spec::kind::{FileSystemKind, VolumeKind};
use crate::state::VolumeState;

/// Conditions; a volume passes that meets all labels, and of every other key one of the values.
/// The empty filter passes every volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    labels: Vec<(String, Option<String>)>,
    names: Vec<String>,
    file_systems: Vec<FileSystemKind>,
    states: Vec<VolumeState>,
    kinds: Vec<VolumeKind>,
    persistent: Option<bool>,
}

/// A refused condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filter {text:?}: {reason}")]
pub struct FilterError {
    text: String,
    reason: &'static str,
}

impl From<FilterError> for VolumeError {
    fn from(error: FilterError) -> Self {
        Self::Filter(error)
    }
}

impl Filter {
    /// Reads conditions of the form `key=value`: `label=KEY` or `label=KEY=VALUE`, `name=PART` (a
    /// part of the name, in any case), `kind=`, `fs=`, `state=`, `persistent=`.
    ///
    /// # Errors
    /// The first condition that is none.
    pub fn parse<T: AsRef<str>>(conditions: &[T]) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for condition in conditions {
            filter.add(condition.as_ref())?;
        }
        Ok(filter)
    }

    /// Adds one condition.
    ///
    /// # Errors
    /// Why it is none.
    pub fn add(&mut self, condition: &str) -> Result<(), FilterError> {
        let fail = |reason| FilterError {
            text: condition.chars().take(80).collect(),
            reason,
        };
        let Some((key, value)) = condition.split_once('=') else {
            return Err(fail("not key=value"));
        };
        match key {
            "label" => {
                let (label, value) = match value.split_once('=') {
                    Some((label, value)) => (label, Some(value.to_owned())),
                    None => (value, None),
                };
                self.labels.push((label.to_owned(), value));
            }
            "name" => self.names.push(value.to_ascii_lowercase()),
            "fs" => {
                let found = FileSystemKind::from_word(value);
                let found = found
                    .ok_or_else(|| fail("the file systems are ntfs, fat32, refs, scratch, none"))?;
                self.file_systems.push(found);
            }
            "kind" | "type" => {
                let found = VolumeKind::from_word(value);
                let found = found.ok_or_else(|| fail("the kinds are vhd, bind, smb, tmpfs"))?;
                self.kinds.push(found);
            }
            "state" => {
                let found = VolumeState::from_word(value);
                let found =
                    found.ok_or_else(|| fail("the states are creating, ready, deleting"))?;
                self.states.push(found);
            }
            "persistent" => {
                let found = value.parse().map_err(|_| fail("write true or false"))?;
                if self.persistent.is_some_and(|before| before != found) {
                    return Err(fail("contradicts an earlier one"));
                }
                self.persistent = Some(found);
            }
            _ => {
                return Err(fail(
                    "the keys are label, name, kind, fs, state, persistent",
                ));
            }
        }
        Ok(())
    }

    /// The filter of a prune that is not told to take all: volumes that are not persistent.
    #[must_use]
    pub fn not_persistent_only(mut self) -> Self {
        self.persistent = Some(false);
        self
    }

    /// Whether it has a condition on the state.
    pub(crate) fn has_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Whether a volume passes.
    pub fn matches(&self, record: &VolumeRecord) -> bool {
        fn one_of<T>(allowed: &[T], test: impl Fn(&T) -> bool) -> bool {
            allowed.is_empty() || allowed.iter().any(test)
        }
        let label = |(key, value): &(String, Option<String>)| {
            record
                .labels
                .get(key)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        let name = record.name.key();
        self.labels.iter().all(label)
            && one_of(&self.names, |part| name.contains(part.as_str()))
            && one_of(&self.file_systems, |kind| {
                let disk = record.spec.disk();
                disk.is_some_and(|disk| disk.file_system() == *kind)
            })
            && one_of(&self.kinds, |kind| *kind == record.spec.kind())
            && one_of(&self.states, |state| *state == record.state)
            && self
                .persistent
                .is_none_or(|wanted| wanted == record.spec.persistent())
    }
}
