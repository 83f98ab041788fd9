//! Paths as the two systems spell them, judged without touching either: plans for Windows are made on
//! Linux too.

use std::fmt;

use crate::guest::GuestSystem;

/// The longest path that is taken, in characters: what Windows allows at all.
const MAX_LENGTH: usize = 32_000;

/// Why a path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

fn refused(path: &str, reason: &'static str) -> PathError {
    PathError {
        path: path.to_owned(),
        reason,
    }
}

/// An absolute path of the host, in the spelling of Windows or of Unix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPath {
    text: String,
    is_windows: bool,
}

impl HostPath {
    /// Reads a path: `C:\x`, `\\server\share\x` and `\\?\...`, or `/x`.
    ///
    /// # Errors
    /// Paths that are not absolute, lead upward, or hold a NUL.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.contains('\0') || text.chars().count() > MAX_LENGTH {
            return Err(refused(text, "holds a NUL or is too long"));
        }
        let is_windows = drive_of(text).is_some() || text.starts_with(r"\\");
        if !is_windows && !text.starts_with('/') {
            return Err(refused(text, "is not an absolute path of the host"));
        }
        let separators: &[char] = if is_windows { &['\\', '/'] } else { &['/'] };
        if text.split(separators).any(|name| name == "..") {
            return Err(refused(text, "leads upward by `..`"));
        }
        if is_windows && drive_of(text).is_some() && !text[2..].starts_with(separators) {
            return Err(refused(text, "is relative to the folder of a drive"));
        }
        Ok(Self {
            text: text.to_owned(),
            is_windows,
        })
    }

    /// The path as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is spelled as on Windows.
    pub fn is_windows(&self) -> bool {
        self.is_windows
    }

    /// The folder it is in and its name there; `None` for a root.
    pub fn split(&self) -> Option<(&str, &str)> {
        let separators: &[char] = if self.is_windows {
            &['\\', '/']
        } else {
            &['/']
        };
        let text = self.text.trim_end_matches(separators);
        let at = text.rfind(separators)?;
        let (folder, name) = (&text[..at], &text[at + 1..]);
        match (name.is_empty(), folder) {
            (true, _) => None,
            (false, "") => Some(("/", name)),
            (false, folder) if drive_of(folder).is_some() && folder.len() == 2 => {
                Some((&text[..=at], name))
            }
            (false, folder) => Some((folder, name)),
        }
    }

    /// Whether it is below another directory.
    pub(crate) fn lies_in(&self, other: &Self) -> bool {
        let separator = if self.is_windows { '\\' } else { '/' };
        let (own, other) = (self.key(), other.key());
        let below = own.strip_prefix(&other);
        below.is_some_and(|below| below.starts_with(separator))
    }

    /// The directory so many levels above it, or its root.
    pub(crate) fn above(&self, levels: u32) -> Self {
        let mut path = self.clone();
        for _ in 0..levels {
            match path.split().map(|(folder, _)| Self::parse(folder)) {
                Some(Ok(folder)) => path = folder,
                _ => break,
            }
        }
        path
    }

    /// What two spellings of the same path have in common: Windows tells neither case nor the two
    /// separators apart.
    pub fn key(&self) -> String {
        if self.is_windows {
            let text = self.text.trim_end_matches(['\\', '/']);
            text.replace('/', "\\").to_lowercase()
        } else {
            self.text.trim_end_matches('/').to_owned()
        }
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where a mount appears in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    kind: TargetKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum TargetKind {
    /// Names below the root, at least one.
    Linux(Vec<String>),
    /// A letter from D on, in capitals.
    Drive(char),
    /// Names below `C:\`, at least one.
    WindowsFolder(Vec<String>),
}

impl Target {
    /// Reads a target as the guest will know it: `/path` for Linux; `D:`, `C:\path` or `/path` (which
    /// is below `C:`) for Windows.
    ///
    /// # Errors
    /// What the guest could not mount at: the root, `C:` itself, folders of other drives (the
    /// container would not start), names that Windows reserves, `..`.
    pub fn parse(text: &str, guest: GuestSystem) -> Result<Self, PathError> {
        if text.contains('\0') || text.chars().count() > MAX_LENGTH {
            return Err(refused(text, "holds a NUL or is too long"));
        }
        let kind = match guest {
            GuestSystem::Linux => {
                if drive_of(text).is_some() {
                    return Err(refused(
                        text,
                        "is a path of Windows, and the guest is Linux",
                    ));
                }
                let rest = text
                    .strip_prefix('/')
                    .ok_or_else(|| refused(text, "is not an absolute path of the guest"))?;
                TargetKind::Linux(names(text, rest, &['/'], |_| None)?)
            }
            GuestSystem::Windows => windows_target(text)?,
        };
        Ok(Self { kind })
    }

    /// How many names it lies below its root: what a target is mounted in comes before it.
    pub fn depth(&self) -> usize {
        match &self.kind {
            TargetKind::Linux(names) | TargetKind::WindowsFolder(names) => names.len(),
            TargetKind::Drive(_) => 0,
        }
    }

    /// Whether it lies below another target, and is hidden when that is mounted later.
    pub fn lies_in(&self, other: &Self) -> bool {
        let starts = |own: &[String], other: &[String], is_same: fn(&str, &str) -> bool| {
            own.len() > other.len()
                && own
                    .iter()
                    .zip(other)
                    .all(|(own, other)| is_same(own, other))
        };
        match (&self.kind, &other.kind) {
            (TargetKind::Linux(own), TargetKind::Linux(other)) => {
                starts(own, other, |own, other| own == other)
            }
            (TargetKind::WindowsFolder(own), TargetKind::WindowsFolder(other)) => {
                starts(own, other, |own, other| {
                    own.to_lowercase() == other.to_lowercase()
                })
            }
            _ => false,
        }
    }

    /// Whether both are the same place; Windows does not tell case apart.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let lower = |names: &[String]| -> Vec<String> {
            names.iter().map(|name| name.to_lowercase()).collect()
        };
        match (&self.kind, &other.kind) {
            (TargetKind::WindowsFolder(own), TargetKind::WindowsFolder(other)) => {
                lower(own) == lower(other)
            }
            (own, other) => own == other,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TargetKind::Linux(names) => write!(f, "/{}", names.join("/")),
            TargetKind::Drive(letter) => write!(f, "{letter}:"),
            TargetKind::WindowsFolder(names) => write!(f, "C:\\{}", names.join("\\")),
        }
    }
}

