//! What a plan says, in the words of the protocol.

use std::time::Duration;

use guest_proto::{
    FileSystem, MountDisk, MountMemory, MountShare, MountSmb, Request, Secret,
    ShareTransport as Transport, Unmount, UnplugDisk,
};

use crate::hcs::schema::{PLAN9_PORT, VMSMB_PREFIX};
use crate::mount::{GuestFileSystem, SmbSource};
use crate::path::Target;
use crate::plan::{Share, ShareTransport};
use crate::sides::{Credentials, DiskMount, Fault, FaultKind};
use crate::slots::Slot;

pub(super) fn mount_disk(mount: &DiskMount, wait: Duration) -> Request {
    Request::MountDisk(MountDisk {
        controller: mount.slot.controller,
        lun: mount.slot.lun,
        serial: mount.serial.clone(),
        target: mount.target.to_string(),
        file_system: mount.file_system.map(|known| match known {
            GuestFileSystem::Ntfs => FileSystem::Ntfs,
            GuestFileSystem::Refs => FileSystem::Refs,
            GuestFileSystem::Fat32 => FileSystem::Fat32,
            GuestFileSystem::Ext4 => FileSystem::Ext4,
            GuestFileSystem::Xfs => FileSystem::Xfs,
        }),
        format: mount.format,
        read_only: mount.read_only,
        wait_seconds: seconds(wait),
    })
}

fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)
}

pub(super) fn mount_share(share: &Share, target: &Target, wait: Duration) -> Request {
    let name = share.name.clone();
    Request::MountShare(MountShare {
        transport: match share.transport {
            ShareTransport::Plan9 => Transport::Plan9Vsock {
                port: PLAN9_PORT,
                tree: name,
            },
            ShareTransport::VirtualSmb => Transport::VirtualSmb {
                unc: format!("{VMSMB_PREFIX}{name}"),
            },
            ShareTransport::VirtioFs => Transport::VirtioFs { tag: name },
        },
        only_file: share.only_file.clone(),
        target: target.to_string(),
        read_only: share.read_only,
        wait_seconds: seconds(wait),
    })
}

pub(super) fn mount_smb(
    source: &SmbSource,
    credentials: Option<&Credentials>,
    target: &Target,
    read_only: bool,
    require_encryption: bool,
) -> Result<Request, Fault> {
    let credentials = credentials.ok_or_else(|| {
        let text = format!("nobody is known who logs in at {}", source.server);
        Fault::new(FaultKind::Denied, text)
    })?;
    let (server, port) = host_and_port(&source.server).ok_or_else(|| {
        let text = format!("{:?} is no name of a server with a port", source.server);
        Fault::new(FaultKind::Invalid, text)
    })?;
    Ok(Request::MountSmb(MountSmb {
        server: server.to_owned(),
        port,
        share: source.share.clone(),
        path: source.path.clone(),
        user: credentials.user.clone(),
        domain: credentials.domain.clone(),
        password: Secret::from(credentials.password.clone()),
        target: target.to_string(),
        read_only,
        require_encryption,
    }))
}

/// `server`, `server:445`, `[2001:db8::1]`, `[2001:db8::1]:445`, `2001:db8::1`.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(number) => Some((host, Some(port(number)?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, number)) if !number.contains(':') => {
            (!host.is_empty()).then_some((host, Some(port(number)?)))
        }
        _ => Some((text, None)),
    }
}

pub(super) fn mount_memory(target: &Target, size: u64) -> Request {
    let target = target.to_string();
    Request::MountMemory(MountMemory { target, size })
}

pub(super) fn unmount(target: &Target, lazy: bool) -> Request {
    let target = target.to_string();
    Request::Unmount(Unmount { target, lazy })
}

pub(super) fn unplug(slot: Slot) -> Request {
    Request::UnplugDisk(UnplugDisk {
        controller: slot.controller,
        lun: slot.lun,
    })
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn servers_are_read_with_and_without_a_port() {
        for (text, expected) in [
            ("srv", Some(("srv", None))),
            ("srv.local:1445", Some(("srv.local", Some(1445)))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("[2001:db8::1]:445", Some(("2001:db8::1", Some(445)))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("srv:", None),
            ("srv:0", None),
            ("srv:65536", None),
            (":445", None),
            ("[::1]x", None),
        ] {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }
}
