//! Windows: servers are not spoken to from here yet.

use std::time::Duration;

use super::{Login, ServerShare, SmbFailure};

/// Not possible here.
pub(super) fn enter(
    _login: &Login<'_>,
    _share: &str,
    _path: &str,
    _limit: Duration,
) -> Result<(), SmbFailure> {
    Err(SmbFailure::System)
}

/// Not possible here.
pub(super) fn list_shares(
    _login: &Login<'_>,
    _limit: Duration,
) -> Result<Vec<ServerShare>, SmbFailure> {
    Err(SmbFailure::System)
}
