//! Which machine mounts are for: options that several verbs share.

use clap::ValueEnum;
use engine::{Guest, Hypervisor, MachinePlatform, SchemaVersion};

use crate::failure::Failure;

/// What runs in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GuestWord {
    /// Linux
    Linux,
    /// Windows
    Windows,
}

/// What runs the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HypervisorWord {
    /// Hyper-V, through the Host Compute Service
    Hcs,
    /// QEMU
    Qemu,
}

impl Default for HypervisorWord {
    /// What takes the paths of this host.
    fn default() -> Self {
        match cfg!(windows) {
            true => Self::Hcs,
            false => Self::Qemu,
        }
    }
}

/// The mounts, and what of the machine all forms have to know.
#[derive(Debug, clap::Args)]
pub(crate) struct Mounts {
    /// A mount; may be repeated
    ///
    /// Fields as `docker run --mount` has them: type=volume|vhd|bind|smb|tmpfs, source=, target=,
    /// readonly; for bind also create and share_name=, for vhd fs=, for smb username=
    /// with password-file= (- is standard input), or secret= (a volume), for tmpfs size=. A
    /// target is a drive letter or a folder of C: for Windows, a path for both.
    #[arg(short, long = "mount", value_name = "FIELDS", required = true)]
    pub(crate) mounts: Vec<String>,

    /// What runs in the machine
    #[arg(long, value_name = "SYSTEM")]
    pub(crate) guest: Option<GuestWord>,

    /// Version of the documents of HCS [default: 2.1, or for a machine what its service takes]
    #[arg(long, value_name = "VERSION", value_parser = schema)]
    pub(crate) schema: Option<SchemaVersion>,
}

/// A version such as `2.1`.
pub(crate) fn schema(text: &str) -> Result<SchemaVersion, String> {
    text.parse::<SchemaVersion>()
        .map_err(|error| error.to_string())
}

impl Mounts {
    /// The machine, run by this hypervisor.
    ///
    /// # Errors
    /// Wrong usage where nobody said what runs in it.
    pub(crate) fn platform(&self, hypervisor: HypervisorWord) -> Result<MachinePlatform, Failure> {
        Ok(MachinePlatform {
            hypervisor: match hypervisor {
                HypervisorWord::Hcs => Hypervisor::Hcs(self.schema.unwrap_or(SchemaVersion::V2_1)),
                HypervisorWord::Qemu => Hypervisor::Qemu,
            },
            guest: self.guest()?,
        })
    }

    /// What runs in it.
    ///
    /// # Errors
    /// As for [`Mounts::platform`].
    pub(crate) fn guest(&self) -> Result<Guest, Failure> {
        match self.guest {
            Some(GuestWord::Linux) => Ok(Guest::Linux),
            Some(GuestWord::Windows) => Ok(Guest::Windows),
            None => Err(Failure::usage(
                "what runs in the machine is not known",
                "say it with `--guest linux` or `--guest windows`",
            )),
        }
    }
}
