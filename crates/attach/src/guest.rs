//! The two sides of an attachment: which hypervisor runs the machine, and what runs in it.

use std::fmt;
use std::str::FromStr;

/// The system in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuestSystem {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

/// A version of the documents of the Host Compute Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

/// What runs the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hypervisor {
    /// Hyper-V through the Host Compute Service, with documents of this version.
    Hcs(SchemaVersion),
    /// QEMU.
    Qemu,
}

/// Where mounts go: a hypervisor and a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    /// What runs the machine.
    pub hypervisor: Hypervisor,
    /// What runs in it.
    pub guest: GuestSystem,
}

/// What a word that should name one of these is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no {what}; known are {known}")]
pub struct UnknownWord {
    word: String,
    what: &'static str,
    known: &'static str,
}

impl SchemaVersion {
    /// The oldest version of the second family: Windows Server 2019.
    pub const V2_0: Self = Self { major: 2, minor: 0 };
    /// What hcsshim asks for, and every Windows with the service understands.
    pub const V2_1: Self = Self { major: 2, minor: 1 };
    /// The newest that is known here.
    pub const V2_9: Self = Self { major: 2, minor: 9 };
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for SchemaVersion {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('.').and_then(|(major, minor)| {
            Some(Self {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        });
        parsed
            .filter(|version| (Self::V2_0..=Self::V2_9).contains(version))
            .ok_or_else(|| UnknownWord {
                word: text.to_owned(),
                what: "version of HCS documents",
                known: "2.0 to 2.9",
            })
    }
}

impl fmt::Display for GuestSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
        })
    }
}

impl FromStr for GuestSystem {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "linux" => Ok(Self::Linux),
            "windows" => Ok(Self::Windows),
            _ => Err(UnknownWord {
                word: text.to_owned(),
                what: "guest system",
                known: "linux, windows",
            }),
        }
    }
}

impl fmt::Display for Hypervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hcs(version) => write!(f, "HCS (schema {version})"),
            Self::Qemu => f.write_str("QEMU"),
        }
    }
}
