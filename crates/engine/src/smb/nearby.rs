//! SMB servers that answer on the local network (mDNS, `_smb._tcp`), within a bounded time and number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};

use super::{NearbyServer, SmbFailure};

/// What SMB servers announce themselves as.
const SERVICE: &str = "_smb._tcp.local.";
/// The most servers that are listed; more would be somebody's flood.
const MAX_SERVERS: usize = 1000;
/// The longest name that is shown, in characters.
const MAX_NAME: usize = 255;

/// Asks, and listens for `limit`.
pub(super) fn ask(limit: Duration) -> Result<Vec<NearbyServer>, SmbFailure> {
    let fail = |error: mdns_sd::Error| SmbFailure::Network {
        reason: error.to_string(),
    };
    let daemon = ServiceDaemon::new().map_err(fail)?;
    let events = daemon.browse(SERVICE).map_err(fail)?;
    let begun = Instant::now();
    let mut found = BTreeMap::new();
    while let Some(left) = limit.checked_sub(begun.elapsed()) {
        // An end of the events is an end of the time: nobody answers any more.
        let Ok(event) = events.recv_timeout(left) else {
            break;
        };
        if let ServiceEvent::ServiceResolved(service) = event
            && found.len() < MAX_SERVERS
        {
            found.insert(service.fullname.clone(), server(&service));
        }
    }
    // Where it does not end by itself, it ends with this program.
    let _ = daemon.shutdown();
    let mut servers: Vec<NearbyServer> = found.into_values().collect();
    servers.sort();
    Ok(servers)
}

fn server(service: &ResolvedService) -> NearbyServer {
    let short = |text: &str| text.chars().take(MAX_NAME).collect::<String>();
    let name = service.fullname.strip_suffix(SERVICE);
    let name = name.unwrap_or(&service.fullname).trim_end_matches('.');
    let mut addresses: Vec<String> = service
        .addresses
        .iter()
        .map(|address| address.to_ip_addr().to_string())
        .collect();
    addresses.sort();
    addresses.dedup();
    NearbyServer {
        name: short(name),
        host: short(service.host.trim_end_matches('.')),
        port: service.port,
        addresses,
    }
}
