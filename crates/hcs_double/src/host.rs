//! What a host of the double has: machines, and the files that there are. It is a document too, so that
//! several programs one after the other find the same host.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A host with its machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostModel {
    /// The newest version of documents of the second family that it takes.
    pub newest_minor: u32,
    /// The files that there are, in any case; `None`: those of the system that it runs on.
    pub files: Option<BTreeSet<String>>,
    /// Machines by their identifiers.
    pub machines: BTreeMap<String, MachineModel>,
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
    /// SMB shares by their names in lower case, with the directory.
    #[serde(default)]
    pub smb: BTreeMap<String, String>,
    /// Files that it may open, in lower case.
    #[serde(default)]
    pub access: BTreeSet<String>,
    /// What the guest was asked, in order.
    #[serde(default)]
    pub guest_requests: Vec<String>,
}

/// A disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskModel {
    /// The image.
    pub path: String,
    /// Whether it can only be read.
    pub read_only: bool,
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
    /// Whether there is a file or directory.
    pub fn has_file(&self, path: &str) -> bool {
        match &self.files {
            Some(files) => {
                let mut files = files.iter();
                files.any(|file| file.eq_ignore_ascii_case(path))
            }
            None => std::path::Path::new(path).exists(),
        }
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
            access: BTreeSet::new(),
            guest_requests: Vec::new(),
        }
    }

    /// It ends, and has nothing any more but access to files, which stands with these.
    pub fn stop(&mut self) {
        self.state = MachineState::Stopped;
        self.disks.clear();
        self.plan9.clear();
        self.smb.clear();
    }
}