fn windows_target(text: &str) -> Result<TargetKind, PathError> {
    const SEPARATORS: [char; 2] = ['\\', '/'];
    if text.starts_with(r"\\") {
        return Err(refused(
            text,
            "is a network or device path, not a place in the guest",
        ));
    }
    let (drive, rest) = match drive_of(text) {
        Some(drive) => (drive, &text[2..]),
        None if text.starts_with(SEPARATORS) => ('C', text),
        None => return Err(refused(text, "is not an absolute path of the guest")),
    };
    if rest.trim_matches(SEPARATORS).is_empty() {
        return match drive {
            'A' | 'B' => Err(refused(text, "is a letter for floppy disks")),
            'C' => Err(refused(text, "is the system's own drive")),
            letter => Ok(TargetKind::Drive(letter)),
        };
    }
    if drive != 'C' {
        let reason = "lies on another drive than C:, where containers cannot start with it";
        return Err(refused(text, reason));
    }
    let rest = rest
        .strip_prefix(SEPARATORS)
        .ok_or_else(|| refused(text, "is relative to the folder of a drive"))?;
    Ok(TargetKind::WindowsFolder(names(
        text,
        rest,
        &SEPARATORS,
        windows_reason,
    )?))
}

/// The names of a path, doubled and closing separators left out.
fn names(
    path: &str,
    rest: &str,
    separators: &[char],
    reason: impl Fn(&str) -> Option<&'static str>,
) -> Result<Vec<String>, PathError> {
    let mut names = Vec::new();
    for name in rest
        .split(separators)
        .filter(|name| !matches!(*name, "" | "."))
    {
        if name == ".." {
            return Err(refused(path, "leads upward by `..`"));
        }
        if let Some(reason) = reason(name) {
            return Err(refused(path, reason));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(refused(path, "is the root of the guest"));
    }
    Ok(names)
}

/// Why Windows cannot have a folder of this name.
fn windows_reason(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 8] = [
        "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM", "LPT",
    ];
    if name.ends_with(['.', ' ']) {
        return Some("has a name that ends with a dot or a blank");
    }
    if name.contains(['<', '>', ':', '"', '|', '?', '*']) || name.chars().any(char::is_control) {
        return Some("has a character that names of Windows cannot have");
    }
    let stem = name
        .split('.')
        .next()
        .unwrap_or(name)
        .trim_end()
        .to_uppercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| {
            matches!(
                rest,
                "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            )
        })
    };
    let is_device =
        DEVICES[..6].contains(&stem.as_str()) || DEVICES[6..].iter().any(|d| numbered(d));
    is_device.then_some("has a name that Windows keeps for devices")
}

