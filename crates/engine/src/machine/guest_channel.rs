//! The way to the agent in a guest of the Host Compute Service.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The way to the agent in a guest of the Host Compute Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum GuestChannel {
    /// A socket of the hypervisor, to the machine itself.
    #[default]
    HvSocket,
    /// A socket of TCP on this host, where whoever can connect is obeyed: for tunnels and tests.
    Tcp(SocketAddr),
    /// None: whoever runs the machine mounts in the guest himself.
    None,
}

/// A word that is no way to a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no way to a guest: {reason}")]
pub struct GuestChannelError {
    word: String,
    reason: &'static str,
}

impl FromStr for GuestChannel {
    type Err = GuestChannelError;

    fn from_str(word: &str) -> Result<Self, GuestChannelError> {
        let refused = |reason| GuestChannelError {
            word: word.to_owned(),
            reason,
        };
        match word {
            "hvsocket" => return Ok(Self::HvSocket),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let Some(place) = word.strip_prefix("tcp:") else {
            return Err(refused("known are hvsocket, tcp:127.0.0.1:PORT and none"));
        };
        let address = address(place).ok_or(refused(
            "an address and a port are needed, as in tcp:127.0.0.1:7000",
        ))?;
        if !address.ip().is_loopback() {
            return Err(refused(
                "only addresses of this host itself (127.0.0.1, [::1]) are taken, since nobody proves \
                 there who he is; lead a tunnel to it",
            ));
        }
        if address.port() == 0 {
            return Err(refused("0 is no port"));
        }
        Ok(Self::Tcp(address))
    }
}

/// An address in digits: names are nothing that a loopback can be told by.
fn address(place: &str) -> Option<SocketAddr> {
    match place.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse().ok()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        }
        None => place.parse().ok(),
    }
}

impl fmt::Display for GuestChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HvSocket => f.write_str("hvsocket"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::None => f.write_str("none"),
        }
    }
}

impl TryFrom<String> for GuestChannel {
    type Error = GuestChannelError;

    fn try_from(word: String) -> Result<Self, GuestChannelError> {
        word.parse()
    }
}

impl From<GuestChannel> for String {
    fn from(channel: GuestChannel) -> Self {
        channel.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_read_as_they_are_written_and_only_this_host_is_taken() {
        for word in ["hvsocket", "none", "tcp:127.0.0.1:7000", "tcp:[::1]:7000"] {
            let channel: GuestChannel = word.parse().unwrap();
            assert_eq!(channel.to_string(), word);
        }
        let named: GuestChannel = "tcp:localhost:7".parse().unwrap();
        assert_eq!(named.to_string(), "tcp:127.0.0.1:7");
        for (word, reason) in [
            ("tcp:10.0.0.1:7000", "lead a tunnel"),
            ("tcp:0.0.0.0:7000", "lead a tunnel"),
            ("tcp:[::]:7000", "lead a tunnel"),
            ("tcp:example.org:7000", "an address and a port"),
            ("tcp:127.0.0.1", "an address and a port"),
            ("tcp:127.0.0.1:0", "no port"),
            ("tcp:127.0.0.1:70000", "an address and a port"),
            ("vsock", "known are"),
            ("", "known are"),
        ] {
            let error = word.parse::<GuestChannel>().unwrap_err().to_string();
            assert!(error.contains(reason), "{word}: {error}");
        }
    }
}
