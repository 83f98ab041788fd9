//! Access control of a volume that is made: the tree as its descriptors are put on it.

use mkfs::security::AccessTree;
use mkfs::{MkfsError, TreeEntry, TreeError, TreeSource};

use super::CreateRequest;
use super::source::Source;
use crate::error::{Result, VolumeError};
use crate::spec::DiskSpec;
use crate::spec::kind::FileSystemKind;

/// A tree of the root alone, for a volume that stays empty and has access control all the same.
struct RootAlone;

impl TreeSource for RootAlone {
    fn next_entry(&mut self) -> std::result::Result<Option<TreeEntry>, TreeError> {
        Ok(None)
    }
}

/// Refuses rules where there is nothing that could keep them.
pub(crate) fn check(request: &CreateRequest, spec: &DiskSpec) -> Result<()> {
    if !request.access_rules.is_empty() && spec.file_system() != FileSystemKind::Ntfs {
        return Err(VolumeError::Request(
            "rules of access need NTFS: no other file system keeps access control",
        ));
    }
    Ok(())
}

/// Does `work` with the tree of the source; with its descriptors, where the request says any.
/// `None` where there is nothing to put into the volume.
pub(super) fn with_tree<T>(
    request: &CreateRequest,
    source: Option<&mut Source>,
    work: impl FnOnce(Option<&mut dyn TreeSource>) -> Result<T>,
) -> Result<T> {
    let tree = source.map(Source::tree);
    let acl = request.spec.disk().and_then(DiskSpec::acl);
    if acl.is_none() && request.access_rules.is_empty() {
        return work(tree);
    }
    let mut root_alone = RootAlone;
    let tree = tree.unwrap_or(&mut root_alone);
    let secured = AccessTree::new(tree, acl, &request.access_rules);
    let mut secured = secured.map_err(|error| VolumeError::Mkfs {
        name: request.name.as_str().to_owned(),
        source: MkfsError::InvalidOption {
            option: "acl",
            reason: error.to_string(),
        },
    })?;
    work(Some(&mut secured))
}
