//! Disks at places: which files they may be, who may open them, and who has them open.

use crate::codes::{
    ACCESS_DENIED, ALREADY_EXISTS, FILE_NOT_FOUND, INVALID_PARAMETER, NOT_FOUND, NOT_SUPPORTED,
    PARENT_ACCESS_DENIED, Refusal, SHARING_VIOLATION, UNSUPPORTED_FILE, refusal,
};
use crate::files::FileModel;
use crate::hardware::BrokerRequest;
use crate::host::{DiskModel, MachineModel};

use super::{Change, flag, text};

/// Logical units of a controller.
const LUNS: u8 = 64;

impl Change<'_> {
    /// Adds, removes or exchanges a disk; what has to be done to the machine for it.
    pub(super) fn disk(
        &self,
        machine: &mut MachineModel,
        controller: &str,
        lun: &str,
    ) -> Result<Option<BrokerRequest>, Refusal> {
        let mut known = machine.controllers.iter();
        let index = known.position(|id| id.eq_ignore_ascii_case(controller));
        let index = index.and_then(|index| u8::try_from(index).ok());
        let index =
            index.ok_or_else(|| refusal(NOT_FOUND, format!("no controller {controller}")))?;
        // `01` is another text than `1`, and no logical unit.
        let number = lun.parse::<u8>().ok();
        let number = number.filter(|number| *number < LUNS && number.to_string() == lun);
        let number =
            number.ok_or_else(|| refusal(INVALID_PARAMETER, format!("no logical unit {lun}")))?;
        let place = format!("{controller}/{lun}").to_lowercase();
        let there = machine.disks.get(&place);
        match (self.verb, there) {
            ("Remove" | "Update", None) => {
                return Err(refusal(NOT_FOUND, format!("nothing at {place}")));
            }
            ("Add", Some(_)) => {
                return Err(refusal(ALREADY_EXISTS, format!("{place} is taken")));
            }
            ("Remove", Some(_)) => {
                machine.disks.remove(&place);
                return Ok(Some(BrokerRequest::RemoveDisk {
                    machine: self.id.to_owned(),
                    controller: index,
                    lun: number,
                }));
            }
            _ => {}
        }
        // What is exchanged lets go of its file first.
        machine.disks.remove(&place);
        let disk = self.opened(machine)?;
        let request = BrokerRequest::AddDisk {
            machine: self.id.to_owned(),
            controller: index,
            lun: number,
            path: disk.path.clone(),
            read_only: disk.read_only,
        };
        machine.disks.insert(place, disk);
        // Exchanging is for what has removable media, which machines of QEMU get none of.
        Ok((self.verb == "Add").then_some(request))
    }

    /// The disk that the settings describe, its files looked at.
    fn opened(&self, machine: &MachineModel) -> Result<DiskModel, Refusal> {
        let path = text(self.settings, "Path").to_owned();
        let read_only = flag(self.settings, "ReadOnly");
        let chain = match text(self.settings, "Type") {
            "VirtualDisk" => self.host.chain(&path)?,
            "Iso" => match self.host.file(&path)? {
                Some(file) => vec![(path.clone(), file)],
                None => return Err(refusal(FILE_NOT_FOUND, format!("{path} is not there"))),
            },
            "" => return Err(refusal(INVALID_PARAMETER, "an attachment without a type")),
            other => {
                let words = format!("the double has no model of {other}");
                return Err(refusal(NOT_SUPPORTED, words));
            }
        };
        for (depth, (path, file)) in chain.iter().enumerate() {
            self.check_file(path, file)?;
            let write = depth == 0 && !read_only;
            if !self.host.may_open(self.id, path, write) {
                let code = if depth == 0 {
                    ACCESS_DENIED
                } else {
                    PARENT_ACCESS_DENIED
                };
                return Err(refusal(code, format!("no access to {path}")));
            }
        }
        let mut names = chain.into_iter().map(|(path, _)| path).skip(1);
        let disk = DiskModel {
            path,
            read_only,
            parents: names.by_ref().collect(),
        };
        self.check_sharing(machine, &disk)?;
        Ok(disk)
    }

    fn check_file(&self, path: &str, file: &FileModel) -> Result<(), Refusal> {
        let refused = [
            ("sparse", file.sparse, "AlwaysAllowSparseFiles"),
            ("compressed", file.compressed, "SupportCompressedVolumes"),
            ("encrypted", file.encrypted, "SupportEncryptedFiles"),
        ];
        for (what, is, allowed_by) in refused {
            if is && !flag(self.settings, allowed_by) {
                let words = format!("{path} is {what}, without {allowed_by}");
                return Err(refusal(UNSUPPORTED_FILE, words));
            }
        }
        Ok(())
    }

    /// Who writes an image is alone with it, whichever machine has it; what an image stands on is
    /// written by nobody.
    fn check_sharing(&self, own: &MachineModel, disk: &DiskModel) -> Result<(), Refusal> {
        let others = self.host.machines.iter().filter(|(id, _)| *id != self.id);
        let others = others.map(|(_, machine)| machine).chain([own]);
        for other in others.flat_map(|machine| machine.disks.values()) {
            let is_one = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
            let both = is_one(&other.path, &disk.path) && !(other.read_only && disk.read_only);
            let below = |writer: &DiskModel, reader: &DiskModel| {
                let mut parents = reader.parents.iter();
                !writer.read_only && parents.any(|parent| is_one(parent, &writer.path))
            };
            if both || below(other, disk) || below(disk, other) {
                let words = format!("{} is in use by a disk on {}", disk.path, other.path);
                return Err(refusal(SHARING_VIOLATION, words));
            }
        }
        Ok(())
    }
}
