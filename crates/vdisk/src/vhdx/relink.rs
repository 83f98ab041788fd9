//! Giving a differencing image another parent, or none: one entry of the log changes its metadata.

use std::sync::Arc;

use blockio::Storage;
use uuid::Uuid;

use super::locator::{ABSOLUTE_PATH, RELATIVE_PATH, VOLUME_PATH};
use super::metadata;
use super::open::open_kept;
use crate::chain::Chain;
use crate::child::ParentNames;
use crate::error::ImageError;
use crate::info::{ParentInfo, ParentPath};

/// What a child writes down of a parent.
pub(crate) fn parent_of(linkage: Uuid, names: &ParentNames) -> ParentInfo {
    let path = |kind, path: &Option<String>| {
        let path = path.clone()?;
        Some(ParentPath { kind, path })
    };
    ParentInfo {
        linkage: Some(linkage),
        linkage2: None,
        paths: [
            path(RELATIVE_PATH, &names.relative),
            path(VOLUME_PATH, &names.volume),
            path(ABSOLUTE_PATH, &names.absolute),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

/// Makes `parent` the parent of the image; with `None` it stands alone, which its blocks must have
/// been sealed for. The identity of its data stays.
///
/// # Errors
/// `InvalidOption` where the names do not fit, `Damaged`, `Io`.
pub(crate) fn relink(
    storage: Box<dyn Storage>,
    parent: Option<&ParentInfo>,
) -> Result<(), ImageError> {
    let image = open_kept(storage, Arc::new(Chain::new(Vec::new())))?;
    if image.metadata.parent.as_ref() == parent {
        return Ok(());
    }
    let pages = metadata::with_parent(&image.storage, image.regions.metadata, parent)?;
    image.begin_session()?;
    image.commit_pages(&pages)?;
    image.end_session()
}
