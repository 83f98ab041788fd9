//! Claims: who uses a volume beyond the life of a command, which is what a machine does.
//!
//! A lock on an image lasts as long as the process that holds it; a claim is a row, lasts until its
//! owner's tear-down releases it, and survives every crash. Many may read a volume, or one may write
//! it. The one is a *holder*, a machine: several attachments of the same machine may need the volume,
//! and the machine has it once.
//!
//! | there is            | a reader of the same machine | of another | a writer of the same machine | of another |
//! |---------------------|------------------------------|------------|------------------------------|------------|
//! | no claim            | taken                        | taken      | taken                        | taken      |
//! | readers             | taken                        | taken      | refused                      | refused    |
//! | a writer            | refused                      | refused    | taken                        | refused    |
//!
//! That is so for volumes in an image. One that stands for a directory, a share or memory may be written
//! by many at once; its claims only keep it from being removed.
//!
//! Whoever changes a volume takes the lock of its image first and looks for claims then; whoever
//! claims one holds that lock while the row is written. So where a claim stands nobody else is in the
//! middle of a change, and nobody begins one.

use std::fmt;

use uuid::Uuid;

use crate::name::VolumeName;
use crate::timestamp::Timestamp;

/// The longest text of a claimant, in bytes.
const MAX_TEXT: usize = 256;

/// Whether a volume is read or written by whoever has claimed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimMode {
    /// It is read, and others may read it too.
    Reader,
    /// It is written, by one machine alone.
    Writer,
}

/// Who claims volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The attachment: what is torn down as one.
    pub attachment: String,
    /// The machine, which has a volume once for all its attachments.
    pub holder: String,
    /// Who that is, in words for people.
    pub owner: String,
}

/// A volume that is to be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The volume.
    pub volume: VolumeName,
    /// What for.
    pub mode: ClaimMode,
}

/// A claim that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The volume.
    pub volume: Uuid,
    /// Who has it.
    pub claimant: Claimant,
    /// What for.
    pub mode: ClaimMode,
    /// Since when, in milliseconds after 1970-01-01 UTC.
    pub since_unix_ms: u64,
}

impl ClaimMode {
    /// Its word, as in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Reader, Self::Writer]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

impl Claimant {
    /// Whether its texts can stand in a row and be shown.
    pub(crate) fn is_fit(&self) -> bool {
        [&self.attachment, &self.holder, &self.owner]
            .into_iter()
            .all(|text| !text.is_empty() && text.len() <= MAX_TEXT)
    }
}

impl Claim {
    /// Whether somebody who claims the same volume has to be refused for this claim. An attachment is
    /// never in its own way: it takes its claims again after a crash.
    pub(crate) fn forbids(&self, claimant: &Claimant, mode: ClaimMode) -> bool {
        if self.claimant.attachment == claimant.attachment && self.mode == mode {
            return false;
        }
        match (self.mode, mode) {
            (ClaimMode::Reader, ClaimMode::Reader) => false,
            (ClaimMode::Writer, ClaimMode::Writer) => self.claimant.holder != claimant.holder,
            _ => true,
        }
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        Timestamp::from_unix_milliseconds(self.since_unix_ms)
    }
}

impl fmt::Display for ClaimMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who has it and since when, to the second, as errors tell it.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.mode {
            ClaimMode::Reader => "read",
            ClaimMode::Writer => "written",
        };
        let since = self.since_unix_ms / 1000 * 1000;
        write!(
            f,
            "{verb} by {} (attachment {}) since {}",
            self.claimant.owner,
            self.claimant.attachment,
            Timestamp::from_unix_milliseconds(since)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(attachment: &str, holder: &str) -> Claimant {
        Claimant {
            attachment: attachment.to_owned(),
            holder: holder.to_owned(),
            owner: format!("virtual machine {holder}"),
        }
    }

    #[test]
    fn the_table_of_the_module_is_what_is_done() {
        use ClaimMode::{Reader, Writer};
        let here = |mode| Claim {
            volume: Uuid::nil(),
            claimant: claimant("a", "web"),
            mode,
            since_unix_ms: 0,
        };
        for (stands, holder, wanted, refused) in [
            (Reader, "web", Reader, false),
            (Reader, "db", Reader, false),
            (Reader, "web", Writer, true),
            (Reader, "db", Writer, true),
            (Writer, "web", Reader, true),
            (Writer, "db", Reader, true),
            (Writer, "web", Writer, false),
            (Writer, "db", Writer, true),
        ] {
            let found = here(stands).forbids(&claimant("b", holder), wanted);
            assert_eq!(found, refused, "{stands} stands, {holder} wants {wanted}");
        }
    }

    #[test]
    fn an_attachment_may_take_its_claim_again_but_not_another_kind() {
        let claim = Claim {
            volume: Uuid::nil(),
            claimant: claimant("a", "web"),
            mode: ClaimMode::Writer,
            since_unix_ms: 0,
        };
        assert!(!claim.forbids(&claim.claimant, ClaimMode::Writer));
        assert!(claim.forbids(&claim.claimant, ClaimMode::Reader));
    }

    #[test]
    fn a_claim_says_who_has_it_since_when() {
        let claim = Claim {
            volume: Uuid::nil(),
            claimant: claimant("a1", "web"),
            mode: ClaimMode::Writer,
            since_unix_ms: 1_709_251_199_123,
        };
        assert_eq!(
            claim.to_string(),
            "written by virtual machine web (attachment a1) since 2024-02-29T23:59:59Z"
        );
    }
}
