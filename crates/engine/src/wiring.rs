//! The whole program, assembled: what an [`Engine`] is made of, and when each part comes to life.
//!
//! The verbs on image files need no store, so the store is opened (and made, where there is none)
//! by the first operation that needs it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use attach::hcs::{ComputeCore, load_compute_core};
use attach::qemu::qmp::QmpAddress;
use attach::{FaultKind, GuestClient, QemuVm, QemuVmOptions};

use volume::{Notice, Store};

use crate::agent_channel::socket;
use crate::config::Config;
use crate::error::Result;
use crate::machine::{Machine, MachineEndpoints, MachineFailure};

/// How long a hypervisor may take for what it is asked to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hypervisor's and the guest's side of a machine.
pub(crate) struct Sides {
    pub(crate) machine: Arc<dyn attach::Machine>,
    pub(crate) guest: Arc<dyn attach::Guest>,
    /// The agent that has to answer before anything is attached, where one has to.
    pub(crate) greeted: Option<Arc<GuestClient>>,
}

/// cvol, ready for use by a front end.
pub struct Engine {
    config: Config,
    store: OnceCell<Store>,
    /// The Host Compute Service, where somebody gave another than that of the system.
    compute_core: Option<Arc<dyn ComputeCore>>,
}

impl Engine {
    /// An engine for this configuration; touches nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            store: OnceCell::new(),
            compute_core: None,
        }
    }

    /// The same with another Host Compute Service than that of the system, such as a double of it.
    #[must_use]
    pub fn with_compute_core(mut self, core: Arc<dyn ComputeCore>) -> Self {
        self.compute_core = Some(core);
        self
    }

    /// The Host Compute Service.
    ///
    /// # Errors
    /// `Unsupported` where there is none.
    pub(crate) fn compute_core(&self) -> Result<Arc<dyn ComputeCore>> {
        match &self.compute_core {
            Some(core) => Ok(Arc::clone(core)),
            None => load_compute_core().map_err(|source| MachineFailure::Service { source }.into()),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What opening the store did beyond opening it, for the user to know; nothing where no operation
    /// has needed the store.
    pub fn notices(&self) -> &[Notice] {
        self.store.get().map_or(&[], Store::notices)
    }

    /// The store, opened now if it was not yet. Opening completes or undoes what a crash left.
    pub(crate) fn store(&self) -> Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let opened =
            Store::open(self.config.root())?.with_key_source(self.config.key_source().clone());
        let is_rebuild = |notice: &Notice| matches!(notice, Notice::Rebuilt(_));
        let was_rebuilt = opened.notices().iter().any(is_rebuild);
        let store = self.store.get_or_init(|| opened);
        if was_rebuilt {
            // Claims stand in the database alone, and what they are made from in the ledgers.
            self.restore_claims()?;
        }
        Ok(store)
    }

    /// The two other sides of a machine.
    pub(crate) fn sides(&self, machine: &Machine) -> Result<Sides> {
        self.sides_within(machine, PATIENCE)
    }

    /// The two other sides of a machine, of which the hypervisor may take so long to answer.
    pub(crate) fn sides_within(&self, machine: &Machine, patience: Duration) -> Result<Sides> {
        match &machine.known.endpoints {
            MachineEndpoints::Qemu { qmp, agent } => {
                let address = QmpAddress::Unix(qmp.clone());
                let mut options = QemuVmOptions::new(address, machine.run_folder());
                options.limits.timeout = options.limits.timeout.min(patience);
                let vm = Arc::new(QemuVm::new(options));
                let asked = Arc::clone(&vm);
                let is_alive = move || {
                    let status = asked.status();
                    !status.is_err_and(|fault| fault.kind() == FaultKind::Gone)
                };
                let guest = GuestClient::new(socket(agent)).with_liveness(is_alive);
                Ok(Sides {
                    machine: vm,
                    guest: Arc::new(guest),
                    greeted: None,
                })
            }
            MachineEndpoints::Hcs { id, guest } => {
                self.hcs_sides(&machine.known, id, *guest, patience)
            }
        }
    }
}
