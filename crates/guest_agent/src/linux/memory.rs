//! Memory as a file system.

use guest_proto::{ErrorKind, MountMemory, Mounted, Refusal};

use super::filesystem::{Setting, prepare};
use super::mounting::{Places, Ready, Wanted};
use super::target::Kind;
use crate::refused::refusal;

/// What can be held at least.
const SMALLEST: u64 = 4096;

pub(super) fn mount(places: &Places, mount: &MountMemory) -> Result<Mounted, Refusal> {
    if mount.size < SMALLEST {
        let text = format!(
            "{} bytes of memory are too few: {SMALLEST} at least",
            mount.size
        );
        return Err(refusal(ErrorKind::Invalid, text));
    }
    let wanted = Wanted {
        target: &mount.target,
        asked: format!("memory {}", mount.size),
        kind: Kind::Folder,
        read_only: false,
    };
    places.mount(&wanted, || {
        let size = mount.size.to_string();
        let settings = [
            Setting::Value("source", "tmpfs"),
            Setting::Value("size", &size),
            Setting::Value("mode", "0755"),
        ];
        let made = prepare("tmpfs", &settings, false);
        Ok(Ready {
            mount: made.map_err(|unmountable| unmountable.refuse("memory"))?,
            file_system: "tmpfs".to_owned(),
            source: "tmpfs".to_owned(),
            formatted: false,
        })
    })
}
