//! A plan as mounts of the OCI runtime specification, in the kinds that hcsshim takes.

use serde::Serialize;

use crate::guest::{GuestSystem, Hypervisor};
use crate::hcs::RenderError;
use crate::plan::{Action, Plan};

/// One entry of `mounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OciMount {
    /// Where it appears in the container.
    pub destination: String,
    /// `bind`, `virtual-disk` or `tmpfs`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What is mounted.
    pub source: String,
    /// `ro` or `rw`, and more for some kinds.
    pub options: Vec<String>,
}

/// The mounts of a plan.
///
/// # Errors
/// Where the plan is for another runtime than hcsshim, or mounts what no OCI mount of its can say: SMB
/// shares.
pub fn oci_mounts(plan: &Plan) -> Result<Vec<OciMount>, RenderError> {
    const FORM: &str = "OCI mounts";
    if plan.platform.hypervisor == Hypervisor::Qemu {
        return Err(RenderError {
            what: "a plan for QEMU".to_owned(),
            form: FORM,
        });
    }
    let mut images = std::collections::BTreeMap::new();
    let mut mounts = Vec::new();
    let access = |read_only| if read_only { "ro" } else { "rw" }.to_owned();
    for step in &plan.steps {
        let mount = match &step.action {
            Action::AddDisk { slot, path, .. } => {
                images.insert(*slot, path.to_string());
                continue;
            }
            Action::MountDisk {
                slot,
                target,
                read_only,
                ..
            } => OciMount {
                destination: target.to_string(),
                kind: "virtual-disk",
                source: images.get(slot).cloned().unwrap_or_default(),
                options: vec![access(*read_only)],
            },
            Action::MountShare { share, target } => OciMount {
                destination: target.to_string(),
                kind: "bind",
                source: share.windows_source(),
                options: vec!["rbind".to_owned(), access(share.read_only)],
            },
            Action::MountMemory { target, size } if plan.platform.guest == GuestSystem::Linux => {
                OciMount {
                    destination: target.to_string(),
                    kind: "tmpfs",
                    source: "tmpfs".to_owned(),
                    options: vec![
                        "nosuid".to_owned(),
                        "nodev".to_owned(),
                        format!("size={size}"),
                    ],
                }
            }
            Action::MakeDirectory(_)
            | Action::MakeImage { .. }
            | Action::GrantAccess { .. }
            | Action::AddShare(_) => continue,
            action => {
                return Err(RenderError {
                    what: format!("to {action}"),
                    form: FORM,
                });
            }
        };
        mounts.push(mount);
    }
    Ok(mounts)
}
