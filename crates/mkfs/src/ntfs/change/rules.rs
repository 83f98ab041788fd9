//! Rules of access for what is added: asked at each path.

use super::volume::Volume;
use crate::change::{ChangeError, PathNames};
use crate::security::{PathProgress, SecurityDescriptor};
use crate::tree::{EntryKind, NodeName};

impl Volume<'_> {
    /// How far rules of access have matched at a path.
    pub(super) fn rules_at(&self, path: &PathNames) -> Result<PathProgress, ChangeError> {
        match &self.rules {
            Some(rules) => Ok(rules.at(path.names())?),
            None => Ok(PathProgress::default()),
        }
    }

    /// How far they have matched one name further down.
    pub(super) fn rules_below(&self, above: &PathProgress, name: &NodeName) -> PathProgress {
        match &self.rules {
            Some(rules) => rules.step(above, name),
            None => PathProgress::default(),
        }
    }

    /// What rules say of an entry of a directory.
    pub(super) fn ruled(
        &mut self,
        parent: u64,
        at: &PathProgress,
        is_directory: bool,
    ) -> Result<Option<SecurityDescriptor>, ChangeError> {
        let Some(rules) = self.rules.take() else {
            return Ok(None);
        };
        let descriptor = rules.descriptor(at, is_directory, || {
            Ok::<_, ChangeError>(SecurityDescriptor::from_bytes(&self.security_of(parent)?)?)
        });
        self.rules = Some(rules);
        descriptor
    }
}

/// Whether an entry inherits as a directory does.
pub(super) fn is_kept_as_directory(kind: &EntryKind) -> bool {
    match kind {
        EntryKind::Directory => true,
        EntryKind::Symlink { directory, .. } | EntryKind::ReparsePoint { directory, .. } => {
            *directory
        }
        EntryKind::File(_) | EntryKind::HardLink { .. } | EntryKind::Stream(_) => false,
    }
}
