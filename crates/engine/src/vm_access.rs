//! Machines of Hyper-V let into files by the list of the file itself, where the Host Compute Service does
//! not do it.

use std::io;
use std::path::Path;

use attach::vm_access::{ALL_MACHINES, AccessLists, grant, machine_identifier, revoke};
use volume::{file_rules, set_file_rules};

use crate::Engine;
use crate::error::{Error, Result};

/// The lists of the files of this host.
pub(crate) struct ListsOfHost;

impl AccessLists for ListsOfHost {
    fn rules(&self, file: &Path) -> io::Result<String> {
        file_rules(file)
    }

    fn set_rules(&self, file: &Path, rules: &str) -> io::Result<()> {
        set_file_rules(file, rules)
    }
}

/// Which machines a file is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineAccess {
    /// The one with this GUID.
    One(String),
    /// All of this host.
    All,
}

impl MachineAccess {
    fn identifier(&self) -> Result<String> {
        match self {
            Self::All => Ok(ALL_MACHINES.to_owned()),
            Self::One(guid) => machine_identifier(guid).ok_or_else(|| Error::InvalidRequest {
                message: format!(
                    "{guid:?} is no GUID: what else a machine is called by, only the Host Compute \
                     Service turns into an identifier"
                ),
            }),
        }
    }
}

impl Engine {
    /// Lets machines open a file. Whether that changed anything.
    ///
    /// # Errors
    /// `InvalidArgument` (the GUID), `Unsupported` where this is not Windows, `NotFound`, `Io`.
    pub fn grant_machine(&self, who: &MachineAccess, file: &Path, write: bool) -> Result<bool> {
        let identifier = who.identifier()?;
        grant(&ListsOfHost, file, &identifier, write).map_err(failed(file))
    }

    /// Takes that back. Whether there was anything to take.
    ///
    /// # Errors
    /// As for [`Engine::grant_machine`].
    pub fn revoke_machine(&self, who: &MachineAccess, file: &Path) -> Result<bool> {
        let identifier = who.identifier()?;
        revoke(&ListsOfHost, file, &identifier).map_err(failed(file))
    }
}

fn failed(file: &Path) -> impl FnOnce(io::Error) -> Error {
    Error::host("change the access list of", file)
}
