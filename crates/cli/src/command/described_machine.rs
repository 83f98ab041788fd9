//! A machine that is described when mounts are attached to it, and known by its name from then on.

use std::path::PathBuf;

use engine::{
    ErrorKind, GuestChannel, Hypervisor, KnownMachine, MachineEndpoints, MachinePlatform,
};

use super::Context;
use super::machine::Mounts;
use crate::failure::Failure;

/// How a machine is reached that somebody else started.
#[derive(Debug, clap::Args)]
pub(crate) struct DescribedMachine {
    /// Make the machine known: the socket of QEMU's monitor (QMP)
    #[arg(long, value_name = "SOCKET", requires_all = ["vm", "agent", "guest"])]
    qmp: Option<PathBuf>,

    /// Make the machine known: the socket that leads to the agent in the guest
    #[arg(long, value_name = "SOCKET", requires = "qmp")]
    agent: Option<PathBuf>,

    /// Make the machine known: the identifier of its compute system (`cvol hcs ls`)
    #[arg(long, value_name = "ID", requires_all = ["vm", "guest"], conflicts_with = "qmp")]
    hcs: Option<String>,

    /// The way to the agent in a guest of HCS: hvsocket, tcp:127.0.0.1:PORT, none [default: hvsocket]
    ///
    /// A socket of the hypervisor; a port of this host, at which a tunnel leads to the agent (whoever can
    /// connect to it is obeyed); or none, where you mount in the guest yourself, and are told what.
    #[arg(long, value_name = "WAY", requires = "hcs")]
    guest_channel: Option<GuestChannel>,
}

impl DescribedMachine {
    /// Makes the machine known if it is described; one that is known so already is none to complain of.
    ///
    /// # Errors
    /// What is known otherwise; `Unsupported` where there is no Host Compute Service to ask.
    pub(crate) fn make_known(
        &self,
        context: &Context,
        vm: &str,
        mounts: &Mounts,
    ) -> Result<(), Failure> {
        let Some(endpoints) = self.endpoints()? else {
            return Ok(());
        };
        let guest = mounts.guest()?;
        let before = match context.engine.known_machine(vm) {
            Ok(known) => Some(known),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let hypervisor = match (&endpoints, mounts.schema, &before) {
            (MachineEndpoints::Hcs { .. }, Some(schema), _) => Hypervisor::Hcs(schema),
            // The version that was agreed on when it was made known.
            (MachineEndpoints::Hcs { .. }, None, Some(known)) => known.platform.hypervisor,
            (MachineEndpoints::Hcs { .. }, None, None) => {
                Hypervisor::Hcs(context.engine.hcs_schema()?)
            }
            _ => Hypervisor::Qemu,
        };
        let platform = MachinePlatform { hypervisor, guest };
        let is_known = before
            .is_some_and(|known| (&known.endpoints, known.platform) == (&endpoints, platform));
        if is_known {
            return Ok(());
        }
        // One that is known otherwise is told by this.
        let known = KnownMachine::new(vm, platform, endpoints);
        Ok(context.engine.register_machine(&known)?)
    }

    fn endpoints(&self) -> Result<Option<MachineEndpoints>, Failure> {
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Failure::Output);
        if let Some(id) = &self.hcs {
            return Ok(Some(MachineEndpoints::Hcs {
                id: id.clone(),
                guest: self.guest_channel.unwrap_or_default(),
            }));
        }
        let (Some(qmp), Some(agent)) = (&self.qmp, &self.agent) else {
            return Ok(None);
        };
        Ok(Some(MachineEndpoints::Qemu {
            qmp: absolute(qmp)?,
            agent: absolute(agent)?,
        }))
    }
}
