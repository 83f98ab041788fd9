//! Sockets of the hypervisor: the way to an agent in a guest without any network.
//!
//! The machine is named by its runtime identifier, which is not what it is opened by; the agent by a
//! service that stands for a port of the guest, by the template that Linux has for these. So an agent in
//! Linux listens at a port of vsock, and one in Windows at the service itself.

#[cfg(not(windows))]
#[path = "hvsocket/absent.rs"]
mod platform;
#[cfg(windows)]
#[path = "hvsocket/windows.rs"]
mod platform;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use guest_proto::{HYPERVISOR_PORT, hypervisor_service};

use crate::sides::{Fault, FaultKind};

use super::compute_core::ComputeCore;
use super::system::HcsSystem;

/// A connection to the agent in the guest of a machine. Its timeouts, and all else about it, are those of
/// a socket of TCP.
///
/// # Errors
/// `Unsupported` where there are no such sockets; what the service or the system says.
pub fn connect_to_guest(
    core: &Arc<dyn ComputeCore>,
    id: &str,
    limit: Duration,
) -> io::Result<TcpStream> {
    let machine = runtime_id(core, id, limit).map_err(|fault| {
        let kind = match fault.kind() {
            FaultKind::Unsupported => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, fault)
    })?;
    platform::connect(machine, hypervisor_service(HYPERVISOR_PORT), limit)
}

/// What the sockets know a machine by.
fn runtime_id(core: &Arc<dyn ComputeCore>, id: &str, limit: Duration) -> Result<u128, Fault> {
    let told = HcsSystem::open(core, id)?.runtime_id(limit)?;
    // One that tells none of its own is known by what it is opened by.
    let told = told.as_deref().unwrap_or(id);
    guid(told).ok_or_else(|| {
        let what = format!("the machine {id} has no runtime identifier that sockets could lead to");
        Fault::new(FaultKind::Unsupported, what)
    })
}

/// A GUID in digits, in braces or not.
fn guid(text: &str) -> Option<u128> {
    let bare = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let parts: Vec<&str> = bare.unwrap_or(text).split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = parts.concat();
    let is_one = lengths == [8, 4, 4, 4, 12] && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| u128::from_str_radix(&digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_service_by_the_template_of_linux() {
        let template = guid("00000000-facb-11e6-bd58-64006a7986d3").unwrap();
        assert_eq!(hypervisor_service(0), template);
        let service = guid("{63766F6C-facb-11e6-bd58-64006a7986d3}").unwrap();
        assert_eq!(hypervisor_service(HYPERVISOR_PORT), service);
        // Linux takes no port with the highest bit set.
        assert_eq!(HYPERVISOR_PORT >> 31, 0);
    }

    #[test]
    fn what_is_no_guid_is_none() {
        for text in [
            "",
            "web",
            "63766f6c-facb-11e6-bd58-64006a7986d",
            "63766f6c-facb-11e6-bd58+64006a7986d3",
        ] {
            assert_eq!(guid(text), None, "{text}");
        }
    }
}
