//! The name of a volume: parsed once at the edge, harmless everywhere afterwards.
//!
//! Invariant: a [`VolumeName`] is one plain ASCII component on every operating system: joined to a
//! folder it stays that folder's direct child, it opens no device, stream or share on Windows, and
//! two names that differ in case only have the same [`VolumeName::key`]. The rules are the same on
//! all systems, so that a store moves between them. (No path is ever made from a name all the same:
//! the folders of a store are named by id.)

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
pub const MAX_NAME_LENGTH: usize = 63;

/// How much of a refused name an error repeats, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// A checked name, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

/// What a name was refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameProblem {
    /// It has no character.
    Empty,
    /// It is longer than [`MAX_NAME_LENGTH`] bytes.
    TooLong,
    /// It holds `/` or `\`.
    Separator,
    /// It holds `:`, which opens a stream or names a drive on Windows.
    Colon,
    /// It holds a NUL or another control character.
    Control,
    /// It is a device of Windows, such as `con`, `aux.txt` or `COM1`.
    Reserved,
    /// It looks like a short (8.3) name, such as `PROGRA~1`.
    ShortName,
    /// It is one letter, which stands for a drive on Windows.
    DriveLetter,
    /// It starts with something other than a letter or digit.
    FirstCharacter,
    /// It ends with a dot or space, which Windows drops.
    LastCharacter,
    /// It holds a character that is none of `a-z`, `A-Z`, `0-9`, `_`, `.`, `-`.
    Character(char),
}

/// A refused name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name \"{name}\" {problem}")]
pub struct NameError {
    name: String,
    problem: NameProblem,
}

impl NameError {
    /// What the name was refused for.
    pub fn problem(&self) -> NameProblem {
        self.problem
    }
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty"),
            Self::TooLong => write!(f, "is longer than {MAX_NAME_LENGTH} bytes"),
            Self::Separator => write!(f, "holds a path separator"),
            Self::Colon => write!(
                f,
                "holds a colon, which names a drive or a stream on Windows"
            ),
            Self::Control => write!(f, "holds a control character"),
            Self::Reserved => write!(f, "is a device name on Windows"),
            Self::ShortName => write!(f, "holds '~', which marks short names on Windows"),
            Self::DriveLetter => write!(f, "is a single letter, which is a drive on Windows"),
            Self::FirstCharacter => write!(f, "does not start with a letter or a digit"),
            Self::LastCharacter => write!(f, "ends with a dot or a space, which Windows drops"),
            Self::Character(found) => write!(
                f,
                "holds {found:?}; letters, digits, '_', '.' and '-' are allowed"
            ),
        }
    }
}

impl VolumeName {
    /// Checks a name.
    ///
    /// # Errors
    /// The first rule that the name breaks.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        match find_problem(name) {
            None => Ok(Self(name.to_owned())),
            Some(problem) => Err(NameError {
                name: quote(name),
                problem,
            }),
        }
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which names are unique: two names that differ in case only share it.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VolumeName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }
}

impl AsRef<str> for VolumeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What a fuzz target feeds: any bytes; an accepted name keeps the invariant of the type.
///
/// # Panics
/// Where an accepted name breaks the invariant; that is the finding.
pub fn fuzz_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(name) = VolumeName::parse(text) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        assert!(text.chars().all(plain) && !text.is_empty() && text.len() <= MAX_NAME_LENGTH);
        assert!(!text.starts_with('.') && !text.ends_with('.'));
        assert!(!is_reserved(text) && !is_reserved(&name.key()));
        assert_eq!(VolumeName::parse(name.as_str()).as_ref(), Ok(&name));
        assert!(VolumeName::parse(&name.key()).is_ok());
    }
}

fn find_problem(name: &str) -> Option<NameProblem> {
    if name.is_empty() {
        return Some(NameProblem::Empty);
    }
    if name.len() > MAX_NAME_LENGTH {
        return Some(NameProblem::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Some(NameProblem::Control);
    }
    if name.contains(['/', '\\']) {
        return Some(NameProblem::Separator);
    }
    if name.contains(':') {
        return Some(NameProblem::Colon);
    }
    if is_reserved(name) {
        return Some(NameProblem::Reserved);
    }
    if name.contains('~') {
        return Some(NameProblem::ShortName);
    }
    if name.ends_with(['.', ' ']) {
        return Some(NameProblem::LastCharacter);
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if let Some(found) = name.chars().find(|c| !allowed(c)) {
        return Some(NameProblem::Character(found));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Some(NameProblem::FirstCharacter);
    }
    if name.len() == 1 && name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Some(NameProblem::DriveLetter);
    }
    None
}

/// Whether Windows opens a device under this name: the part before the first dot counts, without
/// spaces at its end, in any case, superscript digits included.
pub(crate) fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) {
        return true;
    }
    let number = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    let mut digits = number.unwrap_or_default().chars();
    match (digits.next(), digits.next()) {
        (Some(digit), None) => digit.is_ascii_digit() || matches!(digit, '¹' | '²' | '³'),
        _ => false,
    }
}

/// The name for an error message: cut short, with nothing that a terminal would act on.
fn quote(name: &str) -> String {
    let mut quoted: String = name
        .chars()
        .take(MAX_QUOTED_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push_str("...");
    }
    quoted
}
