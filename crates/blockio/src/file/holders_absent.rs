//! Systems that are not asked who has a file open.

use std::path::Path;

use super::FileHolder;

pub(super) fn holders(_path: &Path) -> Vec<FileHolder> {
    Vec::new()
}
