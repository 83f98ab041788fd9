//! Paths in a volume that is changed.

use std::fmt;

use super::ChangeError;
use crate::names::{CasePolicy, NameError, NamePolicy, NameProblem, NameRules, SiblingNames};
use crate::tree::NodeName;

/// Directories within one another.
pub(crate) const MAX_DEPTH: usize = 512;

/// A path from the top of a volume, in names; empty for the top itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathNames(Vec<Vec<u16>>);

impl PathNames {
    /// The path that a text spells, with `/` or `\` between names.
    ///
    /// # Errors
    /// [`NameError`] where it holds `..`, a NUL, or a name that is too long.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let mut names = Vec::new();
        for name in text
            .split(['/', '\\'])
            .filter(|name| !matches!(*name, "" | "."))
        {
            let name = NodeName::from_text(name)
                .map_err(|error| NameError::new(text.escape_debug().to_string(), error.reason()))?;
            names.push(name.units().to_vec());
        }
        if names.len() > MAX_DEPTH {
            return Err(NameError::new(text, NameProblem::TooLong));
        }
        Ok(Self(names))
    }

    /// The names, from the top.
    pub fn names(&self) -> &[Vec<u16>] {
        &self.0
    }

    /// Whether it is the top of the volume.
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// The path with one more name.
    #[must_use]
    pub fn child(&self, name: &NodeName) -> Self {
        let mut names = self.0.clone();
        names.push(name.units().to_vec());
        Self(names)
    }

    /// The directory that the last name stands in, and the name; `None` for the top.
    pub fn split_last(&self) -> Option<(Self, &[u16])> {
        let (last, rest) = self.0.split_last()?;
        Some((Self(rest.to_vec()), last))
    }

    /// The path as far as its first names.
    pub(crate) fn first(&self, count: usize) -> Self {
        Self(self.0.iter().take(count).cloned().collect())
    }

    /// Refuses a name that Windows cannot use, where an entry of it is to be made.
    pub(crate) fn check_new(
        &self,
        depth: usize,
        upcase: &dyn Fn(u16) -> u16,
    ) -> Result<(), ChangeError> {
        let Some(name) = self.0.get(depth) else {
            return Ok(());
        };
        let rules = NameRules {
            policy: NamePolicy::Strict,
            upcase,
            case: CasePolicy::Rename,
        };
        let name = NodeName::new(name.clone())?;
        let path = || self.first(depth + 1).to_string();
        SiblingNames::new().admit(&name, &rules, &path, &mut Vec::new())?;
        Ok(())
    }
}

impl fmt::Display for PathNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        for name in &self.0 {
            write!(f, "/{}", String::from_utf16_lossy(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_with_either_separator_and_never_climbs() {
        let path = PathNames::new(r"a\b//./c/").unwrap();
        assert_eq!(path.to_string(), "/a/b/c");
        assert_eq!(path, PathNames::new("/a/b/c").unwrap());
        assert_eq!(PathNames::new("/").unwrap().to_string(), "/");
        assert!(PathNames::new("/a/../b").is_err());
        assert!(PathNames::new("/a\0b").is_err());
        assert!(PathNames::new(&"x".repeat(256)).is_err());
    }
}
