//! Unix: no core dump, here and in what is started from here; on Linux nobody else may look in either.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From now on.
pub(crate) fn keep() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Where the host refuses, it is as it was before: a password is safe but for a crash.
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