/// The drive letter in front of a path of Windows, in capitals.
fn drive_of(text: &str) -> Option<char> {
    let mut characters = text.chars();
    let letter = characters.next().filter(char::is_ascii_alphabetic)?;
    (characters.next() == Some(':')).then(|| letter.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_as_the_guest_spells_them() {
        use GuestSystem::{Linux, Windows};
        for (text, guest, expected) in [
            ("/data", Linux, Some("/data")),
            ("//a/./b/", Linux, Some("/a/b")),
            ("/", Linux, None),
            ("data", Linux, None),
            ("/a/../b", Linux, None),
            ("C:\\data", Linux, None),
            ("d:", Windows, Some("D:")),
            ("E:\\", Windows, Some("E:")),
            ("C:", Windows, None),
            ("A:", Windows, None),
            ("D:\\sub", Windows, None),
            ("C:data", Windows, None),
            ("c:\\Data\\x", Windows, Some("C:\\Data\\x")),
            ("C:/data", Windows, Some("C:\\data")),
            ("/data/x", Windows, Some("C:\\data\\x")),
            ("C:\\data\\..\\x", Windows, None),
            ("C:\\nul.txt", Windows, None),
            ("C:\\COM¹", Windows, None),
            ("C:\\com10", Windows, Some("C:\\com10")),
            ("C:\\a.", Windows, None),
            ("C:\\a:b", Windows, None),
            ("\\\\server\\share", Windows, None),
            ("\\\\?\\C:\\x", Windows, None),
            ("", Windows, None),
        ] {
            let told = Target::parse(text, guest)
                .ok()
                .map(|target| target.to_string());
            assert_eq!(told.as_deref(), expected, "{text} for {guest}");
        }
    }

    #[test]
    fn host_paths_are_split_into_folder_and_name() {
        for (text, expected) in [
            ("/a/b", Some(("/a", "b"))),
            ("/a", Some(("/", "a"))),
            ("/", None),
            ("C:\\a\\b", Some(("C:\\a", "b"))),
            ("C:\\a", Some(("C:\\", "a"))),
            ("\\\\server\\share\\x", Some(("\\\\server\\share", "x"))),
        ] {
            assert_eq!(HostPath::parse(text).unwrap().split(), expected, "{text}");
        }
        for text in ["a", "C:a", "/a/../b", "C:\\a\\..\\b", "", "/a\0b"] {
            assert!(HostPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn spellings_of_one_path_have_one_key() {
        let key = |text| HostPath::parse(text).unwrap().key();
        assert_eq!(key("C:\\Data\\"), key("c:/data"));
        assert_ne!(key("/Data"), key("/data"));
    }
}
