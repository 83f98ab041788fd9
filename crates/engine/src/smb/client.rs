//! Runs `smbclient`: the login goes in through the pipe that is its standard input, its output is bounded, and
//! so is its time.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::words::{self, Visit};
use super::{Login, ServerShare, SmbFailure};

const PROGRAM: &str = "smbclient";
/// The most output that is kept, in bytes; a list of 10,000 shares fits.
const MAX_OUTPUT: u64 = 4 << 20;
/// How often it is looked whether the program has ended.
const PAUSE: Duration = Duration::from_millis(10);
/// Who logs in where, for the program's file of authentication.
const MAX_LOGIN: usize = 4096;

/// How much protection is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    /// Signed and encrypted, with SMB 2.1 or newer: as guests mount.
    Full,
    /// None: to see whether a server lets in whoever comes.
    None,
}

/// What became of a run.
struct Run {
    status: ExitStatus,
    output: String,
}

impl Login<'_> {
    /// The server with its port, for messages.
    pub(super) fn shown_server(&self) -> String {
        let server = match self.server.contains(':') {
            true => format!("[{}]", self.server),
            false => self.server.to_owned(),
        };
        match self.port {
            Some(port) => format!("{server}:{port}"),
            None => server,
        }
    }
}

/// Logs in and looks for a share and a path in it.
pub(super) fn enter(
    login: &Login<'_>,
    share: &str,
    path: &str,
    limit: Duration,
) -> Result<(), SmbFailure> {
    let visit = Visit { share, path };
    let mut arguments = vec![format!("//{}/{share}", login.server)];
    if !path.is_empty() {
        arguments.push(format!("--directory={path}"));
    }
    // Nothing that somebody named is in a command: those are read as a language.
    arguments.push("--command=quit".to_owned());
    let run = run(login, Protection::Full, &arguments, limit)?;
    // Where the folder is missing, some versions say so and end well.
    if run.status.success() && !run.output.contains("NT_STATUS_") {
        return Ok(());
    }
    Err(explain(login, Some(visit), &run, limit))
}

/// The shares of a server.
pub(super) fn list_shares(
    login: &Login<'_>,
    limit: Duration,
) -> Result<Vec<ServerShare>, SmbFailure> {
    let arguments = [
        format!("--list=//{}", login.server),
        "--grepable".to_owned(),
    ];
    let run = run(login, Protection::Full, &arguments, limit)?;
    match run.status.success() {
        true => Ok(words::shares(&run.output)),
        false => Err(explain(login, None, &run, limit)),
    }
}

fn explain(login: &Login<'_>, visit: Option<Visit<'_>>, run: &Run, limit: Duration) -> SmbFailure {
    if words::may_be_guest(&run.output) && lets_anybody_in(login, limit) {
        return SmbFailure::Guest {
            server: login.shown_server(),
            user: login.user.name().to_owned(),
        };
    }
    words::failure(login, visit, &run.output)
}

/// Whether the server lets the user in with a password that is certainly wrong. A session of a guest has no
/// key, so that nothing can be signed: with protection, it merely looks denied.
fn lets_anybody_in(login: &Login<'_>, limit: Duration) -> bool {
    let wrong = SecretString::from(uuid::Uuid::new_v4().to_string());
    let login = Login {
        password: &wrong,
        ..*login
    };
    let arguments = [
        format!("--list=//{}", login.server),
        "--grepable".to_owned(),
    ];
    run(&login, Protection::None, &arguments, limit).is_ok_and(|run| run.status.success())
}

