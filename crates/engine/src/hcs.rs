//! The systems of the Host Compute Service, looked at, and as machines that mounts are attached to.

use std::sync::Arc;
use std::time::Duration;

use attach::hcs::{
    ComputeCore, HcsMachine, HcsSystem, StorageStatistics, SystemState, SystemSummary,
    connect_to_guest, list_systems, newest_schema,
};
use attach::{Channel, Fault, FaultKind, GuestClient, Hypervisor, SchemaVersion, UnattendedGuest};

use crate::agent_channel::{self, AgentChannel};
use crate::error::{Error, Result};
use crate::machine::{GuestChannel, KnownMachine, MachineFailure};
use crate::vm_access::ListsOfHost;
use crate::wiring::{Engine, Sides};

/// How long the service is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a guest may take to be connected to.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

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

/// The agent at the other end of a channel. Where that ends, the service is asked whether the machine
/// lives.
fn client(channel: impl Channel + 'static, core: &Arc<dyn ComputeCore>, id: &str) -> GuestClient {
    let (core, id) = (Arc::clone(core), id.to_owned());
    GuestClient::new(channel).with_liveness(move || {
        let state = HcsSystem::open(&core, &id).and_then(|system| system.state(PATIENCE));
        match state {
            Ok(state) => state != SystemState::Stopped,
            Err(fault) => fault.kind() != FaultKind::Gone,
        }
    })
}

fn said(source: Fault) -> MachineFailure {
    MachineFailure::Service { source }
}

impl Engine {
    /// The newest version of documents that both the service and this program know.
    ///
    /// # Errors
    /// `Unsupported` where there is no such service, or none of its versions is known here; `Io`.
    pub fn hcs_schema(&self) -> Result<SchemaVersion> {
        let core = self.compute_core()?;
        Ok(newest_schema(&*core).map_err(said)?)
    }

    /// The two other sides of a machine of the service. Nothing is asked of either yet: the machine may
    /// be no more.
    pub(crate) fn hcs_sides(
        &self,
        known: &KnownMachine,
        id: &str,
        channel: GuestChannel,
        patience: Duration,
    ) -> Result<Sides> {
        let Hypervisor::Hcs(schema) = known.platform.hypervisor else {
            return Err(Error::Unsupported {
                feature: "a machine of the Host Compute Service that is one of QEMU".to_owned(),
            });
        };
        let core = self.compute_core()?;
        let machine = HcsMachine::new(Arc::clone(&core), id, schema)
            .with_patience(patience)
            .with_access_lists(Arc::new(ListsOfHost));
        let machine = Arc::new(machine);
        let agent = match channel {
            GuestChannel::None => None,
            GuestChannel::Tcp(address) => Some(client(agent_channel::tcp(address), &core, id)),
            GuestChannel::HvSocket => {
                let (asked, named) = (Arc::clone(&core), id.to_owned());
                let connect = move || connect_to_guest(&asked, &named, CONNECT_LIMIT);
                Some(client(AgentChannel::new(connect), &core, id))
            }
        };
        let agent = agent.map(Arc::new);
        let guest: Arc<dyn attach::Guest> = match &agent {
            Some(agent) => Arc::<GuestClient>::clone(agent),
            None => Arc::new(UnattendedGuest),
        };
        Ok(Sides {
            machine,
            guest,
            greeted: agent,
        })
    }

    /// The systems of this host, by their identifiers.
    ///
    /// # Errors
    /// `Unsupported` where there is no such service, `Denied`, `Io`.
    pub fn hcs_systems(&self) -> Result<Vec<SystemSummary>> {
        let core = self.compute_core()?;
        let mut systems = list_systems(&core, PATIENCE).map_err(said)?;
        systems.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(systems)
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound`; as for [`Engine::hcs_systems`].
    pub fn hcs_system(&self, id: &str) -> Result<HcsSystemDetails> {
        let core = self.compute_core()?;
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
