//! The systems of the Host Compute Service, looked at and not touched.

use std::time::Duration;

use attach::hcs::{
    HcsSystem, StorageStatistics, SystemState, SystemSummary, list_systems, load_compute_core,
    newest_schema,
};
use attach::{Fault, FaultKind, SchemaVersion};

use crate::Engine;
use crate::error::Result;
use crate::machine::MachineFailure;

/// How long the service is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A system with what the service tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HcsSystemDetails {
    /// What it is opened by.
    pub id: String,
    /// How it stands.
    pub state: SystemState,
    /// The newest version of documents that both the service and this program know.
    pub schema: SchemaVersion,
    /// What it did with its storage; `None` where it does not tell, as one that does not run.
    pub storage: Option<StorageStatistics>,
}

fn said(source: Fault) -> MachineFailure {
    MachineFailure::Service { source }
}

impl Engine {
    /// The systems of this host, by their identifiers.
    ///
    /// # Errors
    /// `Unsupported` where there is no such service, `Denied`, `Io`.
    pub fn hcs_systems(&self) -> Result<Vec<SystemSummary>> {
        let core = load_compute_core().map_err(said)?;
        let mut systems = list_systems(&core, PATIENCE).map_err(said)?;
        systems.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(systems)
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound`; as for [`Engine::hcs_systems`].
    pub fn hcs_system(&self, id: &str) -> Result<HcsSystemDetails> {
        let core = load_compute_core().map_err(said)?;
        let system = HcsSystem::open(&core, id).map_err(said)?;
        let state = system.state(PATIENCE).map_err(said)?;
        let schema = newest_schema(&*core).map_err(said)?;
        let storage = match system.storage_statistics(PATIENCE) {
            Ok(storage) => Some(storage),
            Err(fault) if fault.kind() == FaultKind::Denied => return Err(said(fault).into()),
            Err(_) => None,
        };
        Ok(HcsSystemDetails {
            id: system.id().to_owned(),
            state,
            schema,
            storage,
        })
    }
}
