//! A share of an SMB server and who logs in there, as a volume names them.
//!
//! Invariant: no part holds a character that a mount option, a command line or a file of credentials
//! could take for something else.

use std::fmt;
use std::net::Ipv6Addr;

/// The longest name of a host or share, in bytes.
const MAX_NAME_LENGTH: usize = 255;
/// The longest path in a share, in bytes.
const MAX_PATH_LENGTH: usize = 4096;
/// The longest user name, in characters: what Windows allows of a principal name.
const MAX_USER_LENGTH: usize = 256;
/// Characters that the user names of Windows cannot have, and that tools give a meaning.
const USER_FORBIDDEN: &str = "\"/\\[]:;|=,+*?<>%";
/// Accounts that ask for no password.
const GUESTS: [&str; 2] = ["guest", "anonymous"];

/// A share of a server, and the path in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbShare {
    server: String,
    port: Option<u16>,
    share: String,
    path: String,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbUser {
    name: String,
    domain: Option<String>,
}

impl SmbShare {
    /// Reads `//server[:port]/share[/path]`, or the same with backslashes. An IPv6 address stands in
    /// brackets.
    ///
    /// # Errors
    /// What is wrong with it, for a message.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.replace('\\', "/");
        let rest = text
            .strip_prefix("//")
            .ok_or("it does not begin with // or \\\\")?;
        let (host, rest) = rest.split_once('/').ok_or("it names no share")?;
        let (server, port) = parse_server(host)?;
        let (share, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        let plain = |c: char| c.is_alphanumeric() || " ._-$".contains(c);
        if share.is_empty() || share.len() > MAX_NAME_LENGTH || !share.chars().all(plain) {
            return Err("its share has a character that names of shares cannot have");
        }
        if path.len() > MAX_PATH_LENGTH || path.contains(|c: char| c.is_control() || c == ',') {
            return Err("its path is too long, or holds a comma or a control character");
        }
        let climbs = |name: &str| matches!(name, "" | "." | "..");
        if !path.is_empty() && path.split('/').any(climbs) {
            return Err("its path leads upward or has an empty name");
        }
        Ok(Self {
            server,
            port,
            share: share.to_owned(),
            path: path.to_owned(),
        })
    }

    /// The server: a name or an address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The port, where it is not the one of SMB.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The share.
    pub fn share(&self) -> &str {
        &self.share
    }

    /// The path in the share, without slashes at its ends; may be empty.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// A server and its port: `server`, `server:port`, `[::1]`, `[::1]:port`.
///
/// # Errors
/// What is wrong with it, for a message.
pub fn parse_server(text: &str) -> Result<(String, Option<u16>), &'static str> {
    const WRONG: &str = "its server is no name or address of a host";
    let (server, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(WRONG)?;
            address.parse::<Ipv6Addr>().map_err(|_| WRONG)?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(WRONG)?),
            };
            (address, port)
        }
        None => match text.split_once(':') {
            Some((server, port)) => (server, Some(port)),
            None => (text, None),
        },
    };
    let is_bracketed = text.starts_with('[');
    let plain = |c: char| c.is_alphanumeric() || ".-_".contains(c);
    let is_name = server.chars().all(plain) && !server.starts_with(['-', '.']);
    if server.is_empty() || server.len() > MAX_NAME_LENGTH || !(is_name || is_bracketed) {
        return Err(WRONG);
    }
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(0)) | Some(Err(_)) => return Err("its port is no number from 1 to 65535"),
        Some(Ok(port)) => Some(port),
    };
    Ok((server.to_owned(), port))
}

impl SmbUser {
    /// Checks a name, which may be `DOMAIN\name`, and a domain.
    ///
    /// # Errors
    /// What is wrong with them, for a message.
    pub fn new(name: &str, domain: Option<&str>) -> Result<Self, &'static str> {
        let (domain, name) = match (name.split_once('\\'), domain) {
            (Some(_), Some(_)) => return Err("it names a domain, and so does the option domain"),
            (Some((domain, name)), None) => (Some(domain), name),
            (None, domain) => (domain, name),
        };
        let wrong = |c: char| c.is_control() || USER_FORBIDDEN.contains(c);
        if name.is_empty() || name.chars().count() > MAX_USER_LENGTH || name.contains(wrong) {
            return Err("it is empty, too long, or holds a character that user names cannot have");
        }
        if name.trim() != name {
            return Err("it begins or ends with a blank");
        }
        if GUESTS.contains(&name.to_lowercase().as_str()) {
            return Err(
                "guests prove nothing: anybody could stand in for the server or for them; \
                        make an account with a password",
            );
        }
        let plain = |c: char| c.is_alphanumeric() || ".-_".contains(c);
        if domain.is_some_and(|domain| {
            domain.is_empty() || domain.len() > MAX_NAME_LENGTH || !domain.chars().all(plain)
        }) {
            return Err("its domain is no name of a domain or workgroup");
        }
        Ok(Self {
            name: name.to_owned(),
            domain: domain.map(str::to_owned),
        })
    }

    /// The name, without a domain.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The domain or workgroup, where there is one.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }
}

/// `//server[:port]/share[/path]`, which [`SmbShare::parse`] reads back.
impl fmt::Display for SmbShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.server.contains(':') {
            write!(f, "//[{}]", self.server)?;
        } else {
            write!(f, "//{}", self.server)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.share)?;
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_both_spellings_and_read_back() {
        for (text, canonical) in [
            ("//srv/data", "//srv/data"),
            (r"\\srv\data\a\b", "//srv/data/a/b"),
            ("//srv:1445/data/a/", "//srv:1445/data/a"),
            ("//[fe80::1]:445/x$", "//[fe80::1]:445/x$"),
            ("//10.0.2.2/My Data/\u{e4}", "//10.0.2.2/My Data/\u{e4}"),
        ] {
            let share = SmbShare::parse(text).unwrap();
            assert_eq!(share.to_string(), canonical);
            assert_eq!(SmbShare::parse(canonical), Ok(share));
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in [
            "",
            "/srv/data",
            "//srv",
            "//srv/",
            "///data",
            "//-srv/data",
            "//s rv/data",
            "//s,rv/data",
            "//srv:0/data",
            "//srv:65536/data",
            "//srv:/data",
            "//srv:1:2/data",
            "//[::1/data",
            "//[x]/data",
            "//::1/data",
            "//srv/da,ta",
            "//srv/da%ta",
            "//srv/data/../x",
            "//srv/data/./x",
            "//srv/data/a//b",
            "//srv/data/a,b",
            "//srv/data/a\nb",
            "//srv/data/a\0b",
            "//srv@host/data",
        ] {
            assert!(SmbShare::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn guests_and_names_with_a_meaning_do_not_log_in() {
        let ann = SmbUser::new("CORP\\ann", None).unwrap();
        assert_eq!((ann.name(), ann.domain()), ("ann", Some("CORP")));
        assert!(SmbUser::new("ann@corp.example", Some("corp.example")).is_ok());
        for (name, domain) in [
            ("", None),
            ("Guest", None),
            ("anonymous", None),
            ("CORP\\guest", None),
            ("a%b", None),
            ("a\nb", None),
            ("a,b", None),
            (" ann", None),
            ("CORP\\ann", Some("CORP")),
            ("ann", Some("")),
            ("ann", Some("a b")),
            ("a\\b\\c", None),
        ] {
            assert!(SmbUser::new(name, domain).is_err(), "{name:?} {domain:?}");
        }
    }
}
