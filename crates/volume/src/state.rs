//! The life of a volume as the store records it.
//!
//! A row is written before files are touched and finished after; whoever opens the store completes
//! or undoes what a dead process left. Each trigger is one transaction of the database:
//!
//! | from     | trigger                                   | to       | on disk before the trigger              |
//! |----------|-------------------------------------------|----------|-----------------------------------------|
//! | (none)   | create begins                             | creating | nothing                                 |
//! | creating | image and rescue record are durable       | ready    | the whole folder, flushed               |
//! | creating | create fails, or its process is dead      | (none)   | the folder was removed                  |
//! | ready    | remove begins, image not in use           | deleting | the whole folder                        |
//! | deleting | folder removed, here or by recovery       | (none)   | nothing                                 |
//! | (none)   | rebuild finds a whole folder              | ready    | the whole folder                        |
//!
//! `creating` and `deleting` carry the id of an operation. While the process behind it lives, it
//! holds the lock of that operation, and nobody else touches the volume.

use std::fmt;

/// Where a volume stands between nothing and nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VolumeState {
    /// Being made; not to be used yet.
    Creating,
    /// Whole.
    Ready,
    /// Being removed; its name is taken until that is done.
    Deleting,
}

/// What moves a volume from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trigger {
    /// A create begins.
    CreateBegins,
    /// The files of a create are durable.
    CreateSucceeds,
    /// A create failed or died, and its files are gone.
    CreateUndone,
    /// A removal begins.
    RemoveBegins,
    /// The files of a removal are gone.
    RemoveDone,
    /// A rebuild found a whole folder.
    Rebuilt,
}

impl VolumeState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Creating, Self::Ready, Self::Deleting];

    /// The word in the database and in filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Deleting => "deleting",
        }
    }

    /// The state that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The transition table: the state after a trigger, `None` for no row; the error is the state that
/// does not know the trigger.
pub(crate) fn next(
    from: Option<VolumeState>,
    trigger: Trigger,
) -> Result<Option<VolumeState>, Option<VolumeState>> {
    use VolumeState::{Creating, Deleting, Ready};
    match (from, trigger) {
        (None, Trigger::CreateBegins) => Ok(Some(Creating)),
        (Some(Creating), Trigger::CreateSucceeds) => Ok(Some(Ready)),
        (Some(Creating), Trigger::CreateUndone) => Ok(None),
        (Some(Ready), Trigger::RemoveBegins) => Ok(Some(Deleting)),
        (Some(Deleting), Trigger::RemoveDone) => Ok(None),
        (None, Trigger::Rebuilt) => Ok(Some(Ready)),
        (from, _) => Err(from),
    }
}

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_allows_these_transitions_and_no_other() {
        use Trigger::*;
        use VolumeState::*;
        let allowed = [
            (None, CreateBegins, Some(Creating)),
            (Some(Creating), CreateSucceeds, Some(Ready)),
            (Some(Creating), CreateUndone, None),
            (Some(Ready), RemoveBegins, Some(Deleting)),
            (Some(Deleting), RemoveDone, None),
            (None, Rebuilt, Some(Ready)),
        ];
        let triggers = [
            CreateBegins,
            CreateSucceeds,
            CreateUndone,
            RemoveBegins,
            RemoveDone,
            Rebuilt,
        ];
        for from in [None, Some(Creating), Some(Ready), Some(Deleting)] {
            for trigger in triggers {
                let expected = allowed.iter().find(|row| (row.0, row.1) == (from, trigger));
                let expected = expected.map(|row| row.2).ok_or(from);
                assert_eq!(next(from, trigger), expected, "{from:?} {trigger:?}");
            }
        }
    }

    #[test]
    fn a_state_reads_back_from_its_word() {
        for state in VolumeState::ALL {
            assert_eq!(VolumeState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(VolumeState::from_word("Ready"), None);
    }
}
