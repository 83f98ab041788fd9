//! Why an SMB server could not be used.

use crate::error::ErrorKind;

/// Why an SMB server could not be used. No part of a password is ever in here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmbFailure {
    /// The program that speaks to servers is not there.
    #[error("smbclient, which speaks to SMB servers, is not on this machine")]
    NoClient,
    /// Nothing here lists shares.
    #[error("listing the shares of an SMB server is not supported on this system")]
    System,
    /// Windows has no client for SMB servers, or it does not run.
    #[error("this Windows has no client for SMB servers that works (code {code})")]
    NoNetwork {
        /// What Windows says.
        code: u32,
    },
    /// Windows finds servers at one port.
    #[error("Windows tries no login at another port than 445, and {port} is one")]
    Port {
        /// The port.
        port: u16,
    },
    /// Whoever asks is connected already.
    #[error(
        "this user of Windows is connected to the server {server} already{}, and has one session there at \
         a time",
        as_whom(.other.as_deref())
    )]
    Session {
        /// The server.
        server: String,
        /// As whom, where that is told.
        other: Option<String>,
    },
    /// Windows failed.
    #[error("Windows could not try the login: {reason}")]
    Windows {
        /// What it says.
        reason: String,
    },
    /// The program cannot be given this password.
    #[error("smbclient cannot be given a password that begins with a blank")]
    Password,
    /// The program failed, or was ended.
    #[error("smbclient did not work: {reason}")]
    Client {
        /// What became of it.
        reason: String,
    },
    /// Nobody answers.
    #[error("the server {server} cannot be reached: {reason}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the server {server} did not answer within {seconds} s")]
    Late {
        /// The server.
        server: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It does not let the user in.
    #[error("the server {server} does not let {user} in: {reason}")]
    Denied {
        /// The server.
        server: String,
        /// The user.
        user: String,
        /// Why.
        reason: String,
    },
    /// It lets everybody in, and calls them guests.
    #[error("the server {server} lets {user} in as a guest, whatever the password")]
    Guest {
        /// The server.
        server: String,
        /// The user.
        user: String,
    },
    /// It lets the user in, but not into the share.
    #[error("the server {server} does not let {user} into the share {share:?}")]
    ShareDenied {
        /// The server.
        server: String,
        /// The user.
        user: String,
        /// The share.
        share: String,
    },
    /// It speaks no protocol that is safe enough.
    #[error(
        "the server {server} agrees on no protocol from SMB 2.1 on: it is older, or no SMB server"
    )]
    OldProtocol {
        /// The server.
        server: String,
    },
    /// It does not encrypt.
    #[error("the server {server} does not encrypt")]
    Unencrypted {
        /// The server.
        server: String,
    },
    /// It has no such share.
    #[error("the server {server} has no share {share:?}{}", told(there))]
    NoShare {
        /// The server.
        server: String,
        /// The share.
        share: String,
        /// What shares it has, as far as it told.
        there: Vec<String>,
    },
    /// The share has no such path.
    #[error("the share {share:?} of {server} has no folder {path:?}")]
    NoPath {
        /// The server.
        server: String,
        /// The share.
        share: String,
        /// The path in it.
        path: String,
    },
    /// The local network cannot be asked.
    #[error("the local network cannot be asked: {reason}")]
    Network {
        /// Why.
        reason: String,
    },
}

impl SmbFailure {
    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoClient
            | Self::System
            | Self::NoNetwork { .. }
            | Self::Port { .. }
            | Self::Password
            | Self::OldProtocol { .. }
            | Self::Unencrypted { .. } => ErrorKind::Unsupported,
            Self::Denied { .. } | Self::Guest { .. } | Self::ShareDenied { .. } => {
                ErrorKind::Denied
            }
            Self::NoShare { .. } | Self::NoPath { .. } => ErrorKind::NotFound,
            Self::Session { .. } => ErrorKind::InUse,
            Self::Client { .. }
            | Self::Windows { .. }
            | Self::Unreachable { .. }
            | Self::Late { .. }
            | Self::Network { .. } => ErrorKind::Io,
        }
    }

    /// What can be done about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoClient => {
                "install the package smbclient (`apt-get install smbclient`), or leave the trial out \
                 with `--no-check`"
            }
            Self::System => "ask for them on the server, or from Linux",
            Self::Password | Self::Client { .. } | Self::Windows { .. } | Self::Port { .. } => {
                "leave the trial out with `--no-check`: the guest logs in by itself"
            }
            Self::NoNetwork { .. } => {
                "start the service Workstation (`Start-Service LanmanWorkstation`), or leave the trial out \
                 with `--no-check`: the guest logs in by itself"
            }
            Self::Session { .. } => {
                "`net use` shows the connections and `net use \\\\SERVER\\SHARE /delete` ends one; or name \
                 the server in another way, such as its address, or leave the trial out with `--no-check`"
            }
            Self::Unreachable { .. } | Self::Late { .. } => {
                "check the name, the port and the network; `--no-check` makes the volume without asking \
                 the server"
            }
            Self::Denied { .. } => {
                "check user, domain and password at the server; a lower or upper case letter counts"
            }
            Self::Guest { .. } => {
                "make an account at the server and turn guests off (Samba: `map to guest = never`)"
            }
            Self::ShareDenied { .. } => "give the user access to the share at the server",
            Self::OldProtocol { .. } => "turn SMB 3 on at the server",
            Self::Unencrypted { .. } => {
                "turn encryption on at the server (Samba: `smb encrypt = required`; Windows: \
                 `Set-SmbServerConfiguration -EncryptData $true`)"
            }
            Self::NoShare { .. } => "`cvol discover //SERVER --username NAME` lists the shares",
            Self::NoPath { .. } => "make the folder in the share, or name another one",
            Self::Network { .. } => "name a server: `cvol discover //SERVER --username NAME`",
        }
    }
}

/// As whom somebody is connected, where that is told.
fn as_whom(other: Option<&str>) -> String {
    other.map_or_else(String::new, |other| format!(" (as {other})"))
}

/// The shares that are there, the first few by name.
fn told(there: &[String]) -> String {
    const SHOWN: usize = 10;
    if there.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = there.iter().take(SHOWN).map(String::as_str).collect();
    let more = match there.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("; it has {}{more}", names.join(", "))
}
