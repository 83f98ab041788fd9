//! Programs in C that use the library containerv_volume, compiled by mingw against the installed layout
//! and run under Wine: the same tests and examples that this machine runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Target;
use super::wine::Wine;
use crate::failure::{Failure, Outcome};
use crate::{capi_install, process, workspace};

/// How long one program may take.
const LIMIT: Duration = Duration::from_secs(300);

/// How a program is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    Shared,
    Static,
}

/// A program: its sources, words for the compiler and for itself, and what it is to print.
struct Program {
    sources: &'static [&'static str],
    compiler: &'static [&'static str],
    arguments: &'static [&'static str],
    says: &'static str,
    linked: Linked,
}

const fn program(sources: &'static [&'static str], says: &'static str) -> Program {
    Program {
        sources,
        compiler: &[],
        arguments: &[],
        says,
        linked: Linked::Shared,
    }
}

const PROGRAMS: [Program; 12] = [
    program(&["crates/capi/tests/c/abi.c"], "abi: ok"),
    program(&["crates/capi/tests/c/bad_input.c"], "bad_input: ok"),
    program(&["crates/capi/tests/c/life.c"], "life: ok"),
    program(&["crates/capi/tests/c/mounts.c"], "mounts: ok"),
    program(&["crates/capi/tests/c/session.c"], "session: ok"),
    program(&["crates/capi/tests/c/threads.c"], "threads: ok"),
    Program {
        arguments: &["10000", "20"],
        ..program(&["crates/capi/tests/c/leak.c"], "leak: ok after 10")
    },
    program(
        &["crates/capi/tests/c/beside_containerv.c"],
        "beside_containerv: ok",
    ),
    Program {
        compiler: &["-DCONTAINERV_VOLUME_DLL"],
        ..program(&["examples/c/volumes.c"], "data is ready and takes")
    },
    program(
        &[
            "examples/c/containerv/main.c",
            "examples/c/containerv/volume-manager.c",
        ],
        "MappedVirtualDisks",
    ),
    Program {
        linked: Linked::Static,
        ..program(&["crates/capi/tests/c/bad_input.c"], "bad_input: ok")
    },
    Program {
        linked: Linked::Static,
        ..program(&["crates/capi/tests/c/abi.c"], "abi: ok")
    },
];

pub(super) fn run(target: &Target) -> Outcome {
    let built = capi_install::build_for_windows(target, false)?;
    let prefix = workspace::scratch("windows/capi-prefix")?;
    capi_install::install_for_windows(&prefix, &built)?;
    let wine = Wine::prepare()?;
    let _up = wine.stay_up()?;
    let folder = workspace::empty_scratch("windows/capi-programs")?;
    let library = prefix.join("bin/containerv_volume.dll");
    std::fs::copy(&library, folder.join("containerv_volume.dll"))
        .map_err(|error| Failure::io("copying", &library, &error))?;
    for (number, program) in PROGRAMS.iter().enumerate() {
        let compiled = compile(program, number, &prefix, &folder)?;
        run_one(program, &compiled, &wine)?;
    }
    println!("windows: {} programs in C ran under Wine", PROGRAMS.len());
    Ok(())
}

fn compile(
    program: &Program,
    number: usize,
    prefix: &Path,
    folder: &Path,
) -> Result<PathBuf, Failure> {
    let place = folder.join(format!("program-{number}.exe"));
    let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
    compiler.args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    // Formats of C99, not those of the old runtime.
    compiler.args(["-O1", "-D__USE_MINGW_ANSI_STDIO=1"]);
    compiler.args(program.compiler);
    let root = workspace::root();
    compiler.args(program.sources.iter().map(|source| root.join(source)));
    compiler.arg("-I").arg(prefix.join("include"));
    match program.linked {
        Linked::Shared => {
            compiler.arg("-L").arg(prefix.join("lib"));
            compiler.arg("-lcontainerv_volume");
        }
        Linked::Static => {
            compiler.arg(prefix.join("lib/libcontainerv_volume.a"));
            compiler.args(capi_install::STATIC_WINDOWS.split(' '));
        }
    }
    compiler.arg("-o").arg(&place);
    process::run(&mut compiler)?;
    Ok(place)
}

fn run_one(program: &Program, compiled: &Path, wine: &Wine) -> Outcome {
    let work = workspace::empty_scratch("windows/capi-work")?;
    let said = workspace::empty_scratch("windows/capi-said")?;
    let mut command = wine.command(compiled);
    // Under Wine the drive Z: is the root of this machine.
    let work = format!("Z:{}", work.display()).replace('/', "\\");
    command.arg(work).args(program.arguments);
    let output = process::output_within(&mut command, &said, LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.contains(program.says) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} under Wine ended with {}: {text}{}",
        program.sources.join(", "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}
