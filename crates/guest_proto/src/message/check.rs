//! What messages may hold. Both sides check both ways: what is written too, so that a fault of ours is
//! found where it is made.

use crate::limits::{
    Limit, MAX_ARGUMENTS, MAX_CHUNK, MAX_MOUNTS_IN_ANSWER, MAX_NAME, MAX_TARGET, MAX_TEXT, needed,
    optional,
};

use super::answer::{Answer, Mounted, MountedThing};
use super::request::{MountShare, MountSmb, Request, Run, ShareTransport};

type Checked = Result<(), Limit>;

impl Request {
    pub(super) fn check(&self) -> Checked {
        if let Some(target) = self.target() {
            needed("the target", target, MAX_TARGET)?;
        }
        match self {
            Self::Hello(hello) => optional("the name of the client", &hello.client, MAX_NAME),
            Self::MountDisk(mount) => optional("the serial", &mount.serial, MAX_NAME),
            Self::MountShare(mount) => share(mount),
            Self::MountSmb(mount) => smb(mount),
            Self::Run(run) => command(run),
            Self::ListMounts { after } => {
                optional("the target", after.as_deref().unwrap_or(""), MAX_TARGET)
            }
            Self::MountMemory(_)
            | Self::Unmount(_)
            | Self::UnplugDisk(_)
            | Self::Sync
            | Self::Freeze { .. }
            | Self::Thaw { .. }
            | Self::Usage { .. }
            | Self::PowerOff => Ok(()),
        }
    }
}

fn share(mount: &MountShare) -> Checked {
    match &mount.transport {
        ShareTransport::VirtioFs { tag } | ShareTransport::Plan9Virtio { tag } => {
            needed("the tag", tag, MAX_NAME)?;
        }
        ShareTransport::Plan9Tcp { server, tree, .. } => {
            needed("the server", server, MAX_NAME)?;
            optional("the tree", tree, MAX_TARGET)?;
        }
        ShareTransport::Plan9Vsock { tree, .. } => optional("the tree", tree, MAX_TARGET)?,
        ShareTransport::VirtualSmb { unc } => needed("the share", unc, MAX_TARGET)?,
    }
    let Some(file) = &mount.only_file else {
        return Ok(());
    };
    needed("the file", file, MAX_NAME)?;
    if file.contains(['/', '\\']) || matches!(file.as_str(), "." | "..") {
        let (what, reason) = ("the file", "is no name in a directory");
        return Err(Limit { what, reason });
    }
    Ok(())
}

fn smb(mount: &MountSmb) -> Checked {
    needed("the server", &mount.server, MAX_NAME)?;
    needed("the share", &mount.share, MAX_NAME)?;
    optional("the path", &mount.path, MAX_TARGET)?;
    optional("the user", &mount.user, MAX_NAME)?;
    let domain = mount.domain.as_deref().unwrap_or("");
    optional("the domain", domain, MAX_NAME)?;
    optional("the password", mount.password.reveal(), MAX_NAME)
}

fn command(run: &Run) -> Checked {
    let what = "the command";
    if run.arguments.is_empty() || run.arguments.len() > MAX_ARGUMENTS {
        let reason = "has no word or too many";
        return Err(Limit { what, reason });
    }
    for argument in &run.arguments {
        optional(what, argument, crate::MAX_BODY)?;
    }
    Ok(())
}

impl Answer {
    pub(super) fn check(&self) -> Checked {
        match self {
            Self::Welcome(welcome) => {
                optional("the agent", &welcome.agent, MAX_NAME)?;
                optional("the kernel", &welcome.kernel, MAX_NAME)
            }
            Self::Mounted(mounted) => check_mounted(mounted),
            Self::Mounts(mounts) => {
                if mounts.mounts.len() > MAX_MOUNTS_IN_ANSWER {
                    let (what, reason) = ("the list of mounts", "is too long");
                    return Err(Limit { what, reason });
                }
                mounts.mounts.iter().try_for_each(thing)
            }
            Self::Output { bytes, .. } if bytes.0.len() > MAX_CHUNK => {
                let (what, reason) = ("a piece of output", "is too long");
                Err(Limit { what, reason })
            }
            Self::Exited { limit, .. } => {
                optional("the limit", limit.as_deref().unwrap_or(""), MAX_NAME)
            }
            Self::Refused(refusal) => optional("the refusal", &refusal.text, MAX_TEXT),
            Self::Incompatible(_) | Self::Done | Self::Usage(_) | Self::Output { .. } => Ok(()),
        }
    }
}

fn check_mounted(mounted: &Mounted) -> Checked {
    needed("the target", &mounted.target, MAX_TARGET)?;
    optional("the file system", &mounted.file_system, MAX_NAME)
}

fn thing(mount: &MountedThing) -> Checked {
    needed("the target", &mount.target, MAX_TARGET)?;
    optional("the file system", &mount.file_system, MAX_NAME)?;
    optional("the source", &mount.source, MAX_TARGET)
}
