//! The order of calls and the meaning of codes, against a double of the calls.

use std::sync::{Mutex, PoisonError};

use volume::SmbUser;

use super::*;
use crate::error::ErrorKind;

const PASSWORD: &str = "canary-7c";
const LIMIT: Duration = Duration::from_secs(20);

/// A network that refuses at one call, and notes what it was asked.
#[derive(Default)]
struct Double {
    asked: Mutex<Vec<String>>,
    refuses: Option<(&'static str, NetworkRefusal)>,
    /// Who is connected already.
    other: Option<&'static str>,
    /// What it says where a server has to encrypt.
    no_privacy: Option<u32>,
    is_file: bool,
    takes: Duration,
}

impl Double {
    fn refusing(call: &'static str, code: u32) -> Self {
        let refusal = NetworkRefusal { code, words: None };
        Self {
            refuses: Some((call, refusal)),
            ..Self::default()
        }
    }

    fn ask(&self, call: &'static str, detail: &str) -> Result<(), NetworkRefusal> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(format!("{call} {detail}").trim_end().to_owned());
        match &self.refuses {
            Some((refused, refusal)) if *refused == call => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

impl NetworkCalls for Double {
    fn smb_provider(&self) -> Result<String, NetworkRefusal> {
        self.ask("provider", "").map(|()| "SMB".to_owned())
    }
    fn connected_user(&self, remote: &str) -> Result<String, NetworkRefusal> {
        self.ask("user", remote)?;
        let code = NOT_CONNECTED;
        let nobody = NetworkRefusal { code, words: None };
        self.other.map(str::to_owned).ok_or(nobody)
    }
    fn connect(&self, connection: &NetworkConnection<'_>) -> Result<(), NetworkRefusal> {
        thread::sleep(self.takes);
        assert_eq!(connection.password.expose_secret(), PASSWORD);
        let NetworkConnection {
            provider,
            remote,
            user,
            encrypted,
            ..
        } = connection;
        let how = if *encrypted { "" } else { " plain" };
        self.ask("connect", &format!("{provider} {remote} {user}{how}"))?;
        match self.no_privacy.filter(|_| *encrypted) {
            Some(code) => Err(NetworkRefusal { code, words: None }),
            None => Ok(()),
        }
    }
    fn is_folder(&self, path: &str) -> Result<bool, NetworkRefusal> {
        self.ask("folder", path).map(|()| !self.is_file)
    }
    fn disconnect(&self, remote: &str) -> Result<(), NetworkRefusal> {
        self.ask("disconnect", remote)
    }
}

fn visit(server: &str, user: &str, port: Option<u16>, path: &str) -> Result<Visit, SmbFailure> {
    let user = SmbUser::new(user, None).unwrap();
    let password = SecretString::from(PASSWORD);
    let login = Login {
        server,
        port,
        user: &user,
        password: &password,
    };
    Visit::new(&login, "data", path)
}

/// What comes of a visit, and what was asked for it.
fn try_on(double: Double, path: &str) -> (Result<(), SmbFailure>, Vec<String>) {
    let double = Arc::new(double);
    let visit = visit("srv", "CORP\\ann", None, path).unwrap();
    let outcome = enter(Arc::<Double>::clone(&double), visit, LIMIT);
    (outcome, double.asked())
}

#[test]
fn a_login_connects_looks_and_disconnects_again() {
    let whole = [
        "provider",
        r"user \\srv\data",
        r"connect SMB \\srv\data CORP\ann",
        r"folder \\?\UNC\srv\data\a\b",
        r"disconnect \\srv\data",
    ];
    let (outcome, asked) = try_on(Double::default(), "a/b");
    assert_eq!(
        (outcome, asked),
        (Ok(()), whole.map(str::to_owned).to_vec())
    );
    let (outcome, asked) = try_on(Double::default(), "");
    assert_eq!(
        (outcome, asked.len()),
        (Ok(()), 4),
        "no folder is looked for"
    );
    // What is connected is disconnected whatever the folder is.
    for code in [2, 3, 5, 64, 123, 267] {
        let (outcome, asked) = try_on(Double::refusing("folder", code), "a/b");
        let kind = outcome.unwrap_err().kind();
        let expected = match code {
            5 => ErrorKind::Denied,
            64 => ErrorKind::Io,
            _ => ErrorKind::NotFound,
        };
        assert_eq!((kind, asked), (expected, whole.map(str::to_owned).to_vec()));
    }
    let file = Double {
        is_file: true,
        ..Double::default()
    };
    assert_eq!(
        try_on(file, "a/b").0.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // One that cannot be ended now says nothing about the login.
    let (outcome, _) = try_on(Double::refusing("disconnect", 2401), "");
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_windows_that_cannot_be_told_to_encrypt_tries_the_login_all_the_same() {
    for code in [87, 1004] {
        let double = Double {
            no_privacy: Some(code),
            ..Double::default()
        };
        let (outcome, asked) = try_on(double, "");
        assert_eq!(outcome, Ok(()), "{code}");
        let expected = [
            r"connect SMB \\srv\data CORP\ann",
            r"connect SMB \\srv\data CORP\ann plain",
            r"disconnect \\srv\data",
        ];
        assert_eq!(asked[2..], expected);
    }
    // One that can, and a server that does not: nothing is tried without.
    let double = Double {
        no_privacy: Some(50),
        ..Double::default()
    };
    let (outcome, asked) = try_on(double, "");
    assert_eq!(
        (outcome.unwrap_err().kind(), asked.len()),
        (ErrorKind::Io, 3)
    );
}

#[test]
fn what_was_not_connected_is_not_disconnected() {
    for (call, asked_for) in [("provider", 1), ("user", 2), ("connect", 3)] {
        let (outcome, asked) = try_on(Double::refusing(call, 1326), "a");
        assert_eq!(asked.len(), asked_for, "{asked:?}");
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Denied, "{call}");
    }
}

#[test]
fn a_session_of_somebody_else_is_told_and_left_alone() {
    let double = Double {
        other: Some("CORP\\bob"),
        ..Double::default()
    };
    let (outcome, asked) = try_on(double, "a");
    let failure = outcome.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "this user of Windows is connected to the server srv already (as CORP\\bob), and has one session \
         there at a time"
    );
    assert_eq!(failure.kind(), ErrorKind::InUse);
    assert!(failure.advice().contains("net use"), "{}", failure.advice());
    assert_eq!(asked.len(), 2, "{asked:?}");
    let (outcome, _) = try_on(Double::refusing("connect", 1219), "a");
    let failure = outcome.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::InUse);
    assert!(!failure.to_string().contains("password"), "{failure}");
}

#[test]
fn each_code_of_windows_has_its_meaning() {
    for (codes, kind, words) in [
        (
            &[86, 1317, 1326, 2202][..],
            ErrorKind::Denied,
            "the server srv does not let ann in: user or password is wrong",
        ),
        (
            &[65],
            ErrorKind::Denied,
            "the server srv does not let ann in: access is denied",
        ),
        (
            &[1239, 1240, 1327, 1328, 1329, 1385],
            ErrorKind::Denied,
            "the server srv does not let ann in: a rule of the server forbids it",
        ),
        (
            &[1330, 1907],
            ErrorKind::Denied,
            "the server srv does not let ann in: the password has expired",
        ),
        (
            &[1331],
            ErrorKind::Denied,
            "the server srv does not let ann in: the account is disabled",
        ),
        (
            &[1793],
            ErrorKind::Denied,
            "the server srv does not let ann in: the account has expired",
        ),
        (
            &[1909],
            ErrorKind::Denied,
            "the server srv does not let ann in: the account is locked",
        ),
        (
            &[5],
            ErrorKind::Denied,
            "the server srv does not let ann into the share \"data\"",
        ),
        (
            &[67],
            ErrorKind::NotFound,
            "the server srv has no share \"data\"",
        ),
        (
            &[51, 53, 1203],
            ErrorKind::Io,
            "the server srv cannot be reached: no SMB server of that name answers",
        ),
        (
            &[1231, 1232],
            ErrorKind::Io,
            "the server srv cannot be reached: no way leads there",
        ),
        (
            &[121, 1460],
            ErrorKind::Io,
            "the server srv cannot be reached: no answer came in time",
        ),
        (
            &[1272],
            ErrorKind::Denied,
            "the server srv lets ann in as a guest, whatever the password",
        ),
        (
            &[384],
            ErrorKind::Unsupported,
            "the server srv agrees on no protocol from SMB 2.1 on: it is older, or no SMB server",
        ),
        (
            &[50],
            ErrorKind::Io,
            "Windows could not try the login: the server may not encrypt (code 50)",
        ),
    ] {
        for code in codes {
            let (outcome, _) = try_on(Double::refusing("connect", *code), "a");
            let failure = outcome.unwrap_err();
            assert_eq!(
                (failure.kind(), failure.to_string().as_str()),
                (kind, words)
            );
        }
    }
    let (outcome, _) = try_on(Double::refusing("connect", 4_000_000_000), "a");
    assert!(
        outcome
            .unwrap_err()
            .to_string()
            .ends_with("code 4000000000")
    );
}

#[test]
fn a_windows_without_a_network_names_the_way_around() {
    for code in [1204, 1222, 2138] {
        let (outcome, _) = try_on(Double::refusing("provider", code), "a");
        let failure = outcome.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Unsupported);
        assert!(failure.to_string().contains(&code.to_string()), "{failure}");
        assert!(failure.advice().contains("--no-check"));
    }
}

#[test]
fn what_a_provider_says_is_cut_short_and_without_the_password() {
    let words = format!("no\n{PASSWORD} here {}", "x".repeat(10_000));
    let refusal = NetworkRefusal {
        code: 17,
        words: Some(words),
    };
    let double = Double {
        refuses: Some(("connect", refusal)),
        ..Double::default()
    };
    let told = try_on(double, "a").0.unwrap_err().to_string();
    assert!(
        told.contains("no ... here") && told.contains("code 17"),
        "{told}"
    );
    assert!(!told.contains(PASSWORD) && told.len() < 300, "{told}");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_and_disconnected_when_it_does() {
    let double = Arc::new(Double {
        takes: Duration::from_millis(200),
        ..Double::default()
    });
    let visit = visit("srv", "ann", None, "").unwrap();
    let limit = Duration::from_millis(20);
    let failure = enter(Arc::<Double>::clone(&double), visit, limit).unwrap_err();
    assert!(matches!(failure, SmbFailure::Late { .. }), "{failure}");
    for _ in 0..500 {
        if double.asked().len() == 4 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(double.asked().last().unwrap(), r"disconnect \\srv\data");
}

#[test]
fn names_of_windows_have_no_ports_and_no_colons() {
    for port in [None, Some(445)] {
        assert!(visit("srv", "ann", port, "").is_ok());
    }
    let failure = visit("srv", "ann", Some(1445), "").err().unwrap();
    assert_eq!(failure.kind(), ErrorKind::Unsupported);
    assert!(failure.advice().contains("--no-check"), "{failure}");
    let visit = visit("fe80::1%4", "ann@corp.example", None, "").unwrap();
    assert_eq!(visit.remote, r"\\fe80--1s4.ipv6-literal.net\data");
    assert_eq!(visit.account, "ann@corp.example");
}
