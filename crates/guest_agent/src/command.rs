//! Commands of the host, run with their output sent on as it comes.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use guest_proto::{Answer, Bytes, ErrorKind, MAX_CHUNK, Refusal, Run, Stream};

use crate::refused::{failed, refusal};

/// How often it is looked whether a command has to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long output of children that outlive a command is waited for.
const AFTER_END: Duration = Duration::from_millis(500);
/// How many pieces of output wait to be sent.
const PIECES: usize = 2;

type Piece = (Stream, Vec<u8>);

/// Runs it. `output` gets each piece and says whether anybody still listens; `is_wanted` whether the
/// host still waits.
pub(crate) fn run(
    run: &Run,
    output: &mut dyn FnMut(Stream, Bytes) -> bool,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Answer, Refusal> {
    let mut words = run.arguments.iter();
    let program = words
        .next()
        .ok_or_else(|| refusal(ErrorKind::Invalid, "no command"))?;
    let mut command = Command::new(program);
    command.args(words);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    own_group(&mut command);
    let mut child = command.spawn().map_err(|error| failed(program, error))?;
    let pieces = listen(&mut child);
    let ended = follow(run, &mut child, &pieces, output, is_wanted);
    if ended.is_err() || ended.as_ref().is_ok_and(|ended| ended.limit.is_some()) {
        kill(&mut child);
    }
    let limit = ended?.limit;
    let status = child.wait().map_err(|error| failed(program, error))?;
    if limit.is_none() {
        flush(&pieces, output);
    }
    Ok(Answer::Exited {
        code: status.code(),
        signal: signal_of(status),
        limit: limit.map(str::to_owned),
    })
}

/// Why following a command ended.
struct Ended {
    limit: Option<&'static str>,
}

/// Sends output on until the command has ended or has to.
fn follow(
    run: &Run,
    child: &mut Child,
    pieces: &Receiver<Piece>,
    output: &mut dyn FnMut(Stream, Bytes) -> bool,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Ended, Refusal> {
    let limit = |limit| Ok(Ended { limit: Some(limit) });
    let end = Instant::now().checked_add(Duration::from_secs(run.limit_seconds.into()));
    let mut sent = 0_u64;
    loop {
        match pieces.recv_timeout(LOOK) {
            Ok((stream, bytes)) => {
                sent = sent.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                if !output(stream, Bytes(bytes)) {
                    return limit("nobody listens");
                }
                if sent > run.limit_output {
                    return limit("more output than allowed");
                }
            }
            // Both streams are closed; the command may still run.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !is_wanted() {
            return limit("nobody listens");
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return limit("longer than allowed");
        }
        let status = child
            .try_wait()
            .map_err(|error| failed("the command", error))?;
        if status.is_some() {
            return Ok(Ended { limit: None });
        }
    }
}

/// Sends on what was written before the end and is still on its way.
fn flush(pieces: &Receiver<Piece>, output: &mut dyn FnMut(Stream, Bytes) -> bool) {
    let end = Instant::now() + AFTER_END;
    while let Ok((stream, bytes)) =
        pieces.recv_timeout(end.saturating_duration_since(Instant::now()))
    {
        if !output(stream, Bytes(bytes)) {
            return;
        }
    }
}

/// A thread for each stream; both end with the last process that has it, or with us.
fn listen(child: &mut Child) -> Receiver<Piece> {
    let (sender, receiver) = sync_channel(PIECES);
    if let Some(stream) = child.stdout.take() {
        let sender = sender.clone();
        std::thread::spawn(move || send_all(Stream::Output, stream, &sender));
    }
    if let Some(stream) = child.stderr.take() {
        std::thread::spawn(move || send_all(Stream::Error, stream, &sender));
    }
    receiver
}

fn send_all(stream: Stream, mut from: impl Read, sender: &SyncSender<Piece>) {
    let mut piece = [0; MAX_CHUNK];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                let bytes = piece.get(..length).unwrap_or_default().to_vec();
                if sender.send((stream, bytes)).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // So that its children can be ended with it.
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

#[cfg(target_os = "linux")]
fn kill(child: &mut Child) {
    let group = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

#[cfg(not(target_os = "linux"))]
fn kill(child: &mut Child) {
    let _ = child.kill();
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_status: ExitStatus) -> Option<i32> {
    None
}
