//! A login tried by the network of Windows: in which order it is asked, and what its codes mean.
//!
//! ```text
//!   provider ── who is connected already ── connect ── the folder ── disconnect
//! ```
//!
//! Windows has one session a server and user of its own: whoever is in it under another name is told so,
//! and none of his connections is ended. What the trial connected is disconnected again, without force.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use volume::{NetworkCalls, NetworkConnection, NetworkRefusal};

use super::{Login, SmbFailure};

/// The one port at which Windows finds servers by such a name.
const SMB_PORT: u16 = 445;
/// The most that is kept of what a provider says, in characters.
const MAX_WORDS: usize = 200;

/// `ERROR_NOT_CONNECTED`.
const NOT_CONNECTED: u32 = 2250;

/// Where somebody logs in and what he looks for there.
pub(super) struct Visit {
    /// As it is told.
    server: String,
    /// `\\server\share`.
    remote: String,
    share: String,
    path: String,
    /// As it is told.
    user: String,
    /// With the domain.
    account: String,
    password: SecretString,
}

/// Tries it. Windows waits for servers as long as it likes; after `limit` the trial is left to a thread, which
/// disconnects what it still connects.
pub(super) fn enter(
    calls: Arc<dyn NetworkCalls>,
    visit: Visit,
    limit: Duration,
) -> Result<(), SmbFailure> {
    let server = visit.server.clone();
    let (teller, told) = mpsc::channel();
    let trial = move || {
        // Whoever waited may have given up.
        let _ = teller.send(visit.attempt(&*calls));
    };
    let started = thread::Builder::new()
        .name("smb-login".to_owned())
        .spawn(trial);
    if let Err(error) = started {
        let reason = error.to_string();
        return Err(SmbFailure::Windows { reason });
    }
    match told.recv_timeout(limit) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(SmbFailure::Late {
            server,
            seconds: limit.as_secs(),
        }),
        Err(RecvTimeoutError::Disconnected) => Err(SmbFailure::Windows {
            reason: "the trial ended without a word".to_owned(),
        }),
    }
}

impl Visit {
    /// A visit in the words of Windows.
    ///
    /// # Errors
    /// `Port`: names of Windows have none.
    pub(super) fn new(login: &Login<'_>, share: &str, path: &str) -> Result<Self, SmbFailure> {
        if let Some(port) = login.port.filter(|port| *port != SMB_PORT) {
            return Err(SmbFailure::Port { port });
        }
        let user = login.user.name();
        Ok(Self {
            server: login.server.to_owned(),
            remote: format!(r"\\{}\{share}", host(login.server)),
            share: share.to_owned(),
            path: path.to_owned(),
            user: user.to_owned(),
            account: match login.user.domain() {
                Some(domain) => format!(r"{domain}\{user}"),
                None => user.to_owned(),
            },
            password: login.password.clone(),
        })
    }

    fn attempt(&self, calls: &dyn NetworkCalls) -> Result<(), SmbFailure> {
        let failed = |refusal: NetworkRefusal| self.failure(&refusal);
        let provider = calls.smb_provider().map_err(failed)?;
        match calls.connected_user(&self.remote) {
            // To disconnect afterwards would end what somebody else may be using.
            Ok(user) => return Err(self.session(Some(user))),
            Err(refusal) if refusal.code == NOT_CONNECTED => {}
            Err(refusal) => return Err(self.failure(&refusal)),
        }
        self.connect(calls, &provider).map_err(failed)?;
        let found = self.look(calls);
        // One that does not end now is of nobody's device, and ends with the session of the user.
        let _ = calls.disconnect(&self.remote);
        found
    }

    /// Encrypted; where this Windows cannot be told that, without: guests insist on it themselves, and a login
    /// shows no password to anybody.
    fn connect(&self, calls: &dyn NetworkCalls, provider: &str) -> Result<(), NetworkRefusal> {
        let connection = NetworkConnection {
            provider,
            remote: &self.remote,
            user: &self.account,
            password: &self.password,
            encrypted: true,
        };
        match calls.connect(&connection) {
            // ERROR_INVALID_PARAMETER, _INVALID_FLAGS.
            Err(NetworkRefusal {
                code: 87 | 1004, ..
            }) => calls.connect(&NetworkConnection {
                encrypted: false,
                ..connection
            }),
            connected => connected,
        }
    }

