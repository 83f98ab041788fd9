//! What `smbclient` says, and what it means. Its output is what a server had it say, so that nothing of it is
//! taken for more than words: it is cut short, and a password that got into it is struck out.

use super::{Login, ServerShare, ShareKind, SmbFailure};

/// The most shares that are taken from a list.
const MAX_SHARES: usize = 10_000;
/// The longest text of a share or a failure that is kept, in characters.
const MAX_TEXT: usize = 200;

/// What the program was doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit<'a> {
    pub(super) share: &'a str,
    pub(super) path: &'a str,
}

/// Why the program failed, from what it said.
pub(super) fn failure(login: &Login<'_>, visit: Option<Visit<'_>>, said: &str) -> SmbFailure {
    let server = login.shown_server();
    let user = login.user.name().to_owned();
    let denied = |reason: &str| SmbFailure::Denied {
        server: login.shown_server(),
        user: login.user.name().to_owned(),
        reason: reason.to_owned(),
    };
    let unreachable = |reason: &str| SmbFailure::Unreachable {
        server: login.shown_server(),
        reason: reason.to_owned(),
    };
    if said.contains("doesn't support SMB3 encryption") {
        return SmbFailure::Unencrypted { server };
    }
    if said.contains("protocol negotiation failed") && status(said) != Some("IO_TIMEOUT") {
        return SmbFailure::OldProtocol { server };
    }
    let share = visit.map_or_else(String::new, |visit| visit.share.to_owned());
    let path = visit.map_or_else(String::new, |visit| visit.path.to_owned());
    let is_tree = said.contains("tree connect failed");
    match status(said) {
        Some("LOGON_FAILURE" | "WRONG_PASSWORD" | "NO_SUCH_USER") => {
            denied("user or password is wrong")
        }
        Some("ACCOUNT_LOCKED_OUT") => denied("the account is locked"),
        Some("ACCOUNT_DISABLED") => denied("the account is disabled"),
        Some("ACCOUNT_EXPIRED") => denied("the account has expired"),
        Some("PASSWORD_EXPIRED" | "PASSWORD_MUST_CHANGE") => denied("the password has expired"),
        Some("ACCOUNT_RESTRICTION" | "LOGON_TYPE_NOT_GRANTED" | "INVALID_LOGON_HOURS") => {
            denied("a rule of the server forbids it")
        }
        Some("ACCESS_DENIED") if is_tree => SmbFailure::ShareDenied {
            server,
            user,
            share,
        },
        Some("ACCESS_DENIED") => denied("access is denied"),
        Some("BAD_NETWORK_NAME") => SmbFailure::NoShare {
            server,
            share,
            there: Vec::new(),
        },
        Some(
            "OBJECT_NAME_NOT_FOUND"
            | "OBJECT_PATH_NOT_FOUND"
            | "NOT_A_DIRECTORY"
            | "OBJECT_NAME_INVALID"
            | "NO_SUCH_FILE",
        ) if visit.is_some() => SmbFailure::NoPath {
            server,
            share,
            path,
        },
        Some("CONNECTION_REFUSED") => unreachable("nobody listens there"),
        Some("UNSUCCESSFUL" | "NOT_FOUND" | "BAD_NETWORK_PATH") => {
            unreachable("no host of that name is known")
        }
        Some("HOST_UNREACHABLE" | "NETWORK_UNREACHABLE") => unreachable("no way leads there"),
        Some("IO_TIMEOUT") => unreachable("no answer came in time"),
        Some(
            "CONNECTION_DISCONNECTED"
            | "CONNECTION_RESET"
            | "INVALID_NETWORK_RESPONSE"
            | "END_OF_FILE",
        ) => unreachable("what answers there breaks off, and may be no SMB server"),
        _ => SmbFailure::Client {
            reason: last_line(said, login),
        },
    }
}

/// Whether the server answered to the login itself with a denial, as the client does for a guest too.
pub(super) fn may_be_guest(said: &str) -> bool {
    said.contains("session setup failed: NT_STATUS_ACCESS_DENIED")
        || said.contains("session setup failed: NT_STATUS_INVALID_NETWORK_RESPONSE")
}

/// The first status of Windows in what was said, without its prefix.
fn status(said: &str) -> Option<&str> {
    // What ended the program stands last; notes of its libraries stand before.
    let line = said
        .lines()
        .rev()
        .find(|line| line.contains("NT_STATUS_"))?;
    let (_, rest) = line.rsplit_once("NT_STATUS_")?;
    let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_' && !c.is_ascii_digit());
    Some(&rest[..end.unwrap_or(rest.len())])
}

fn last_line(said: &str, login: &Login<'_>) -> String {
    use secrecy::ExposeSecret as _;
    let line = said.lines().rev().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("it said nothing").trim();
    let line = line.replace(login.password.expose_secret(), "...");
    line.chars().take(MAX_TEXT).collect()
}

