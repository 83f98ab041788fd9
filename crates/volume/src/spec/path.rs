//! `NAME:/path`: how a place inside a volume is written.

use std::fmt;

use crate::name::{NameError, VolumeName};

/// The longest path inside a volume, in bytes.
const MAX_PATH_LENGTH: usize = 32 * 1024;

/// A place inside a volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VolumePath {
    volume: VolumeName,
    components: Vec<String>,
}

/// A refused place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// There is no colon.
    #[error("\"{0}\" is not NAME:/path")]
    NoColon(String),
    /// What stands before the colon is no volume name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A component is `..`, or holds a NUL.
    #[error("\"{0}\" is not possible in a path inside a volume")]
    Component(String),
    /// It is too long.
    #[error("a path inside a volume has at most {MAX_PATH_LENGTH} bytes")]
    TooLong,
}

impl VolumePath {
    /// Reads `NAME:/path`. Components are separated by `/`; empty ones and `.` are dropped, `..` is
    /// refused. The path may be empty: the root.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_PATH_LENGTH {
            return Err(PathError::TooLong);
        }
        let Some((name, path)) = text.split_once(':') else {
            return Err(PathError::NoColon(text.escape_debug().to_string()));
        };
        let volume = VolumeName::parse(name)?;
        let mut components = Vec::new();
        for component in path.split('/') {
            match component {
                "" | "." => {}
                ".." => return Err(PathError::Component(component.to_owned())),
                _ if component.contains('\0') => {
                    return Err(PathError::Component(component.escape_debug().to_string()));
                }
                _ => components.push(component.to_owned()),
            }
        }
        Ok(Self { volume, components })
    }

    /// The volume.
    pub fn volume(&self) -> &VolumeName {
        &self.volume
    }

    /// The names from the root down; none for the root itself.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// The path inside the volume, `/` for the root.
    pub fn inner(&self) -> String {
        format!("/{}", self.components.join("/"))
    }
}

impl fmt::Display for VolumePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.volume, self.inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_volume_is_split_and_cleaned() {
        let cases = [
            ("data:/doc/x", "/doc/x"),
            ("data:", "/"),
            ("data:/", "/"),
            ("data:doc//./x/", "/doc/x"),
            ("data:/a:b", "/a:b"),
            ("data:/...", "/..."),
        ];
        for (text, inner) in cases {
            let path = VolumePath::parse(text).unwrap();
            assert_eq!(path.volume().as_str(), "data");
            assert_eq!(path.inner(), inner, "{text}");
            assert_eq!(VolumePath::parse(&path.to_string()), Ok(path));
        }
    }

    #[test]
    fn a_place_that_climbs_or_is_none_is_refused() {
        for text in [
            "data",
            "",
            ":/x",
            "/etc/passwd",
            "C:/Windows",
            "data:/../x",
            "data:/a/..",
            "data:/a\0b",
            "../data:/x",
            "con:/x",
        ] {
            assert!(VolumePath::parse(text).is_err(), "{text:?}");
        }
    }
}