fn run(
    login: &Login<'_>,
    protection: Protection,
    arguments: &[String],
    limit: Duration,
) -> Result<Run, SmbFailure> {
    let authentication = authentication(login)?;
    let mut command = Command::new(PROGRAM);
    command.env_clear();
    // No configuration, ticket or variable of the caller's shell changes what is asked.
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env("LC_ALL", "C");
    command
        .arg("--configfile=/dev/null")
        .arg("--authentication-file=/dev/stdin")
        .arg("--option=clientminprotocol=SMB2_10")
        .arg("--option=clientipcminprotocol=SMB2_10")
        .arg(format!("--timeout={}", (limit / 2).as_secs().max(1)));
    let (signing, encryption) = match protection {
        Protection::Full => ("required", "required"),
        Protection::None => ("off", "off"),
    };
    command
        .arg(format!("--option=clientsigning={signing}"))
        .arg(format!("--option=clientipcsigning={signing}"))
        .arg(format!("--option=clientsmbencrypt={encryption}"));
    if let Some(port) = login.port {
        command.arg(format!("--port={port}"));
    }
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SmbFailure::NoClient,
        _ => broken(&error),
    })?;
    if let Some(mut input) = child.stdin.take() {
        // It fits into the pipe, so that nothing waits here; who does not read it says why.
        let _ = input.write_all(authentication.as_bytes());
    }
    let readers = [reader(child.stderr.take()), reader(child.stdout.take())];
    let status = wait(&mut child, limit).map_err(|error| broken(&error))?;
    let mut output = String::new();
    for reader in readers {
        output.push_str(&reader.join().unwrap_or_default());
    }
    match status {
        Some(status) => Ok(Run { status, output }),
        None => Err(SmbFailure::Late {
            server: login.shown_server(),
            seconds: limit.as_secs(),
        }),
    }
}

fn broken(error: &io::Error) -> SmbFailure {
    SmbFailure::Client {
        reason: error.to_string(),
    }
}

/// The file of authentication as the program reads it: it takes blanks away in front of a value.
fn authentication(login: &Login<'_>) -> Result<Zeroizing<String>, SmbFailure> {
    let password = login.password.expose_secret();
    if password.starts_with(|c: char| c.is_whitespace()) {
        return Err(SmbFailure::Password);
    }
    // Never grown, so that no copy is left behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LOGIN));
    for (key, value) in [
        ("username", Some(login.user.name())),
        ("domain", login.user.domain()),
        ("password", Some(password)),
    ] {
        if let Some(value) = value {
            for part in [key, " = ", value, "\n"] {
                text.push_str(part);
            }
        }
    }
    Ok(text)
}

/// Reads a stream to its end, and keeps the first part of it.
fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let Some(mut stream) = stream else {
            return String::new();
        };
        let mut bytes = Vec::new();
        let _ = stream.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
        let _ = io::copy(&mut stream, &mut io::sink());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until the program ends; ends it after `limit`, and says `None` then.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use volume::SmbUser;

    use super::*;

    #[test]
    fn the_file_of_authentication_has_one_line_for_each_part() {
        let user = SmbUser::new("CORP\\ann", None).unwrap();
        let login = |password: &SecretString| {
            let login = Login {
                server: "srv",
                port: None,
                user: &user,
                password,
            };
            authentication(&login).map(|text| text.to_string())
        };
        let text = login(&SecretString::from("a = b #\"'`$(x)")).unwrap();
        assert_eq!(
            text,
            "username = ann\ndomain = CORP\npassword = a = b #\"'`$(x)\n"
        );
        let blank = login(&SecretString::from(" x"));
        assert_eq!(blank, Err(SmbFailure::Password));
        // The longest of each part fits without growing.
        let user = SmbUser::new(&"\u{1f600}".repeat(256), Some(&"d".repeat(255))).unwrap();
        let password = SecretString::from("x".repeat(1024));
        let longest = authentication(&Login {
            server: "srv",
            port: None,
            user: &user,
            password: &password,
        })
        .unwrap();
        assert!(longest.len() < MAX_LOGIN);
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let status = wait(&mut child, Duration::from_millis(50)).unwrap();
        assert!(status.is_none());
        assert!(child.try_wait().unwrap().is_some());
    }
}