/// The shares of a list that the program printed: `Disk|data|What it is for`.
pub(super) fn shares(said: &str) -> Vec<ServerShare> {
    let mut found: Vec<ServerShare> = said
        .lines()
        .filter_map(|line| {
            let (kind, rest) = line.split_once('|')?;
            let (name, comment) = rest.split_once('|').unwrap_or((rest, ""));
            let kind = match kind {
                "Disk" => ShareKind::Disk,
                "Printer" => ShareKind::Printer,
                "IPC" => ShareKind::Pipe,
                _ => return None,
            };
            let short = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
            Some(ServerShare {
                name: short(name),
                kind,
                comment: short(comment),
            })
        })
        .take(MAX_SHARES)
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use volume::SmbUser;

    use super::*;
    use crate::error::ErrorKind;

    fn with_login<T>(check: impl FnOnce(&Login<'_>) -> T) -> T {
        let user = SmbUser::new("ann", None).unwrap();
        let password = SecretString::from("canary-3f");
        check(&Login {
            server: "srv",
            port: Some(1445),
            user: &user,
            password: &password,
        })
    }

    #[test]
    fn each_word_of_the_client_has_its_meaning() {
        let visit = Visit {
            share: "data",
            path: "a/b",
        };
        for (said, kind, words) in [
            (
                "session setup failed: NT_STATUS_LOGON_FAILURE",
                ErrorKind::Denied,
                "the server srv:1445 does not let ann in: user or password is wrong",
            ),
            (
                "note NT_STATUS_OK\nsession setup failed: NT_STATUS_ACCOUNT_LOCKED_OUT\n",
                ErrorKind::Denied,
                "the server srv:1445 does not let ann in: the account is locked",
            ),
            (
                "tree connect failed: NT_STATUS_ACCESS_DENIED",
                ErrorKind::Denied,
                "the server srv:1445 does not let ann into the share \"data\"",
            ),
            (
                "tree connect failed: NT_STATUS_BAD_NETWORK_NAME",
                ErrorKind::NotFound,
                "the server srv:1445 has no share \"data\"",
            ),
            (
                "cd \\a\\b\\: NT_STATUS_OBJECT_NAME_NOT_FOUND",
                ErrorKind::NotFound,
                "the share \"data\" of srv:1445 has no folder \"a/b\"",
            ),
            (
                "do_connect: Connection to srv failed (Error NT_STATUS_CONNECTION_REFUSED)",
                ErrorKind::Io,
                "the server srv:1445 cannot be reached: nobody listens there",
            ),
            (
                "do_connect: Connection to srv failed (Error NT_STATUS_UNSUCCESSFUL)",
                ErrorKind::Io,
                "the server srv:1445 cannot be reached: no host of that name is known",
            ),
            (
                "protocol negotiation failed: NT_STATUS_CONNECTION_DISCONNECTED",
                ErrorKind::Unsupported,
                "the server srv:1445 agrees on no protocol from SMB 2.1 on: it is older, or no SMB server",
            ),
            (
                "protocol negotiation failed: NT_STATUS_IO_TIMEOUT",
                ErrorKind::Io,
                "the server srv:1445 cannot be reached: no answer came in time",
            ),
            (
                "Encryption required and server doesn't support SMB3 encryption - failing connect",
                ErrorKind::Unsupported,
                "the server srv:1445 does not encrypt",
            ),
            ("", ErrorKind::Io, "smbclient did not work: it said nothing"),
            (
                "something with canary-3f in it",
                ErrorKind::Io,
                "smbclient did not work: something with ... in it",
            ),
        ] {
            let found = with_login(|login| failure(login, Some(visit), said));
            assert_eq!(found.to_string(), words);
            assert_eq!(found.kind(), kind, "{said}");
        }
    }

    #[test]
    fn a_list_is_read_line_by_line_and_notes_are_passed_over() {
        let found = shares(
            "note\nIPC|IPC$|pipes\nDisk|data|Of a|b\nDisk|plain\nPrinter|lp|\nOther|x|\nSMB1 disabled\n",
        );
        let told: Vec<_> = found
            .iter()
            .map(|share| (share.name.as_str(), share.kind, share.comment.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("IPC$", ShareKind::Pipe, "pipes"),
                ("data", ShareKind::Disk, "Of a|b"),
                ("lp", ShareKind::Printer, ""),
                ("plain", ShareKind::Disk, ""),
            ]
        );
        let flood = "Disk|x|y\n".repeat(MAX_SHARES + 5);
        assert_eq!(shares(&flood).len(), MAX_SHARES);
        assert!(
            shares(&format!("Disk|{}|", "x".repeat(10_000)))[0]
                .name
                .len()
                <= MAX_TEXT
        );
    }

    #[test]
    fn a_long_answer_is_cut_short() {
        let said = "x".repeat(100_000);
        let found = with_login(|login| failure(login, None, &said));
        assert!(found.to_string().len() < 300);
    }
}
