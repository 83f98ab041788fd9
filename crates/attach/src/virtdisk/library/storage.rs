//! The Storage Management API, through Windows PowerShell: the only documented way to the system's own
//! formatter for ReFS (see the ADR on host disks).
//!
//! The script is a constant. What differs from call to call goes by the environment, where nothing of it
//! is read as a command.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::functions::system_folder;
use crate::sides::{Fault, FaultKind};
use crate::virtdisk::FormatDisk;

/// How long formatting may take: it is a quick one.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(50);
/// The most that is told of what it said, in characters.
const MAX_WORDS: usize = 600;
/// The most that is read of what it said, in bytes.
const MAX_SAID: u64 = 64 << 10;

const SCRIPT: &str = "\
$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue'; \
$disk = Get-Disk -Number ([uint32] $env:CVOL_DISK); \
if ($disk.PartitionStyle -ne 'RAW') { throw 'the disk is not blank' }; \
Initialize-Disk -InputObject $disk -PartitionStyle GPT; \
$part = New-Partition -DiskNumber $disk.Number -UseMaximumSize; \
$how = @{ Partition = $part; FileSystem = $env:CVOL_FILE_SYSTEM; Confirm = $false; Force = $true }; \
if ($env:CVOL_LABEL) { $how.NewFileSystemLabel = $env:CVOL_LABEL }; \
$made = Format-Volume @how; \
Write-Output ('made ' + $made.FileSystem)";

/// Partitions and formats a blank disk.
pub(super) fn format(format: &FormatDisk) -> Result<(), Fault> {
    let program = system_folder()
        .map(|folder| folder.join(r"WindowsPowerShell\v1.0\powershell.exe"))
        .filter(|program| program.is_file())
        .ok_or_else(|| {
            let what = "the system's formatter is reached by Windows PowerShell, which is missing";
            Fault::new(FaultKind::Unsupported, what)
        })?;
    let mut command = Command::new(program);
    command
        .args([
            "-NoLogo",
            "-NoProfile",
            "-NonInteractive",
            "-Command",
            SCRIPT,
        ])
        .env("CVOL_DISK", format.disk.to_string())
        .env("CVOL_FILE_SYSTEM", format.file_system)
        .env("CVOL_LABEL", &format.label)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let failed = |what: String| Fault::new(FaultKind::Failed, what);
    let mut child = command
        .spawn()
        .map_err(|error| failed("cannot start Windows PowerShell".to_owned()).because(error))?;
    let said = child.stdout.take().map(read_all);
    let complained = child.stderr.take().map(read_all);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(PAUSE),
            ended => {
                // It may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                let what = "Windows PowerShell did not end in time, or was lost";
                let fault = Fault::new(FaultKind::Unanswered, what);
                return Err(match ended {
                    Err(error) => fault.because(error),
                    Ok(_) => fault,
                });
            }
        }
    };
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    let (said, complained) = (text(said), text(complained));
    // That it says so is asked for: what only stands for PowerShell, as in Wine, ends well and does nothing.
    let made = format!("made {}", format.file_system);
    if status.success() && said.lines().any(|line| line.trim() == made) {
        return Ok(());
    }
    let words: String = complained
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(MAX_WORDS)
        .collect();
    let words = match words.is_empty() {
        true => format!("it ended with {status} and says nothing"),
        false => words,
    };
    Err(failed(format!(
        "the system did not format the disk as {}: {words}",
        format.file_system
    )))
}

fn read_all(stream: impl std::io::Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut stream = stream;
        // What could be read of it is told.
        let _ = stream.by_ref().take(MAX_SAID).read_to_end(&mut bytes);
        // The rest is let go of, so that whoever writes it does not wait for ever.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
