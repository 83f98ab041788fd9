//! Shares of directories: Plan 9 for guests of Linux, SMB over the bus of the hypervisor for guests of
//! Windows.

use crate::codes::{
    ALREADY_EXISTS, FILE_NOT_FOUND, INVALID_PARAMETER, NOT_FOUND, NOT_SUPPORTED, Refusal, refusal,
};
use crate::files::Content;
use crate::host::{Guest, MachineModel, SmbModel};

use super::{Change, flag, has_items, text};

/// Bits of `Flags` that are known: read-only, metadata of Linux, case, identity, options, paths below,
/// one file, connections.
const PLAN9_FLAGS: i64 = 0x1 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100;
const RESTRICT_FILE_ACCESS: i64 = 0x80;

impl Change<'_> {
    pub(super) fn plan9(&self, machine: &mut MachineModel) -> Result<(), Refusal> {
        let settings = self.settings;
        if machine.guest != Guest::Linux {
            return Err(refusal(NOT_SUPPORTED, "Plan 9 is for guests of Linux"));
        }
        let name = match text(settings, "AccessName") {
            "" => text(settings, "Name"),
            name => name,
        };
        let port = settings["Port"].as_u64().unwrap_or_default();
        if name.is_empty() || port == 0 {
            let words = "a share without a name or a port";
            return Err(refusal(INVALID_PARAMETER, words));
        }
        let key = format!("{port}/{name}");
        let is_there = machine.plan9.contains_key(&key);
        match self.verb {
            "Remove" if is_there => {
                machine.plan9.remove(&key);
                return Ok(());
            }
            "Remove" | "Update" if !is_there => {
                return Err(refusal(NOT_FOUND, format!("no share {key}")));
            }
            "Add" if is_there => {
                return Err(refusal(ALREADY_EXISTS, format!("a share {key} is there")));
            }
            _ => {}
        }
        let flags = settings["Flags"].as_i64().unwrap_or_default();
        let is_restricted = flags & RESTRICT_FILE_ACCESS != 0;
        if flags & !PLAN9_FLAGS != 0 || is_restricted != has_items(settings, "AllowedFiles") {
            let words = format!("flags {flags:#x} make no sense");
            return Err(refusal(INVALID_PARAMETER, words));
        }
        let path = self.directory()?;
        self.allowed_files(&path)?;
        machine.plan9.insert(key, path);
        Ok(())
    }

    pub(super) fn smb(&self, machine: &mut MachineModel) -> Result<(), Refusal> {
        let settings = self.settings;
        if machine.guest != Guest::Windows {
            return Err(refusal(NOT_SUPPORTED, "VSMB is for guests of Windows"));
        }
        let name = text(settings, "Name").to_lowercase();
        if name.is_empty() {
            return Err(refusal(INVALID_PARAMETER, "a share without a name"));
        }
        if self.verb == "Remove" {
            let removed = machine.smb.remove(&name);
            let missing = || refusal(NOT_FOUND, format!("no share {name}"));
            return removed.map(drop).ok_or_else(missing);
        }
        let is_restricted = flag(&settings["Options"], "RestrictFileAccess");
        if is_restricted != has_items(settings, "AllowedFiles") {
            let words = "files that are allowed, and no restriction to them";
            return Err(refusal(INVALID_PARAMETER, words));
        }
        if self.verb == "Update" {
            return self.update_smb(machine, &name, is_restricted);
        }
        if machine.smb.contains_key(&name) {
            return Err(refusal(ALREADY_EXISTS, format!("a share {name} is there")));
        }
        let path = self.directory()?;
        let files = self.allowed_files(&path)?;
        let files = is_restricted.then_some(files);
        machine.smb.insert(name, SmbModel { path, files });
        Ok(())
    }

    /// The one thing that can be changed of a share is which files of it can be seen, where it was
    /// restricted to some from the start.
    fn update_smb(
        &self,
        machine: &mut MachineModel,
        name: &str,
        is_restricted: bool,
    ) -> Result<(), Refusal> {
        let there = machine.smb.get_mut(name);
        let there = there.ok_or_else(|| refusal(NOT_FOUND, format!("no share {name}")))?;
        let path = text(self.settings, "Path");
        let is_same = path.is_empty() || path.eq_ignore_ascii_case(&there.path);
        if !is_restricted || !is_same || there.files.is_none() {
            let words = "only the files of a restricted share are updated";
            return Err(refusal(INVALID_PARAMETER, words));
        }
        there.files = Some(self.allowed_files(&there.path)?);
        Ok(())
    }

    fn directory(&self) -> Result<String, Refusal> {
        let path = text(self.settings, "Path");
        match self.host.file(path)? {
            Some(file) if file.content == Content::Directory => Ok(path.to_owned()),
            Some(_) => Err(refusal(
                INVALID_PARAMETER,
                format!("{path} is no directory"),
            )),
            None => Err(refusal(FILE_NOT_FOUND, format!("{path} is not there"))),
        }
    }

    /// The files that can be seen, which are given with their whole paths.
    fn allowed_files(&self, directory: &str) -> Result<Vec<String>, Refusal> {
        let files = self.settings["AllowedFiles"].as_array();
        let files = files.into_iter().flatten().filter_map(|file| file.as_str());
        let below = format!("{}\\", directory.trim_end_matches('\\')).to_lowercase();
        let mut allowed = Vec::new();
        for file in files {
            if !file.to_lowercase().starts_with(&below) {
                let words = format!("{file} is not in {directory}");
                return Err(refusal(INVALID_PARAMETER, words));
            }
            allowed.push(file.to_owned());
        }
        Ok(allowed)
    }
}
