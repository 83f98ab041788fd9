//! Windows: its own client for SMB servers tries logins. The shares of a server are not listed from here yet.

use std::sync::Arc;
use std::time::Duration;

use super::{Login, ServerShare, SmbFailure, network};

/// Logs in and looks for a share and a path in it.
pub(super) fn enter(
    login: &Login<'_>,
    share: &str,
    path: &str,
    limit: Duration,
) -> Result<(), SmbFailure> {
    let visit = network::Visit::new(login, share, path)?;
    match volume::network_of_system() {
        Ok(calls) => network::enter(Arc::new(calls), visit, limit),
        Err(refusal) => Err(visit.failure(&refusal)),
    }
}

/// Not possible here.
pub(super) fn list_shares(
    _login: &Login<'_>,
    _limit: Duration,
) -> Result<Vec<ServerShare>, SmbFailure> {
    Err(SmbFailure::System)
}
