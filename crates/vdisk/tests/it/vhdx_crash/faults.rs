//! A host that fails or is full: the caller is told, and nothing that was flushed is lost.

use super::*;

/// Runs a workload with one fault in it. What was flushed before stays, in every crash state.
fn survive_fault(target: FaultTarget, nth: u64, no_space: bool) -> (bool, bool) {
    let mut session = Session::new(Provisioning::Dynamic, 100 + nth);
    for _ in 0..10 {
        session.step().unwrap();
    }
    session.flush().unwrap();
    let mut fault = Fault::new(target, nth).after_bytes(512);
    if no_space {
        fault = fault.no_space().sticky();
    }
    session.storage.inject(fault);
    let (mut failed, mut poisoned) = (false, false);
    for _ in 0..25 {
        match session.step() {
            Ok(()) => {}
            Err(error) => {
                failed = true;
                poisoned |= error.kind() == blockio::IoErrorKind::Poisoned;
            }
        }
    }
    session.storage.clear_faults();
    if poisoned {
        // Given up for good: no later call is told of success.
        assert!(session.write(0, 1).is_err() && session.flush().is_err());
    }
    for state in session.storage.history().crash_states(few(nth)) {
        session.verify(&state);
    }
    (failed, poisoned)
}

#[test]
fn a_failing_host_is_reported_and_costs_nothing_that_was_flushed() {
    let (mut failures, mut given_up) = (0, 0);
    for target in [
        FaultTarget::Write,
        FaultTarget::Sync,
        FaultTarget::Zero,
        FaultTarget::SetLen,
    ] {
        for nth in 0..6 {
            let (failed, poisoned) = survive_fault(target, nth, false);
            failures += usize::from(failed);
            given_up += usize::from(poisoned);
        }
    }
    assert!(failures > 9 && given_up > 3, "{failures} {given_up}");
}

#[test]
fn a_full_host_is_reported_and_costs_nothing_that_was_flushed() {
    let failures = (0..12)
        .filter(|nth| survive_fault(FaultTarget::Change, *nth, true).0)
        .count();
    assert_eq!(failures, 12);
}

#[test]
fn a_failed_sync_gives_the_image_up() {
    let mut session = Session::new(Provisioning::Dynamic, 6);
    session.write(0, 1).unwrap();
    session.storage.inject(Fault::new(FaultTarget::Sync, 0));
    assert!(session.flush().is_err());
    let again = session.flush().unwrap_err();
    assert_eq!(again.kind(), blockio::IoErrorKind::Poisoned);
    let write = session.write(9, 1).unwrap_err();
    assert_eq!(write.kind(), blockio::IoErrorKind::Poisoned);
    let close = session.disk.take().unwrap().close().unwrap_err();
    assert_eq!(close.kind(), vdisk::ImageErrorKind::Poisoned);
}

#[test]
fn a_failed_payload_write_fails_its_request_alone() {
    let mut session = Session::new(Provisioning::Dynamic, 7);
    session.write(0, 1).unwrap();
    session.flush().unwrap();
    let fault = Fault::new(FaultTarget::Write, 0).after_bytes(512);
    session.storage.inject(fault);
    assert!(session.write(4 * SECTORS_PER_BLOCK, 4).is_err());
    // The half-written space is not shown by the block that gets it next.
    session.write(6 * SECTORS_PER_BLOCK + 100, 4).unwrap();
    session.flush().unwrap();
    let tags = session.contents(session.disk()).unwrap();
    assert_eq!(tags.len(), 5);
    assert!(check_all(&session) > 50);
}