    /// Looks for the folder, where one is named.
    fn look(&self, calls: &dyn NetworkCalls) -> Result<(), SmbFailure> {
        if self.path.is_empty() {
            return Ok(());
        }
        let share = self.remote.trim_start_matches('\\');
        // In this form no name is changed on its way, and it may be long.
        let path = format!(r"\\?\UNC\{share}\{}", self.path.replace('/', r"\"));
        match calls.is_folder(&path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.no_path()),
            Err(refusal) => Err(match refusal.code {
                // ERROR_FILE_NOT_FOUND, _PATH_NOT_FOUND, _INVALID_NAME, _DIRECTORY.
                2 | 3 | 123 | 267 => self.no_path(),
                _ => self.failure(&refusal),
            }),
        }
    }

    fn no_path(&self) -> SmbFailure {
        SmbFailure::NoPath {
            server: self.server.clone(),
            share: self.share.clone(),
            path: self.path.clone(),
        }
    }

    fn session(&self, other: Option<String>) -> SmbFailure {
        SmbFailure::Session {
            server: self.server.clone(),
            other: other.map(|other| self.plain(&other)),
        }
    }

    /// What a refusal means.
    pub(super) fn failure(&self, refusal: &NetworkRefusal) -> SmbFailure {
        let server = self.server.clone();
        let code = refusal.code;
        if let Some(reason) = denial(code) {
            return SmbFailure::Denied {
                server,
                user: self.user.clone(),
                reason: reason.to_owned(),
            };
        }
        if let Some(reason) = obstacle(code) {
            return SmbFailure::Unreachable {
                server,
                reason: reason.to_owned(),
            };
        }
        match code {
            // ERROR_ACCESS_DENIED: the user is in, and not at the share.
            5 => SmbFailure::ShareDenied {
                server,
                user: self.user.clone(),
                share: self.share.clone(),
            },
            // ERROR_BAD_NET_NAME.
            67 => SmbFailure::NoShare {
                server,
                share: self.share.clone(),
                there: Vec::new(),
            },
            // ERROR_SMB1_NOT_AVAILABLE.
            384 => SmbFailure::OldProtocol { server },
            // ERROR_BAD_PROVIDER, _NO_NETWORK, NERR_WkstaNotStarted.
            1204 | 1222 | 2138 => SmbFailure::NoNetwork { code },
            // ERROR_SESSION_CREDENTIAL_CONFLICT.
            1219 => self.session(None),
            // ERROR_SMB_GUEST_LOGON_BLOCKED.
            1272 => SmbFailure::Guest {
                server,
                user: self.user.clone(),
            },
            _ => SmbFailure::Windows {
                reason: self.reason(refusal),
            },
        }
    }

    fn reason(&self, refusal: &NetworkRefusal) -> String {
        let code = refusal.code;
        if let Some(words) = &refusal.words {
            return format!("{} (code {code})", self.plain(words));
        }
        match code {
            // ERROR_NOT_SUPPORTED.
            50 => format!("the server may not encrypt (code {code})"),
            _ => match i32::try_from(code) {
                Ok(code) => io::Error::from_raw_os_error(code).to_string(),
                Err(_) => format!("code {code}"),
            },
        }
    }

    /// What somebody else said, cut short, on one line, and without the password.
    fn plain(&self, words: &str) -> String {
        let secret = self.password.expose_secret();
        let words = match secret.is_empty() {
            true => words.to_owned(),
            false => words.replace(secret, "..."),
        };
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        words.trim().chars().map(plain).take(MAX_WORDS).collect()
    }
}

/// A server in a name of Windows, in which an address of IPv6 has no colons.
fn host(server: &str) -> String {
    match server.contains(':') {
        true => {
            let digits = server.replace(':', "-").replace('%', "s");
            format!("{digits}.ipv6-literal.net")
        }
        false => server.to_owned(),
    }
}

/// Why a server does not let a user in, where the code says so.
fn denial(code: u32) -> Option<&'static str> {
    Some(match code {
        // ERROR_NETWORK_ACCESS_DENIED.
        65 => "access is denied",
        // ERROR_INVALID_PASSWORD, _NO_SUCH_USER, _LOGON_FAILURE, _BAD_USERNAME.
        86 | 1317 | 1326 | 2202 => "user or password is wrong",
        // ERROR_NO_LOGON_SERVERS.
        1311 => "no server of its domain can be asked",
        // ERROR_ACCOUNT_RESTRICTION, _INVALID_LOGON_HOURS, _INVALID_WORKSTATION, _LOGIN_TIME_RESTRICTION,
        // _LOGIN_WKSTA_RESTRICTION, _LOGON_TYPE_NOT_GRANTED.
        1239 | 1240 | 1327..=1329 | 1385 => "a rule of the server forbids it",
        // ERROR_PASSWORD_EXPIRED, _PASSWORD_MUST_CHANGE.
        1330 | 1907 => "the password has expired",
        // ERROR_ACCOUNT_DISABLED.
        1331 => "the account is disabled",
        // ERROR_TIME_SKEW.
        1398 => "its clock and that of this host differ too much",
        // ERROR_ACCOUNT_EXPIRED.
        1793 => "the account has expired",
        // ERROR_ACCOUNT_LOCKED_OUT.
        1909 => "the account is locked",
        _ => return None,
    })
}

/// Why a server cannot be reached, where the code says so.
fn obstacle(code: u32) -> Option<&'static str> {
    Some(match code {
        // ERROR_REM_NOT_LIST, _BAD_NETPATH, _NO_NET_OR_BAD_PATH.
        51 | 53 | 1203 => "no SMB server of that name answers",
        // ERROR_UNEXP_NET_ERR, _NETNAME_DELETED, _CONNECTION_ABORTED.
        59 | 64 | 1236 => "what answers there breaks off, and may be no SMB server",
        // ERROR_REQ_NOT_ACCEP, _REMOTE_SESSION_LIMIT_EXCEEDED.
        71 | 1220 => "it takes no more connections now",
        // ERROR_SEM_TIMEOUT, _TIMEOUT.
        121 | 1460 => "no answer came in time",
        // ERROR_CONNECTION_REFUSED.
        1225 => "nobody listens there",
        // ERROR_NETWORK_UNREACHABLE, _HOST_UNREACHABLE.
        1231 | 1232 => "no way leads there",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
