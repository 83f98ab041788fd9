//! Machines of Hyper-V let into files by the list of the file itself, where the Host Compute Service does
//! not do it.

use std::path::Path;

use attach::vm_access::{ALL_MACHINES, granted, machine_identifier, revoked};
use volume::{file_rules, set_file_rules};

use crate::Engine;
use crate::error::{Error, Result};

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
        change(file, |rules| granted(rules, &identifier, write))
    }

    /// Takes that back. Whether there was anything to take.
    ///
    /// # Errors
    /// As for [`Engine::grant_machine`].
    pub fn revoke_machine(&self, who: &MachineAccess, file: &Path) -> Result<bool> {
        let identifier = who.identifier()?;
        change(file, |rules| revoked(rules, &identifier))
    }
}

fn change(file: &Path, change: impl FnOnce(&str) -> Option<String>) -> Result<bool> {
    let rules = file_rules(file).map_err(Error::host("read the access list of", file))?;
    match change(&rules) {
        None => Ok(false),
        Some(changed) => {
            set_file_rules(file, &changed)
                .map_err(Error::host("change the access list of", file))?;
            Ok(true)
        }
    }
}
