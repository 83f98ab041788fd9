//! Mounts of this host where Windows is not: what is refused, and what is advised.

use crate::Scratch;

#[test]
fn without_windows_mounting_says_what_to_do_instead() {
    if cfg!(windows) {
        return;
    }
    let scratch = Scratch::new();
    scratch.ok(&["create", "data", "--size", "64M"]);
    for arguments in [
        &["mount", "data", "X:"][..],
        &["umount", "X:"],
        &["create", "big", "--size", "2G", "--fs", "refs"],
        &["create", "layer", "--size", "2G", "--fs", "scratch"],
    ] {
        let error = scratch.json_error(arguments, 7);
        let told = error["error"]["message"].as_str().unwrap();
        assert!(
            told.contains("cvol serve") || told.contains("fs=ntfs"),
            "{told}"
        );
    }
    assert_eq!(scratch.ok(&["ls", "--quiet"]).stdout, "data\n");
    assert_eq!(scratch.ok(&["mounts", "--quiet"]).stdout, "");
}

/// Under Wine virtdisk.dll does nothing and says so; what is claimed for a mount that fails is free again.
#[cfg(windows)]
#[test]
fn a_mount_that_windows_refuses_leaves_the_volume_free() {
    let scratch = Scratch::new();
    scratch.ok(&["create", "data", "--size", "64M"]);
    let run = scratch.run(&["mount", "data", "X:"]);
    assert_ne!(run.code, 0, "{}", run.stdout);
    assert!(run.stderr.contains("data"), "{}", run.stderr);
    assert_eq!(scratch.ok(&["mounts", "--quiet"]).stdout, "");
    scratch.ok(&["rm", "data"]);
}
