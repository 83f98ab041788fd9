//! What a host of the double has: machines, the files that there are, and who may open them. It is a
//! document too, so that several programs find the same host.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::files::FileModel;

/// How many entries a list of access holds: 64 KiB of 40 bytes each, an entry with the identifier of a
/// machine.
const ACCESS_LIMIT: usize = 1638;

/// A host with its machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostModel {
    /// The newest version of documents of the second family that it takes.
    pub newest_minor: u32,
    /// The files that there are, in any case; `None`: those of the system that it runs on.
    pub files: Option<BTreeMap<String, FileModel>>,
    /// Machines by their identifiers.
    pub machines: BTreeMap<String, MachineModel>,
    /// Who may open files, by their paths in lower case. A list outlives the machines that are on it.
    pub access: BTreeMap<String, AccessList>,
    /// How many entries a list of access holds.
    pub access_limit: usize,
}

impl Default for HostModel {
    fn default() -> Self {
        Self {
            newest_minor: 7,
            files: None,
            machines: BTreeMap::new(),
            access: BTreeMap::new(),
            access_limit: ACCESS_LIMIT,
        }
    }
}

/// Who may open a file, as far as machines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessList {
    /// Machines that may read and write it.
    pub machines: BTreeSet<String>,
    /// Whether all machines may read it.
    pub group: bool,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineModel {
    /// What runs in it.
    pub guest: Guest,
    /// How it stands.
    pub state: MachineState,
    /// Who made it.
    pub owner: String,
    /// The identifiers of its disk controllers.
    pub controllers: Vec<String>,
    /// Disks by controller and logical unit, as `GUID/3`.
    #[serde(default)]
    pub disks: BTreeMap<String, DiskModel>,
    /// Plan 9 shares by port and access name, with the directory.
    #[serde(default)]
    pub plan9: BTreeMap<String, String>,
    /// SMB shares by their names in lower case.
    #[serde(default)]
    pub smb: BTreeMap<String, SmbModel>,
    /// What the guest was asked, in order.
    #[serde(default)]
    pub guest_requests: Vec<String>,
    /// What the guest refuses to do, by its resource type (`MappedVirtualDisk`, `SCSIDevice`, ...).
    #[serde(default)]
    pub guest_refuses: BTreeSet<String>,
    /// Whether it is gone once it has stopped and nobody has it open, as one that was made by a call.
    #[serde(default)]
    pub is_made: bool,
    /// Whether it ends with the last handle of whoever made it.
    #[serde(default)]
    pub ends_with_handle: bool,
    /// How often it was asked for its figures, which move.
    #[serde(default)]
    pub looked_at: u64,
}

/// A disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskModel {
    /// The image.
    pub path: String,
    /// Whether it can only be read.
    pub read_only: bool,
    /// The images that it stands on, which nobody may write meanwhile.
    #[serde(default)]
    pub parents: Vec<String>,
}

/// A share for guests of Windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmbModel {
    /// The directory.
    pub path: String,
    /// The files that can be seen, where it is restricted to some.
    #[serde(default)]
    pub files: Option<Vec<String>>,
}

/// What runs in a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guest {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

/// How a machine stands, in the words of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineState {
    /// It was made and does not run yet.
    Created,
    /// It runs.
    Running,
    /// It is paused.
    Paused,
    /// It has ended.
    Stopped,
}

impl HostModel {
    /// Whether a machine may open a file.
    pub(crate) fn may_open(&self, id: &str, path: &str, write: bool) -> bool {
        let list = self.access.get(&path.to_lowercase());
        list.is_some_and(|list| list.machines.contains(id) || (list.group && !write))
    }

    /// The files that a machine was let open.
    pub fn files_open_to(&self, id: &str) -> Vec<&str> {
        let lists = self.access.iter();
        let open = lists.filter(|(_, list)| list.machines.contains(id));
        open.map(|(path, _)| path.as_str()).collect()
    }
}

impl MachineModel {
    /// A machine that runs, with the four controllers that hcsshim makes.
    pub fn running(guest: Guest) -> Self {
        let controllers = attach::hcs::schema::CONTROLLER_IDS;
        Self {
            guest,
            state: MachineState::Running,
            owner: "somebody".to_owned(),
            controllers: controllers.iter().map(|id| (*id).to_owned()).collect(),
            disks: BTreeMap::new(),
            plan9: BTreeMap::new(),
            smb: BTreeMap::new(),
            guest_requests: Vec::new(),
            guest_refuses: BTreeSet::new(),
            is_made: false,
            ends_with_handle: false,
            looked_at: 0,
        }
    }

    /// It ends, and has nothing any more. Access to files stands with these.
    pub fn stop(&mut self) {
        self.state = MachineState::Stopped;
        self.disks.clear();
        self.plan9.clear();
        self.smb.clear();
    }
}
