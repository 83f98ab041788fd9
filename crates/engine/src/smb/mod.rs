//! SMB servers as a volume needs them: whether one lets a user in, which shares it has, and which are near.
//!
//! On Unix the server is spoken to by Samba's own `smbclient` (ADR 23): it is given the login through a pipe,
//! never in an argument or an environment. What it says is read in `words`, its run is bounded in `client`.
//! On Windows it is spoken to by the system itself, in the order and with the meanings of `network`.

#[cfg(unix)]
#[path = "client.rs"]
mod client;
#[cfg(windows)]
#[path = "windows_client.rs"]
mod client;
mod failure;
mod nearby;
#[cfg(any(windows, test))]
mod network;
#[cfg(unix)]
mod words;

use std::time::Duration;

use secrecy::SecretString;
use volume::{SmbShare, SmbSpec, SmbUser, parse_server};

use crate::Engine;
use crate::error::{Error, Result};

pub use failure::SmbFailure;

/// How long a server may take to let somebody in.
const LOGIN_LIMIT: Duration = Duration::from_secs(20);
/// How long servers of the local network may take to answer where nobody says.
pub const NEARBY_LIMIT: Duration = Duration::from_secs(3);

/// What a share of a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShareKind {
    /// A folder.
    Disk,
    /// A printer.
    Printer,
    /// What programs of the server talk through.
    Pipe,
}

/// A share of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerShare {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ShareKind,
    /// What its server says of it.
    pub comment: String,
}

/// A server that answered on the local network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NearbyServer {
    /// What it calls itself.
    pub name: String,
    /// The name of its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// Whose shares are wanted.
#[derive(Clone, Debug)]
pub struct ListShares {
    /// The server: `//server`, `server`, either with a port.
    pub server: String,
    /// Who logs in.
    pub user: String,
    /// The domain, where there is one.
    pub domain: Option<String>,
    /// The password.
    pub password: SecretString,
}

/// Where and as whom somebody logs in.
struct Login<'a> {
    server: &'a str,
    port: Option<u16>,
    user: &'a SmbUser,
    password: &'a SecretString,
}

impl ShareKind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Printer => "printer",
            Self::Pipe => "ipc",
        }
    }
}

impl Engine {
    /// The shares of a server, sorted by name.
    ///
    /// # Errors
    /// `InvalidArgument` (the server, the user), `Denied`, `Unsupported` (the server, or no program to ask
    /// it), `Io` (nobody answers).
    pub fn list_shares(&self, request: &ListShares) -> Result<Vec<ServerShare>> {
        let invalid = |what: &str, reason| Error::InvalidRequest {
            message: format!("{what}: {reason}"),
        };
        let text = request.server.replace('\\', "/");
        let host = text
            .strip_prefix("//")
            .unwrap_or(&text)
            .trim_end_matches('/');
        let (server, port) = parse_server(host).map_err(|it| invalid(&request.server, it))?;
        let user = SmbUser::new(&request.user, request.domain.as_deref())
            .map_err(|it| invalid("the user", it))?;
        let login = Login {
            server: &server,
            port,
            user: &user,
            password: &request.password,
        };
        Ok(client::list_shares(&login, LOGIN_LIMIT)?)
    }

    /// The SMB servers that answer on the local network within `limit`, sorted by name. They say who they
    /// are and nothing proves it.
    ///
    /// # Errors
    /// `Io` where the network cannot be asked.
    pub fn nearby_servers(&self, limit: Duration) -> Result<Vec<NearbyServer>> {
        Ok(nearby::ask(limit)?)
    }

    /// Logs in at the server of a volume and looks for its share and path.
    pub(crate) fn try_login(&self, smb: &SmbSpec, password: &SecretString) -> Result<()> {
        let share: &SmbShare = smb.share();
        let login = Login {
            server: share.server(),
            port: share.port(),
            user: smb.user(),
            password,
        };
        match client::enter(&login, share.share(), share.path(), LOGIN_LIMIT) {
            Ok(()) => Ok(()),
            Err(SmbFailure::NoShare { server, share, .. }) => {
                // What there is instead is worth a second look; where that fails, it is not told.
                let there = client::list_shares(&login, LOGIN_LIMIT).unwrap_or_default();
                let there = there
                    .into_iter()
                    .filter(|found| found.kind == ShareKind::Disk)
                    .map(|found| found.name)
                    .collect();
                Err(SmbFailure::NoShare {
                    server,
                    share,
                    there,
                }
                .into())
            }
            Err(failure) => Err(failure.into()),
        }
    }
}
