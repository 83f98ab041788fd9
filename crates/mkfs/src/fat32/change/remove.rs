//! Files and directories going, and going elsewhere.

use super::directory::Entry;
use super::{Fat32Change, Found};
use crate::change::{ChangeError, MAX_DEPTH, PathNames, Removed};
use crate::fat32::format::SLOT_BYTES;
use crate::fat32::upcase::upcase;
use crate::tree::NodeName;

impl Fat32Change<'_> {
    pub(crate) fn remove(
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
        if found.entry.is_directory() {
            let first = self.cluster_of(&found.entry);
            if !recursive && !self.directory(first)?.entries.is_empty() {
                return Err(ChangeError::NotEmpty {
                    path: path.to_string(),
                });
            }
            self.give_below(first, &mut removed)?;
            removed.directories += 1;
        } else {
            removed.files += 1;
        }
        self.remove_found(&found)?;
        Ok(removed)
    }

    pub(super) fn remove_found(&mut self, found: &Found) -> Result<(), ChangeError> {
        self.detach(found)?;
        self.give_content(&found.entry)
    }

    pub(super) fn give_content(&mut self, entry: &Entry) -> Result<(), ChangeError> {
        let first = entry.first_cluster();
        if first != 0 {
            self.directories.remove(&first);
            self.clusters.give(&mut self.disk, first)?;
        }
        Ok(())
    }

    /// Gives back the clusters of all that lies below a directory, which itself goes next.
    fn give_below(&mut self, first: u32, removed: &mut Removed) -> Result<(), ChangeError> {
        let mut levels = vec![(first, 0_usize)];
        while let Some((directory, depth)) = levels.pop() {
            if depth >= MAX_DEPTH {
                let reason = "it lies too deep";
                return Err(ChangeError::damaged(
                    "a directory",
                    u64::from(directory),
                    reason,
                ));
            }
            let entries: Vec<Entry> = self
                .directory(directory)?
                .entries
                .values()
                .cloned()
                .collect();
            // A directory that holds itself is found here: its chain is free by then.
            if depth > 0 {
                self.directories.remove(&directory);
                self.clusters.give(&mut self.disk, directory)?;
            }
            for entry in entries {
                if entry.is_directory() {
                    removed.directories += 1;
                    levels.push((self.cluster_of(&entry), depth + 1));
                } else {
                    removed.files += 1;
                    self.give_content(&entry)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        from: &PathNames,
        to: &PathNames,
        replace: bool,
    ) -> Result<(), ChangeError> {
        let exists = || ChangeError::Exists {
            path: to.to_string(),
        };
        let (above, name) = to.split_last().ok_or_else(exists)?;
        let Some(source) = self.resolve(from)? else {
            let reason = "the top of a volume cannot be moved";
            return Err(ChangeError::Refused {
                path: from.to_string(),
                reason,
            });
        };
        let parent = self.resolve_directory(&above)?;
        to.check_new(above.names().len(), &upcase)?;
        let is_directory = source.entry.is_directory();
        if is_directory {
            self.refuse_inside(self.cluster_of(&source.entry), &above, from)?;
        }
        if let Some(existing) = self.lookup(parent, name)?
            && (existing.parent, existing.slot()) != (source.parent, source.slot())
        {
            if existing.entry.is_directory() || is_directory || !replace {
                return Err(exists());
            }
            self.remove_found(&existing)?;
        }
        self.detach(&source)?;
        self.insert(parent, &NodeName::new(name.to_vec())?, &source.entry.short)?;
        if is_directory && parent != source.parent {
            self.point_up(self.cluster_of(&source.entry), parent)?;
        }
        Ok(())
    }

    /// Refuses to move a directory into itself.
    fn refuse_inside(
        &mut self,
        moved: u32,
        above: &PathNames,
        path: &PathNames,
    ) -> Result<(), ChangeError> {
        for depth in 1..=above.names().len() {
            if self.resolve_directory(&above.first(depth))? == moved {
                let reason = "a directory cannot be moved into itself";
                return Err(ChangeError::Refused {
                    path: path.to_string(),
                    reason,
                });
            }
        }
        Ok(())
    }

    /// Makes `..` of a directory lead to the one above.
    fn point_up(&mut self, directory: u32, above: u32) -> Result<(), ChangeError> {
        let above = if above == self.layout.root { 0 } else { above };
        let [low_0, low_1, high_0, high_1] = above.to_le_bytes();
        let loaded = self.directory(directory)?;
        let slot = loaded.bytes.get_mut(SLOT_BYTES..2 * SLOT_BYTES);
        let Some(slot) = slot.filter(|slot| slot.starts_with(b"..         ")) else {
            let reason = "its second entry is not that of the directory above";
            return Err(ChangeError::damaged(
                "a directory",
                u64::from(directory),
                reason,
            ));
        };
        slot[20..22].copy_from_slice(&[high_0, high_1]);
        slot[26..28].copy_from_slice(&[low_0, low_1]);
        self.write_slots(directory, 1..2)
    }
}
