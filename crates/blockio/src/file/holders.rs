//! Who has a file open, as far as the system tells: for the message to whoever cannot have it.

use std::path::Path;

#[cfg(not(windows))]
#[path = "holders_absent.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows_holders.rs"]
mod platform;

/// Holders that a message names.
const SHOWN: usize = 3;

/// A process that has a file open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHolder {
    /// What it calls itself, or its program.
    pub name: String,
    /// Its number.
    pub process: u32,
}

/// Who has the file open; nobody where the system does not tell, as any but Windows.
pub fn holders(path: &Path) -> Vec<FileHolder> {
    platform::holders(path)
}

/// Who that is, in words: `held by vmwp.exe (process 4711)`; `None` for nobody.
pub fn held_by(holders: &[FileHolder]) -> Option<String> {
    let named: Vec<String> = holders
        .iter()
        .take(SHOWN)
        .map(|holder| format!("{} (process {})", holder.name, holder.process))
        .collect();
    if named.is_empty() {
        return None;
    }
    let more = match holders.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("held by {}{more}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str, process: u32) -> FileHolder {
        FileHolder {
            name: name.to_owned(),
            process,
        }
    }

    #[test]
    fn holders_are_named_and_the_many_are_counted() {
        let all = [
            holder("vmwp.exe", 4711),
            holder("MsMpEng.exe", 8),
            holder("a.exe", 1),
            holder("b.exe", 2),
            holder("c.exe", 3),
        ];
        assert_eq!(held_by(&[]), None);
        assert_eq!(
            held_by(&all[..1]).as_deref(),
            Some("held by vmwp.exe (process 4711)")
        );
        assert_eq!(
            held_by(&all).as_deref(),
            Some(
                "held by vmwp.exe (process 4711), MsMpEng.exe (process 8), a.exe (process 1) and 2 more"
            )
        );
    }

    #[test]
    fn a_file_that_is_free_or_not_there_has_no_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(holders(&path), []);
        std::fs::write(&path, "x").unwrap();
        assert_eq!(holders(&path), []);
    }
}
