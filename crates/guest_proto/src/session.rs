//! Conversations: the token that tells one from those before it, and the version it is held in.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

use serde::{Deserialize, Serialize};

/// The oldest version of the messages that this crate speaks.
pub const LOWEST_VERSION: u16 = 1;
/// The newest.
pub const HIGHEST_VERSION: u16 = 1;

/// What tells a conversation from those before it. It is no secret: whoever can write to the channel
/// can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

impl Token {
    /// A token that no other conversation has.
    pub fn random() -> Self {
        // The standard library seeds its hash tables from the system's source of randomness, and
        // changes the seed from table to table.
        Self(RandomState::new().build_hasher().finish())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The versions that a side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub lowest: u16,
    /// The newest.
    pub highest: u16,
}

impl Versions {
    /// Those of this crate.
    pub const OURS: Self = Self {
        lowest: LOWEST_VERSION,
        highest: HIGHEST_VERSION,
    };

    /// The newest that both speak; `None` where there is none.
    pub fn agree(self, other: Self) -> Option<u16> {
        let newest = self.highest.min(other.highest);
        (newest >= self.lowest.max(other.lowest)).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_agree_on_the_newest_version_that_both_speak() {
        let versions = |lowest, highest| Versions { lowest, highest };
        for (own, other, agreed) in [
            (versions(1, 1), versions(1, 1), Some(1)),
            (versions(1, 3), versions(2, 5), Some(3)),
            (versions(4, 6), versions(1, 4), Some(4)),
            (versions(1, 1), versions(2, 3), None),
            (versions(5, 6), versions(1, 4), None),
            // Nonsense of the other side is no agreement.
            (versions(1, 3), versions(3, 1), None),
        ] {
            assert_eq!(own.agree(other), agreed, "{own:?} {other:?}");
        }
    }

    #[test]
    fn no_two_conversations_have_one_token() {
        let tokens: std::collections::HashSet<_> = (0..1000).map(|_| Token::random()).collect();
        assert_eq!(tokens.len(), 1000);
    }
}
