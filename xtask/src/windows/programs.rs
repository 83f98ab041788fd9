//! Programs in C that use the library containerv_volume, compiled by mingw against the installed layout
//! and run under Wine: the same tests and examples that this machine runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Target;
use super::wine::{Wine, in_windows};
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

const PROGRAMS: [Program; 13] = [
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
    program(&["crates/capi/tests/c/from_cpp.cpp"], "from_cpp: ok"),
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

/// The one that needs the Host Compute Service, or the double of it.
const WITH_SERVICE: Program = program(&["crates/capi/tests/c/hyperv.c"], "hyperv: ");

/// What it says where nothing went wrong.
const WHOLE: &str = "hyperv: ok";

/// The library, installed, and a folder for programs with it.
struct Installed {
    prefix: PathBuf,
    folder: PathBuf,
}

impl Installed {
    fn prepare(target: &Target) -> Result<Self, Failure> {
        let built = capi_install::build_for_windows(target, false)?;
        let prefix = workspace::scratch("windows/capi-prefix")?;
        capi_install::install_for_windows(&prefix, &built)?;
        let folder = workspace::empty_scratch("windows/capi-programs")?;
        let library = prefix.join("bin/containerv_volume.dll");
        std::fs::copy(&library, folder.join("containerv_volume.dll"))
            .map_err(|error| Failure::io("copying", &library, &error))?;
        Ok(Self { prefix, folder })
    }
}

pub(super) fn run(target: &Target) -> Outcome {
    let installed = Installed::prepare(target)?;
    let wine = Wine::prepare()?;
    let _up = wine.stay_up()?;
    for (number, program) in PROGRAMS.iter().enumerate() {
        let compiled = compile(program, number, &installed)?;
        run_one(program, wine.command(&compiled))?;
    }
    println!("windows: {} programs in C ran under Wine", PROGRAMS.len());
    Ok(())
}

/// The program that brings volumes into a machine by its system id, once as it should be and then with
/// each call of the service refused in turn. `with_host` gives a command a host of the double that has the
/// machine, the calls that go wrong, and says afterwards what is left in it.
pub(super) fn run_with_service(target: &Target, wine: &Wine, host: &dyn DoubledHost) -> Outcome {
    let installed = Installed::prepare(target)?;
    let compiled = compile(&WITH_SERVICE, PROGRAMS.len(), &installed)?;
    let run = |refusal: Option<Refusal>| -> Result<bool, Failure> {
        let mut command = wine.command(&compiled);
        host.equip(&mut command, refusal)?;
        let said = run_one(&WITH_SERVICE, command)?;
        host.check_empty()?;
        Ok(said.contains(WHOLE))
    };
    if !run(None)? {
        return Err(Failure::new("hyperv.c was undone, and nothing was refused"));
    }
    let calls = host.calls()?;
    let mut undone = 0;
    for is_done in [false, true] {
        for call in 1..=calls {
            // Refused to whoever only looks, a call changes nothing.
            let is_whole = run(Some(Refusal { call, is_done }))?;
            undone += u32::from(!is_whole);
        }
    }
    println!(
        "windows: hyperv.c left nothing with each of {calls} calls refused, and undid {undone} attachments"
    );
    Ok(())
}

/// A call of the service that is refused, before its work or after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    /// Counted from 1.
    pub(super) call: u32,
    pub(super) is_done: bool,
}

/// A host of the double of the service, for one program after the other.
pub(super) trait DoubledHost {
    /// Gives a program a fresh host, which refuses one call or none.
    fn equip(&self, command: &mut Command, refusal: Option<Refusal>) -> Outcome;

    /// Fails where the program left something in it.
    fn check_empty(&self) -> Outcome;

    /// How many calls the last program made.
    fn calls(&self) -> Result<u32, Failure>;
}

fn compile(program: &Program, number: usize, installed: &Installed) -> Result<PathBuf, Failure> {
    let Installed { prefix, folder } = installed;
    let place = folder.join(format!("program-{number}.exe"));
    let is_cpp = program
        .sources
        .iter()
        .all(|source| source.ends_with(".cpp"));
    let (name, words) = match is_cpp {
        // Its own library goes with the program: Wine has none.
        true => (
            "x86_64-w64-mingw32-g++",
            &["-std=c++11", "-static-libgcc", "-static-libstdc++"][..],
        ),
        false => ("x86_64-w64-mingw32-gcc", &["-std=c99"][..]),
    };
    let mut compiler = Command::new(name);
    compiler.args(words);
    compiler.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
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

/// What it said.
fn run_one(program: &Program, mut command: Command) -> Result<String, Failure> {
    // Not below the checkout: sockets of machines lie in it, whose paths are bounded.
    let work = std::env::temp_dir().join(format!("cvol-capi-{}", std::process::id()));
    workspace::remove_tree(&work)?;
    std::fs::create_dir_all(&work).map_err(|error| Failure::io("making", &work, &error))?;
    let said = workspace::empty_scratch("windows/capi-said")?;
    command.arg(in_windows(&work)).args(program.arguments);
    let output = process::output_within(&mut command, &said, LIMIT)?;
    workspace::remove_tree(&work)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.contains(program.says) {
        return Ok(text.into_owned());
    }
    Err(Failure::new(format!(
        "{} under Wine ended with {}: {text}{}",
        program.sources.join(", "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}
