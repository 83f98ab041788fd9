//! Volumes on a real Samba: who is let in, what is refused and how.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use crate::command::Cvol;
use crate::samba::{Samba, Settings, USER, with_input};

/// A login was refused.
pub(crate) const DENIED: i32 = 9;

/// `cvol` with a password on standard input.
pub(crate) fn with_password(cvol: &Cvol, arguments: &[&str], password: &str) -> Output {
    let mut command = cvol.command(arguments);
    command.args(["--password-fd", "0"]);
    with_input(command, password)
}

fn create(cvol: &Cvol, name: &str, source: &str, password: &str) -> Output {
    let arguments = [
        "create",
        name,
        "--type",
        "smb",
        "--source",
        source,
        "--username",
        USER,
    ];
    with_password(cvol, &arguments, password)
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error}");
    }
}

#[track_caller]
fn assert_ok(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_volume_is_made_when_the_server_lets_its_user_in_and_not_otherwise() {
    let Some(mut server) = Samba::start() else {
        return;
    };
    fs::create_dir_all(server.data().join("web/a b")).unwrap();
    let cvol = Cvol::new();
    let password = server.password().to_owned();
    assert_ok(&create(&cvol, "share", &server.source("data"), &password));
    let below = server.source("data/web/a b");
    assert_ok(&create(&cvol, "below", &below, &format!("{password}\n")));
    let no_share = create(&cvol, "x1", &server.source("nope"), &password);
    assert_fails(
        &no_share,
        3,
        &["no share \"nope\"", "it has closed, data, ro", "hint: "],
    );
    let no_path = create(&cvol, "x2", &server.source("data/none"), &password);
    assert_fails(&no_path, 3, &["no folder \"none\""]);
    let wrong = create(&cvol, "x3", &server.source("data"), "wrong");
    assert_fails(&wrong, DENIED, &["user or password is wrong", "hint: "]);
    let closed = create(&cvol, "x4", &server.source("closed"), &password);
    assert_fails(&closed, DENIED, &["into the share \"closed\""]);
    assert_eq!(cvol.names(), ["below", "share"]);
    assert_eq!(cvol.volume_folders().len(), 2);
    // The kept password goes on to be good, until it is not.
    assert_ok(&cvol.output(&["secret", "check", "share"]));
    server.set_password("new one");
    cvol.fails(DENIED, &["secret", "check", "share"]);
    let set = ["secret", "set", "share"];
    assert_fails(&with_password(&cvol, &set, "wrong"), DENIED, &["is wrong"]);
    assert_ok(&with_password(&cvol, &set, "new one"));
    assert_ok(&cvol.output(&["secret", "check", "share"]));
    assert_ok(&cvol.output(&["secret", "rotate"]));
    assert_ok(&cvol.output(&["secret", "check", "share"]));
    server.stop();
    let gone = create(&cvol, "x5", &server.source("data"), "new one");
    assert_fails(&gone, 8, &["cannot be reached", "hint: "]);
    let mut unchecked = cvol.command(&["create", "later", "--no-check", "--username", USER]);
    let source = server.source("data");
    unchecked.args(["--type", "smb", "--source", &source, "--password-fd", "0"]);
    assert_ok(&with_input(unchecked, "pw"));
    cvol.ok(&["rm", "later"]);
}

#[test]
fn guests_old_protocols_and_servers_that_do_not_encrypt_are_refused() {
    let refused = |settings: Settings, user: &str, code: i32, words: &[&str]| {
        let Some(server) = Samba::start_with(settings) else {
            return;
        };
        let cvol = Cvol::new();
        let source = server.source("data");
        let arguments = [
            "create",
            "xx",
            "--type",
            "smb",
            "--source",
            &source,
            "--username",
            user,
        ];
        let output = with_password(&cvol, &arguments, "whatever");
        assert_fails(&output, code, words);
        assert_eq!(cvol.names(), [""; 0]);
    };
    let guests = |guests| Settings {
        guests,
        encryption: "off",
        protocols: ("SMB2", "SMB3"),
        ..Settings::default()
    };
    refused(guests("Bad User"), "nobody-here", DENIED, &["as a guest"]);
    refused(guests("Bad Password"), USER, DENIED, &["as a guest"]);
    let old = Settings {
        protocols: ("NT1", "NT1"),
        encryption: "off",
        ..Settings::default()
    };
    refused(old, USER, 7, &["agrees on no protocol", "hint: "]);
    let plain = Settings {
        password: "whatever".to_owned(),
        encryption: "off",
        ..Settings::default()
    };
    refused(plain, USER, 7, &["does not encrypt", "hint: "]);
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time() {
    if !crate::tools::needs(&["smbclient"]) {
        return;
    }
    // Connections are taken by the system; nobody ever reads them.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let source = format!("//127.0.0.1:{}/data", silent.local_addr().unwrap().port());
    let output = create(&Cvol::new(), "xx", &source, "pw");
    assert_fails(&output, 8, &["127.0.0.1:", "hint: "]);
}

#[test]
fn discover_lists_the_shares_of_a_server_for_who_may_see_them() {
    let Some(server) = Samba::start() else {
        return;
    };
    let cvol = Cvol::new();
    let host = format!("//127.0.0.1:{}", server.port());
    let arguments = ["discover", &host, "--username", USER, "--json"];
    let output = with_password(&cvol, &arguments, server.password());
    assert_ok(&output);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let told: BTreeMap<&str, (&str, &str)> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|share| {
            let text = |key: &str| share[key].as_str().unwrap();
            (text("name"), (text("type"), text("comment")))
        })
        .collect();
    assert_eq!(told["data"], ("disk", "Data of a test"));
    assert_eq!(told["ro"].0, "disk");
    assert_eq!(told["IPC$"].0, "ipc");
    let wrong = with_password(&cvol, &arguments[..4], "wrong");
    assert_fails(&wrong, DENIED, &["user or password is wrong"]);
    let guest = cvol.output(&["discover", &host]);
    assert_fails(&guest, 2, &["as a guest"]);
    assert!(!cvol.root().exists(), "discover made a store");
}

#[test]
fn a_password_comes_from_a_file_of_its_owner_an_open_file_or_a_terminal() {
    let Some(server) = Samba::start() else {
        return;
    };
    let cvol = Cvol::new();
    let source = server.source("data");
    let base = ["--type", "smb", "--source", &source, "--username", USER];
    let run = |name: &str, more: &[&str]| {
        let arguments = [&["create", name], &base[..], more].concat();
        let mut command = cvol.command(&arguments);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let file = cvol.work().join("password");
    fs::write(&file, format!("{}\n", server.password())).unwrap();
    let path = file.to_str().unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = run("file", &["--password-file", path]);
    assert_fails(&open, 2, &["chmod 600"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_ok(&run("file", &["--password-file", path]));
    assert_fails(&run("xx", &["--password-file", "/nonexistent"]), 3, &[]);
    assert_fails(&run("xx", &["--password-fd", "77"]), 3, &["file 77"]);
    // By a shell, which opens the file as number 3.
    let arguments = [&["create", "open"], &base[..], &["--password-fd", "3"]].concat();
    let cvol_command = cvol.command(&arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" 3<\"$PASSWORD_FILE\"", "sh"]);
    shell.env("PASSWORD_FILE", &file);
    shell
        .arg(cvol_command.get_program())
        .args(cvol_command.get_args());
    assert_ok(&shell.output().unwrap());
    // Without a terminal nobody can be asked.
    let script = cvol.command(&[&["create", "nobody"], &base[..]].concat());
    let mut alone = Command::new("setsid");
    alone
        .arg("--wait")
        .arg(script.get_program())
        .args(script.get_args());
    let nobody = alone.stdin(Stdio::null()).output().unwrap();
    assert_fails(&nobody, 2, &["nobody can be asked", "--password-file"]);
    ask_on_a_terminal(&cvol, &base, server.password());
    assert_eq!(cvol.names(), ["asked", "file", "open"]);
}

/// A terminal on which the password is typed, and on which it is not seen.
fn ask_on_a_terminal(cvol: &Cvol, base: &[&str], password: &str) {
    const TYPIST: &str = r#"
import os, pty, sys, time
password, command = os.environb[b"TYPED"], sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.environb.pop(b"TYPED")
    os.execv(command[0], command)
seen, asked = b"", 0
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
    while seen.count(b": ") > asked and asked < 2 and (b"password for" in seen):
        # With a slip of the finger that is taken back.
        os.write(terminal, b"x\x7f" + password + b"\n")
        asked += 1
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert password not in seen, "the password is shown"
sys.stdout.buffer.write(seen)
sys.exit(status)
"#;
    let arguments = [&["create", "asked"], base].concat();
    let command = cvol.command(&arguments);
    let mut python = Command::new("python3");
    python.args(["-c", TYPIST]).env("TYPED", password);
    python.arg(command.get_program()).args(command.get_args());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.contains("once more"), "{seen}");
}

#[test]
fn servers_that_announce_themselves_are_found() {
    if !crate::tools::needs(&["python3"]) {
        return;
    }
    const RESPONDER: &str = r#"
import socket, struct, sys
def name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".")) + b"\0"
service, host = "_smb._tcp.local", "cvol-test-host.local"
instance = bytes([len("Test NAS")]) + b"Test NAS" + name(service)
def record(owner, kind, data, flush=0x8000):
    return owner + struct.pack(">HHIH", kind, 1 | flush, 120, len(data)) + data
answers = [
    record(name(service), 12, instance, 0),
    record(instance, 33, struct.pack(">HHH", 0, 0, 1445) + name(host)),
    record(instance, 16, b"\0"),
    record(name(host), 1, socket.inet_aton("127.0.0.1")),
]
packet = struct.pack(">HHHHHH", 0, 0x8400, 0, len(answers), 0, 0) + b"".join(answers)
# And one that lies about its lengths.
hostile = struct.pack(">HHHHHH", 0, 0x8400, 0, 9, 9, 9) + b"\xc0\x0c" * 20
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind(("", 5353))
group = socket.inet_aton("224.0.0.251")
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + socket.inet_aton("127.0.0.1"))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
print("ready", flush=True)
while True:
    data, peer = sock.recvfrom(9000)
    if b"_smb" in data and not data[2] & 0x80:
        for told in (hostile, packet):
            sock.sendto(told, ("224.0.0.251", 5353))
"#;
    let mut responder = Command::new("python3")
        .args(["-c", RESPONDER])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let output = responder.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut ready).unwrap();
    let found = Cvol::new().output(&["discover", "--seconds", "8", "--json"]);
    responder.kill().unwrap();
    responder.wait().unwrap();
    assert_eq!(ready, "ready\n");
    assert_ok(&found);
    let json: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let all = json.as_array().unwrap();
    let nas = all.iter().find(|server| server["name"] == "Test NAS");
    let nas = nas.unwrap_or_else(|| panic!("{json}"));
    assert_eq!(nas["host"], "cvol-test-host.local");
    assert_eq!(nas["port"], 1445);
    let addresses = nas["addresses"].as_array().unwrap();
    assert!(addresses.contains(&"127.0.0.1".into()), "{json}");
}
