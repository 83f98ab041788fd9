//! A program in C that brings a volume into a machine: `examples/c/attach.c`, with the library as it is
//! installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::vm::{Vm, said};
use crate::command::{Cvol, cvol_path};
use crate::tools;

/// The folder that the library is installed in.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-api");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let target = cvol_path().ancestors().nth(2).unwrap();
        let mut install = Command::new(env!("CARGO"));
        install.args(["run", "--quiet", "--package", "xtask", "--manifest-path"]);
        install.arg(manifest).arg("--target-dir").arg(target);
        install.env("CARGO_TARGET_DIR", target);
        install.args(["--", "capi-install", "--debug", "--prefix"]);
        succeed(install.arg(&prefix));
        prefix
    })
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn compile(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/c/attach.c");
    let library = prefix().join("lib");
    let program = folder.join("attach");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-Wall", "-Wextra", "-Werror"]);
    compiler.arg(source).arg("-o").arg(&program);
    compiler.arg("-I").arg(prefix().join("include"));
    compiler.arg("-L").arg(&library).arg("-lcontainerv_volume");
    compiler.arg(format!("-Wl,-rpath,{}", library.display()));
    succeed(&mut compiler);
    program
}

#[test]
fn a_program_in_c_brings_a_volume_into_a_machine_and_takes_it_away() {
    let _turn = super::turn();
    if !tools::needs(&["cc"]) {
        return;
    }
    let cvol = Cvol::new();
    let Some(vm) = Vm::boot(&cvol, "from-c") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path());
    let run = |words: &[&str]| -> Output {
        let mut command = Command::new(&program);
        command.arg(cvol.root()).arg("from-c").args(words);
        command.env("CVOL_PROGRAM", cvol_path()).output().unwrap()
    };
    let before = vm.state();

    let up = run(&["up", "/data"]);
    assert!(up.status.success(), "{}", said(&up));
    assert!(String::from_utf8_lossy(&up.stdout).contains("\"state\":\"attached\""));
    vm.sh("echo from the guest > /data/hello && sync");
    // The volume is the machine's: nobody else gets it meanwhile, by either way.
    let again = run(&["up", "/data"]);
    assert!(!again.status.success(), "{}", said(&again));
    assert_eq!(cvol.output(&["rm", "data"]).status.code(), Some(5));

    let down = run(&["down"]);
    assert!(down.status.success(), "{}", said(&down));
    vm.assert_nothing_attached();
    assert_eq!(vm.state(), before);
    assert_eq!(cvol.ok(&["cat", "data:/hello"]), "from the guest\n");
    // What is not there needs no taking away.
    assert!(run(&["down"]).status.success());
    cvol.ok(&["fsck", "data"]);
}
