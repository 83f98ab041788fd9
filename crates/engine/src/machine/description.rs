//! What is known of a machine, and its document.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use attach::{GuestSystem, Hypervisor, Platform, SchemaVersion};
use serde::{Deserialize, Serialize};

use super::GuestChannel;
use super::failure::MachineFailure;
use crate::error::Result;

/// The version of the document that is written, and the newest that is read.
const VERSION: u32 = 1;

/// A machine that mounts can be attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMachine {
    /// What it is called.
    pub name: String,
    /// What runs it and what runs in it.
    pub platform: Platform,
    /// How it is reached.
    pub endpoints: MachineEndpoints,
    /// Who made it known, in words.
    pub owner: String,
    /// When, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// How a machine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MachineEndpoints {
    /// A machine of QEMU.
    Qemu {
        /// The socket of its monitor (QMP).
        qmp: PathBuf,
        /// The socket at the other end of which the agent in the guest is.
        agent: PathBuf,
    },
    /// A machine of the Host Compute Service.
    Hcs {
        /// What the service knows it by.
        id: String,
        /// The way to the agent in its guest.
        guest: GuestChannel,
    },
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    name: String,
    guest: String,
    owner: String,
    since_unix_ms: u64,
    hypervisor: HypervisorDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum HypervisorDocument {
    Qemu {
        qmp: PathBuf,
        agent: PathBuf,
    },
    Hcs {
        schema: String,
        id: String,
        #[serde(default)]
        channel: GuestChannel,
    },
}

impl KnownMachine {
    /// A machine that the user of this process makes known now.
    pub fn new(name: &str, platform: Platform, endpoints: MachineEndpoints) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis());
        Self {
            name: name.to_owned(),
            platform,
            endpoints,
            owner: crate::config::user_name().unwrap_or_else(|| "somebody".to_owned()),
            since_unix_ms: u64::try_from(now).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn to_json(&self) -> Result<String> {
        let hypervisor = match (&self.endpoints, self.platform.hypervisor) {
            (MachineEndpoints::Qemu { qmp, agent }, Hypervisor::Qemu) => HypervisorDocument::Qemu {
                qmp: qmp.clone(),
                agent: agent.clone(),
            },
            (MachineEndpoints::Hcs { id, guest }, Hypervisor::Hcs(schema)) => {
                HypervisorDocument::Hcs {
                    schema: schema.to_string(),
                    id: id.clone(),
                    channel: *guest,
                }
            }
            _ => {
                return Err(self
                    .damaged("it is reached as one of another hypervisor")
                    .into());
            }
        };
        let document = Document {
            version: VERSION,
            name: self.name.clone(),
            guest: self.platform.guest.to_string(),
            owner: self.owner.clone(),
            since_unix_ms: self.since_unix_ms,
            hypervisor,
        };
        // Paths that are no Unicode cannot be written down.
        serde_json::to_string_pretty(&document).map_err(|e| self.damaged(e.to_string()).into())
    }

    pub(super) fn from_json(name: &str, text: &[u8]) -> Result<Self> {
        let damaged = |reason: String| MachineFailure::Damaged {
            name: name.to_owned(),
            reason,
        };
        let document: Document =
            serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        if document.version != VERSION {
            return Err(damaged(format!(
                "it has version {}, and {VERSION} is known here",
                document.version
            ))
            .into());
        }
        let guest: GuestSystem = document
            .guest
            .parse()
            .map_err(|error: attach::UnknownWord| damaged(error.to_string()))?;
        let (hypervisor, endpoints) = match document.hypervisor {
            HypervisorDocument::Qemu { qmp, agent } => {
                (Hypervisor::Qemu, MachineEndpoints::Qemu { qmp, agent })
            }
            HypervisorDocument::Hcs {
                schema,
                id,
                channel,
            } => {
                let schema: SchemaVersion = schema
                    .parse()
                    .map_err(|error: attach::UnknownWord| damaged(error.to_string()))?;
                let guest = channel;
                (Hypervisor::Hcs(schema), MachineEndpoints::Hcs { id, guest })
            }
        };
        Ok(Self {
            name: name.to_owned(),
            platform: Platform { hypervisor, guest },
            endpoints,
            owner: document.owner,
            since_unix_ms: document.since_unix_ms,
        })
    }

    fn damaged(&self, reason: impl Into<String>) -> MachineFailure {
        MachineFailure::Damaged {
            name: self.name.clone(),
            reason: reason.into(),
        }
    }
}
