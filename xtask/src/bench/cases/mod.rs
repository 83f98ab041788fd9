//! What is measured. A case prepares its input untimed, then measures pairs or runs an example.

mod archive;
#[cfg(unix)]
mod attach;
mod chain;
mod compact;
mod convert;
mod disk;
mod empty;
mod layers;
mod list;
#[cfg(unix)]
mod nbd;
mod peers;
mod populate;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bench, Case};

pub(super) const ALL: &[Case] = &[
    Case {
        name: "empty-ntfs",
        what: "an empty NTFS volume of 100 GiB",
        run: empty::run,
    },
    Case {
        name: "convert",
        what: "raw to VHDX and back, dense and sparse, in memory",
        run: convert::in_memory,
    },
    Case {
        name: "convert-disk",
        what: "the same on a disk, durable and not",
        run: convert::on_disk,
    },
    Case {
        name: "compact",
        what: "a volume emptied to a quarter compacted, against a copy without zeros",
        run: compact::small,
    },
    Case {
        name: "compact-full",
        what: "the same with 16 GiB (or as much as there is room for) emptied to 4",
        run: compact::full,
    },
    Case {
        name: "disk",
        what: "reads and writes of one open VHDX against raw",
        run: disk::rates,
    },
    Case {
        name: "allocate",
        what: "writes of 4 KiB to new blocks, a flush after each",
        run: disk::allocate,
    },
    Case {
        name: "chain",
        what: "random reads through 1, 8 and 64 layers against one image",
        run: chain::rates,
    },
    Case {
        name: "layers",
        what: "snapshot, clone and restore of 1 TiB beside 1 GiB",
        run: layers::run,
    },
    Case {
        name: "list",
        what: "processor time of `cvol ls` with 10,000 volumes",
        run: list::run,
    },
    #[cfg(unix)]
    Case {
        name: "attach",
        what: "a volume attached to a machine until it is mounted, against bare commands",
        run: attach::run,
    },
    #[cfg(unix)]
    Case {
        name: "nbd",
        what: "a VHDX served to fio and nbdcopy against qemu-nbd",
        run: nbd::rates,
    },
    Case {
        name: "populate",
        what: "an NTFS volume filled from /usr/share",
        run: populate::real,
    },
    Case {
        name: "populate-many",
        what: "the same from a million small files in one folder",
        run: populate::many,
    },
    Case {
        name: "tar",
        what: "the same from a tar stream, against from the folder",
        run: archive::import,
    },
    Case {
        name: "export",
        what: "a volume as a tar archive, against tar of a mounted ext4",
        run: archive::export,
    },
];

impl Bench {
    fn cvol(&self, folder: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(&self.cvol);
        command
            .args(words)
            .env("CVOL_ROOT", folder.join("store"))
            .current_dir(folder);
        command
    }
}

/// Another program, run in `folder`.
fn peer<S: AsRef<std::ffi::OsStr>>(folder: &Path, program: &str, words: &[S]) -> Command {
    let found = crate::process::find(program).unwrap_or_else(|| PathBuf::from(program));
    let mut command = Command::new(found);
    command.args(words).current_dir(folder);
    command
}
