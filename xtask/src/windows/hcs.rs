//! The Host Compute Service under Wine, by a test double of its library: programs in C that use all of
//! it, and `cvol.exe` that attaches volumes through it to a machine of QEMU. What the double takes was
//! read, never asked of a real Windows.
//!
//! The double lies where the library would, in the system folder of a Wine prefix of its own. The tests
//! with the machine are those of `crates/e2e/tests/it/hcs/`, which are told here what they need.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::Target;
use super::programs::{DoubledHost, Refusal, run_with_service};
use super::wine::{Wine, in_windows};
use crate::failure::{Failure, Outcome};
use crate::{agent, demo, process, setup, test, workspace};

/// How long one program in C may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The library, as cargo names it.
const LIBRARY: &str = "computecore.dll";

/// The machine that `hyperv.c` knows, and its disk controller, the first of hcsshim's.
const MACHINE: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
const CONTROLLER: &str = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a";

/// `E_ACCESSDENIED`.
const ACCESS_DENIED: u32 = 0x8007_0005;

/// A program in C: its name, words for the compiler, what it prints, and what the log of the double ends
/// with.
struct Program {
    name: &'static str,
    compiler: &'static [&'static str],
    says: &'static str,
    log_ends: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "imports",
        compiler: &[],
        says: "imports: ok, 56 names",
        log_ends: "",
    },
    Program {
        name: "life",
        compiler: &["-municode"],
        says: "life: ok",
        // It leaves one open, which is to be noticed.
        log_ends: "None",
    },
];

pub(super) fn run(target: &Target, words: &[String]) -> Outcome {
    let mut build = target.cargo("build");
    build.args(["-p", "hcs_double", "-p", "cli", "--lib", "--bin", "cvol"]);
    process::run(&mut build)?;
    let built = target.programs("debug");
    let wine = Wine::prepare_in("wine-hcs")?;
    wine.add_library(&built.join(LIBRARY))?;
    let _up = wine.stay_up()?;
    if words.is_empty() {
        programs(&wine)?;
        run_with_service(target, &wine, &Host::new()?)?;
    }
    machine(&wine, &built.join("cvol.exe"), words)
}

fn programs(wine: &Wine) -> Outcome {
    let folder = workspace::empty_scratch("windows/hcs-programs")?;
    let (raw, image) = (folder.join("empty.raw"), folder.join("a.vhdx"));
    let made = std::fs::File::create(&raw).and_then(|file| file.set_len(32 << 20));
    made.map_err(|error| Failure::io("making", &raw, &error))?;
    let mut convert = Command::new(demo::build(false)?);
    process::run(convert.arg("convert").arg(&raw).arg(&image))?;
    for program in &PROGRAMS {
        run_one(program, wine, &folder)?;
    }
    println!(
        "windows: {} programs in C used the double of {LIBRARY} under Wine",
        PROGRAMS.len()
    );
    Ok(())
}

fn run_one(program: &Program, wine: &Wine, folder: &Path) -> Outcome {
    let name = program.name;
    let place = folder.join(format!("{name}.exe"));
    let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
    compiler.args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    compiler.args(["-O1", "-D__USE_MINGW_ANSI_STDIO=1"]);
    compiler.args(program.compiler);
    let source = format!("crates/hcs_double/tests/c/{name}.c");
    compiler.arg(workspace::root().join(source)).arg("-o");
    compiler.arg(&place).arg("-lcomputecore");
    process::run(&mut compiler)?;
    let log = folder.join(format!("{name}.log"));
    let mut command = wine.command(&place);
    command.arg(in_windows(folder));
    command.env("HCS_DOUBLE_LOG", in_windows(&log));
    command.env("HCS_DOUBLE_STATE", in_windows(&folder.join("host.json")));
    let output = process::output_within(&mut command, folder, LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains(program.says) {
        return Err(Failure::new(format!(
            "{name}.c under Wine ended with {}: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    let log = workspace::read_text(&log).unwrap_or_default();
    let open: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("open:"))
        .collect();
    let is_right = match program.log_ends {
        "" => open.is_empty(),
        end => open.len() == 1 && open.iter().all(|line| line.ends_with(end)),
    };
    if is_right {
        return Ok(());
    }
    Err(Failure::new(format!("{name}.c left open: {open:?}")))
}

/// A host with one machine that runs, kept in a file, and the log of what it was asked.
struct Host {
    file: PathBuf,
    log: PathBuf,
}

impl Host {
    fn new() -> Result<Self, Failure> {
        let folder = workspace::empty_scratch("windows/hcs-host")?;
        Ok(Self {
            file: folder.join("host.json"),
            log: folder.join("log"),
        })
    }
}

impl DoubledHost for Host {
    fn equip(&self, command: &mut Command, refusal: Option<Refusal>) -> Outcome {
        let host = json!({ "machines": { MACHINE: {
            "guest": "Windows",
            "state": "Running",
            "owner": "hyperv.c",
            "controllers": [CONTROLLER],
        }}});
        workspace::write(&self.file, host.to_string())?;
        command.env("HCS_DOUBLE_STATE", in_windows(&self.file));
        workspace::write(&self.log, "")?;
        command.env("HCS_DOUBLE_LOG", in_windows(&self.log));
        if let Some(Refusal { call, is_done }) = refusal {
            let kind = if is_done { "FailAfter" } else { "Fail" };
            let trouble = json!({ call.to_string(): { kind: ACCESS_DENIED } });
            command.env("HCS_DOUBLE_TROUBLE", trouble.to_string());
        }
        Ok(())
    }

    fn calls(&self) -> Result<u32, Failure> {
        let log = workspace::read_text(&self.log)?;
        let calls = log.lines().filter(|line| line.starts_with("call:"));
        u32::try_from(calls.count()).map_err(|_| Failure::new("the log of the double is too long"))
    }

    fn check_empty(&self) -> Outcome {
        let log = workspace::read_text(&self.log)?;
        let wrong = |line: &&str| line.starts_with("broken:") || line.starts_with("open:");
        if let Some(line) = log.lines().find(wrong) {
            return Err(Failure::new(format!("hyperv.c and the service: {line}")));
        }
        let text = workspace::read_text(&self.file)?;
        let host: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("the host of the double: {error}")))?;
        let disks = &host["machines"][MACHINE]["disks"];
        let lists = host["access"].as_object().into_iter().flatten();
        let may_open = lists
            .filter(|(_, list)| list["machines"] != json!([]))
            .count();
        // A program whose first call is refused writes nothing.
        let is_empty = disks.as_object().is_none_or(serde_json::Map::is_empty);
        if is_empty && may_open == 0 {
            return Ok(());
        }
        Err(Failure::new(format!(
            "hyperv.c left in the machine: {text}"
        )))
    }
}

/// Volumes in a machine of QEMU.
fn machine(wine: &Wine, cvol: &Path, words: &[String]) -> Outcome {
    test::prepare(false)?;
    let mut command = process::cargo();
    command
        .args(["test", "-p", "e2e", "--test", "it"])
        .env("CVOL_GUEST", setup::guest::folder())
        .env("CVOL_GUEST_AGENT", agent::build()?)
        .env("CVOL_NTFSCK", setup::ntfsck::program())
        .env("CVOL_HCS_WINE", wine.program())
        .env("CVOL_HCS_PROGRAM", cvol);
    wine.equip(&mut command);
    if process::in_ci() {
        command.arg("--locked");
    }
    command.args(["--", "--show-output"]);
    match words.is_empty() {
        true => command.arg("hcs::"),
        false => command.args(words),
    };
    let (outcome, count) = test::run_counted(&mut command)?;
    count.show();
    outcome
}
