//! Files and directories going, and going elsewhere.

use std::collections::BTreeSet;

use super::index::{Index, IndexKind};
use super::names::{Found, ROOT};
use super::record::{Attribute, kind, record_of};
use super::volume::Volume;
use crate::change::{ChangeError, MAX_DEPTH, PathNames, Removed};

const EXTEND: u64 = 11;

impl Volume<'_> {
    /// The record of a file in `$Extend`.
    pub(super) fn system_file(&mut self, name: &str) -> Result<Option<u64>, ChangeError> {
        let name: Vec<u16> = name.encode_utf16().collect();
        Ok(self.lookup(EXTEND, &name)?.map(|found| found.record))
    }

    /// Removes a name; with its last one the file goes.
    pub(super) fn remove_name(&mut self, found: &Found) -> Result<(), ChangeError> {
        self.unlink(found)?;
        self.destroy_nameless(found.record)
    }

    fn destroy_nameless(&mut self, record: u64) -> Result<(), ChangeError> {
        if self.loaded(record)?.names().next().is_some() {
            return Ok(());
        }
        self.forget_in_views(record)?;
        self.destroy(record)
    }

    /// Takes a file out of the indexes of object identifiers and reparse points.
    fn forget_in_views(&mut self, record: u64) -> Result<(), ChangeError> {
        let file = self.loaded(record)?;
        let reference = file.reference();
        let id = file
            .find(kind::OBJECT_ID, &[])
            .and_then(Attribute::resident_value)
            .cloned();
        let point = file.find(kind::REPARSE_POINT, &[]).cloned();
        if let Some(id) = id.as_deref().and_then(|id| id.get(..16))
            && let Some(file) = self.system_file("$ObjId")?
        {
            self.index_remove(
                Index {
                    file,
                    kind: IndexKind::ObjectIds,
                },
                id,
            )?;
        }
        if let Some(point) = point
            && let Some(file) = self.system_file("$Reparse")?
        {
            let value = self.whole_value(&point, 0x1_0000)?;
            let key = [value.get(..4).unwrap_or_default(), &reference.to_le_bytes()].concat();
            self.index_remove(
                Index {
                    file,
                    kind: IndexKind::ReparsePoints,
                },
                &key,
            )?;
        }
        Ok(())
    }

    /// The files in a directory.
    fn children(&mut self, directory: u64) -> Result<BTreeSet<u64>, ChangeError> {
        let mut children = BTreeSet::new();
        let index = Index {
            file: directory,
            kind: IndexKind::Names,
        };
        self.index_entries(index, &mut |entry| {
            children.insert(record_of(entry.reference()));
            true
        })?;
        Ok(children)
    }

    fn is_empty_directory(&mut self, directory: u64) -> Result<bool, ChangeError> {
        let mut is_empty = true;
        let index = Index {
            file: directory,
            kind: IndexKind::Names,
        };
        self.index_entries(index, &mut |_| {
            is_empty = false;
            false
        })?;
        Ok(is_empty)
    }

    /// Removes what a path leads to.
    pub(super) fn remove(
        &mut self,
        path: &PathNames,
        recursive: bool,
    ) -> Result<Removed, ChangeError> {
        let Some(found) = self.resolve(path)? else {
            let reason = "the top of a volume cannot be removed";
            return Err(ChangeError::Refused {
                path: path.to_string(),
                reason,
            });
        };
        let mut removed = Removed::default();
        if self.loaded(found.record)?.is_directory() {
            if !recursive && !self.is_empty_directory(found.record)? {
                return Err(ChangeError::NotEmpty {
                    path: path.to_string(),
                });
            }
            self.empty_directory(found.record, &mut removed)?;
            removed.directories += 1;
        } else {
            removed.files += 1;
        }
        self.remove_name(&found)?;
        Ok(removed)
    }

    /// Removes all that lies below a directory; its own index is not kept up, for it goes as well.
    fn empty_directory(
        &mut self,
        directory: u64,
        removed: &mut Removed,
    ) -> Result<(), ChangeError> {
        let first = self.children(directory)?;
        let mut levels = vec![(directory, first.into_iter())];
        while let Some((parent, children)) = levels.last_mut() {
            let parent = *parent;
            let Some(child) = children.next() else {
                levels.pop();
                if let Some((above, _)) = levels.last() {
                    removed.directories += 1;
                    let above = *above;
                    self.drop_names(parent, above, None)?;
                    self.destroy_nameless(parent)?;
                }
                continue;
            };
            if self.loaded(child)?.is_directory() {
                if levels.len() >= MAX_DEPTH {
                    return Err(ChangeError::damaged(
                        "file record",
                        child,
                        "it lies too deep",
                    ));
                }
                let below = self.children(child)?;
                levels.push((child, below.into_iter()));
                continue;
            }
            removed.files += 1;
            self.drop_names(child, parent, None)?;
            self.destroy_nameless(child)?;
        }
        Ok(())
    }

    /// Gives a file or directory another name, in the same directory or another one.
    pub(super) fn rename(
        &mut self,
        from: &PathNames,
        parent: u64,
        name: &[u16],
        replace: bool,
    ) -> Result<(), ChangeError> {
        let Some(source) = self.resolve(from)? else {
            let reason = "the top of a volume cannot be moved";
            return Err(ChangeError::Refused {
                path: from.to_string(),
                reason,
            });
        };
        let is_directory = self.loaded(source.record)?.is_directory();
        self.refuse_inside(source.record, parent, from)?;
        if let Some(existing) = self.lookup(parent, name)?
            && existing.record != source.record
        {
            let target = || String::from_utf16_lossy(name);
            if self.loaded(existing.record)?.is_directory() || is_directory || !replace {
                return Err(ChangeError::Exists { path: target() });
            }
            if existing.record < 24 {
                let reason = "it is a system file";
                return Err(ChangeError::Refused {
                    path: target(),
                    reason,
                });
            }
            self.remove_name(&existing)?;
        }
        self.unlink(&source)?;
        // One more name of the same file may stand there already.
        if self
            .lookup(parent, name)?
            .is_none_or(|found| found.record != source.record)
        {
            self.link(source.record, parent, name)?;
        }
        Ok(())
    }

    /// Refuses to move a directory into itself.
    fn refuse_inside(
        &mut self,
        moved: u64,
        target: u64,
        path: &PathNames,
    ) -> Result<(), ChangeError> {
        let mut at = target;
        for _ in 0..MAX_DEPTH {
            if at == moved {
                let reason = "a directory cannot be moved into itself";
                return Err(ChangeError::Refused {
                    path: path.to_string(),
                    reason,
                });
            }
            if at == ROOT {
                return Ok(());
            }
            at = self.parent_of(at)?;
        }
        Err(ChangeError::damaged(
            "file record",
            target,
            "it lies too deep",
        ))
    }
}
