//! Many disks, and targets in each other.

use super::vm::{Vm, said};
use super::{number, turn};
use crate::command::Cvol;

#[test]
fn a_machine_has_many_disks_and_mounts_in_mounts_whatever_their_order() {
    let _turn = turn();
    let cvol = Cvol::new();
    let Some(vm) = Vm::boot(&cvol, "many") else {
        return;
    };
    let before = vm.state();
    many_disks(&cvol, &vm);
    assert_eq!(vm.state(), before);
    nested(&cvol, &vm);
    assert_eq!(vm.state(), before);
    paths_of_the_host(&cvol, &vm);
    assert_eq!(vm.state(), before);
    vm.assert_nothing_attached();
}

fn many_disks(cvol: &Cvol, vm: &Vm<'_>) {
    let count = number("CVOL_ATTACH_DISKS", 8);
    let mut mounts = Vec::new();
    for index in 0..count {
        let name = format!("v{index}");
        cvol.ok(&["create", &name, "--size", "16M"]);
        mounts.push(format!("source={name},target=/many/{index}"));
    }
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let begun = std::time::Instant::now();
    vm.attach(&mounts);
    println!("{count} disks in {:.1} s", begun.elapsed().as_secs_f64());
    vm.sh(&format!(
        "for i in $(seq 0 {}); do echo $i > /many/$i/number; done",
        count - 1
    ));
    assert_eq!(vm.exports().len(), 2 * count);
    vm.detach_all();
    for index in 0..count {
        let read = cvol.ok(&["cat", &format!("v{index}:/number")]);
        assert_eq!(read, format!("{index}\n"));
    }
}

fn nested(cvol: &Cvol, vm: &Vm<'_>) {
    // The innermost first: they are mounted from the outside in all the same.
    vm.attach(&[
        "source=v1,target=/outer/middle/inner",
        "type=tmpfs,target=/outer/middle",
        "source=v0,target=/outer",
    ]);
    assert_eq!(
        vm.sh("cat /outer/number /outer/middle/inner/number"),
        "0\n1\n"
    );
    // What something lies in stays until that is gone.
    let error = cvol.fails(5, &["detach", "--vm", "many", "/outer"]);
    assert!(error.contains("lies in"), "{error}");
    // Over it nothing can be put that would hide it.
    let hides = vm.try_attach(&["type=tmpfs,target=/outer/middle"]);
    assert_eq!(hides.status.code(), Some(5), "{}", said(&hides));
    vm.detach_all();
}

fn paths_of_the_host(cvol: &Cvol, vm: &Vm<'_>) {
    let work = cvol.work();
    let bind = |path: &str, more: &str| format!("type=bind,source={path},target=/bind{more}");
    let missing = work.join("a/b").display().to_string();
    let output = vm.try_attach(&[&bind(&missing, "")]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    vm.attach(&[&bind(&missing, ",create")]);
    assert!(work.join("a/b").is_dir());
    vm.detach_all();
    assert!(!work.join("a").exists(), "what was made is removed again");
    // A file by itself, and nothing beside it.
    std::fs::create_dir(work.join("c")).unwrap();
    std::fs::write(work.join("c/one"), "one").unwrap();
    let root = cvol.root();
    std::os::unix::fs::symlink(&root, work.join("c/link")).unwrap();
    for forbidden in [
        "/".to_owned(),
        "/proc".to_owned(),
        root.display().to_string(),
        root.join("volumes").display().to_string(),
        work.join("c/link").display().to_string(),
    ] {
        let output = vm.try_attach(&[&bind(&forbidden, "")]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{forbidden}: {}",
            said(&output)
        );
    }
    let outside = work.join("c").display().to_string();
    let output = cvol
        .command(&["attach", "--vm", "many", "-m", &bind(&outside, "")])
        .env("CVOL_MOUNT_ROOTS", work.join("elsewhere"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
