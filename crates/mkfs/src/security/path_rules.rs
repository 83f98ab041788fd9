//! Rules for entries that come one at a time, each at its path.

use super::descriptor::{DescriptorError, SecurityDescriptor};
use super::inherit::{Creator, inherit};
use super::rules::{AccessRules, Fold, Progress};
use crate::names::NameError;
use crate::tree::NodeName;

/// Rules by which entries of a volume get their descriptors.
pub(crate) struct PathRules {
    rules: AccessRules,
    fold: Fold,
}

/// How far the patterns have matched on the way to an entry.
#[derive(Clone, Default)]
pub(crate) struct PathProgress(Progress);

impl PathRules {
    pub(crate) fn new(rules: AccessRules) -> Self {
        Self {
            rules,
            fold: Fold::new(),
        }
    }

    /// At the entry that names lead to, from the root on.
    pub(crate) fn at(&self, names: &[Vec<u16>]) -> Result<PathProgress, NameError> {
        let mut progress = PathProgress(self.rules.at_root());
        for name in names {
            progress = self.step(&progress, &NodeName::new(name.clone())?);
        }
        Ok(progress)
    }

    /// One name further down.
    pub(crate) fn step(&self, progress: &PathProgress, name: &NodeName) -> PathProgress {
        PathProgress(self.rules.step(&progress.0, name, &self.fold))
    }

    /// What the last rule that matches gives an entry, in a directory with a descriptor that is asked for
    /// then; `None` where no rule matches.
    pub(crate) fn descriptor<E: From<DescriptorError>>(
        &self,
        progress: &PathProgress,
        is_directory: bool,
        parent: impl FnOnce() -> Result<SecurityDescriptor, E>,
    ) -> Result<Option<SecurityDescriptor>, E> {
        let Some(rule) = self.rules.matched(&progress.0) else {
            return Ok(None);
        };
        let explicit = self.rules.descriptor(rule);
        let made = inherit(&parent()?, explicit, is_directory, &Creator::default())?;
        Ok(Some(made))
    }
}
