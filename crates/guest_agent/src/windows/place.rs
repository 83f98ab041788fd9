//! Targets of Windows: letters, and folders of `C:`.

use guest_proto::{ErrorKind, Refusal};

use crate::refused::refusal;

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `E:`.
    Letter(String),
    /// `C:\data\x`.
    Folder(String),
}

impl Place {
    /// Reads a target as the host spells it.
    pub(super) fn parse(target: &str) -> Result<Self, Refusal> {
        let invalid = |reason: &str| {
            let text = format!("{target:?} {reason}");
            Err(refusal(ErrorKind::Invalid, text))
        };
        let mut characters = target.chars();
        let letter = characters.next().filter(char::is_ascii_alphabetic);
        let (Some(letter), Some(':')) = (letter, characters.next()) else {
            return invalid("is neither a letter nor a folder of one");
        };
        let rest = characters.as_str();
        if rest.is_empty() || rest == "\\" {
            return Ok(Self::Letter(format!("{}:", letter.to_ascii_uppercase())));
        }
        let Some(names) = rest.strip_prefix('\\') else {
            return invalid("is relative to the folder of a drive");
        };
        let odd = |name: &str| {
            let is_dots = matches!(name, "" | "." | "..");
            let has_odd = name.contains(['/', ':', '*', '?', '"', '<', '>', '|']);
            is_dots || has_odd || name.ends_with([' ', '.']) || name.chars().any(char::is_control)
        };
        if names.split('\\').any(odd) {
            return invalid("has a name that no folder of Windows has");
        }
        Ok(Self::Folder(target.to_owned()))
    }

    /// As calls take it that want a root: with a backslash behind.
    pub(super) fn root(&self) -> String {
        match self {
            Self::Letter(text) | Self::Folder(text) => format!("{text}\\"),
        }
    }

    /// As it is.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Letter(text) | Self::Folder(text) => text,
        }
    }

    /// The folders on the way to a folder and itself, the outer first.
    pub(super) fn folders(&self) -> Vec<String> {
        let Self::Folder(text) = self else {
            return Vec::new();
        };
        let ends = text.match_indices('\\').map(|(at, _)| at).skip(1);
        let outer = ends.filter_map(|end| text.get(..end)).map(str::to_owned);
        outer.chain([text.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_letters_or_folders() {
        for (text, expected) in [
            ("e:", Some("E:\\")),
            ("E:\\", Some("E:\\")),
            ("C:\\data\\x", Some("C:\\data\\x\\")),
            ("C:data", None),
            ("C:\\a\\..\\b", None),
            ("C:\\a\\", None),
            ("C:\\a.", None),
            ("C:\\a:b", None),
            ("\\\\server\\share", None),
            ("/data", None),
            ("", None),
        ] {
            let root = Place::parse(text).ok().map(|place| place.root());
            assert_eq!(root.as_deref(), expected, "{text:?}");
        }
        let place = Place::parse("C:\\a\\b\\c").unwrap();
        assert_eq!(place.folders(), ["C:\\a", "C:\\a\\b", "C:\\a\\b\\c"]);
    }
}
