//! Requests for the tests, short to write down.

use attach::{
    DiskSource, GuestFileSystem, GuestSystem, HostPath, Hypervisor, MountRequest, Platform,
    SchemaVersion, SmbSource, Source, Target,
};

pub(crate) const V2_1: Hypervisor = Hypervisor::Hcs(SchemaVersion::V2_1);
pub(crate) const V2_9: Hypervisor = Hypervisor::Hcs(SchemaVersion::V2_9);

pub(crate) fn platform(hypervisor: Hypervisor, guest: GuestSystem) -> Platform {
    Platform { hypervisor, guest }
}

pub(crate) fn path(text: &str) -> HostPath {
    HostPath::parse(text).unwrap()
}

pub(crate) fn disk(path_text: &str, file_system: GuestFileSystem) -> Source {
    Source::Disk(DiskSource {
        path: path(path_text),
        parents: Vec::new(),
        file_system: Some(file_system),
        format_on_first_use: false,
        // As engines make them: another disk has another.
        serial: path_text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect(),
    })
}

pub(crate) fn directory(path_text: &str) -> Source {
    Source::Directory {
        path: path(path_text),
        create: false,
        share_name: None,
    }
}

pub(crate) fn smb(text: &str) -> Source {
    Source::Smb(SmbSource {
        user: Some("ann".to_owned()),
        ..SmbSource::parse(text).unwrap()
    })
}

pub(crate) fn temporary(image: &str) -> Source {
    Source::Temporary {
        size: 64 << 20,
        image: path(image),
    }
}

pub(crate) fn request(
    source: Source,
    target: &str,
    guest: GuestSystem,
    read_only: bool,
) -> MountRequest {
    MountRequest {
        source,
        target: Target::parse(target, guest).unwrap(),
        read_only,
    }
}
