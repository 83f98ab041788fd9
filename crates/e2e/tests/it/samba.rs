//! A Samba server of a test's own, on a port of the loopback interface: its folders, user and shares
//! belong to the test, and all of it is gone with the value.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::tools::{self, needs};

/// The user that servers know.
pub(crate) const USER: &str = "voluser";
/// How long a server may take until it answers; a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server is like.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The password of [`USER`].
    pub(crate) password: String,
    /// `smb encrypt`.
    pub(crate) encryption: &'static str,
    /// `map to guest`, with guests let into the shares unless it is `Never`.
    pub(crate) guests: &'static str,
    /// The oldest and the newest protocol.
    pub(crate) protocols: (&'static str, &'static str),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            password: "P@ss w0rd,=%1".to_owned(),
            encryption: "required",
            guests: "Never",
            protocols: ("SMB3", "SMB3"),
        }
    }
}

/// A running server with the shares `data` (can be written), `ro` (cannot) and `closed` (lets nobody
/// in), the first two of the same folder.
pub(crate) struct Samba {
    folder: tempfile::TempDir,
    settings: Settings,
    port: u16,
    daemon: Option<Child>,
}

impl Samba {
    /// A server that demands a login and encryption; `None` where there is no Samba (a failure in CI).
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(Settings::default())
    }

    /// A server of this kind; `None` where there is no Samba (a failure in CI).
    pub(crate) fn start_with(settings: Settings) -> Option<Self> {
        if !needs(&["smbd", "smbpasswd", "smbclient"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // Whoever logs in works as the user that runs the test; below, the folders are for all.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in [
            "private", "lock", "state", "cache", "pid", "ncalrpc", "data",
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let port = free_port();
        let mut server = Self {
            folder,
            settings,
            port,
            daemon: None,
        };
        server.write_configuration();
        server.set_password(&server.settings.password.clone());
        server.run();
        Some(server)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The password of [`USER`].
    pub(crate) fn password(&self) -> &str {
        &self.settings.password
    }

    /// The folder that the shares show.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `//127.0.0.1:PORT/SHARE`, as cvol takes it.
    pub(crate) fn source(&self, share: &str) -> String {
        format!("//127.0.0.1:{}/{share}", self.port)
    }

    /// The same as a guest of QEMU with user networking reaches it.
    pub(crate) fn source_for_guest(&self, share: &str) -> String {
        format!("//10.0.2.2:{}/{share}", self.port)
    }

    /// Gives [`USER`] another password.
    pub(crate) fn set_password(&mut self, password: &str) {
        let mut command = Command::new("smbpasswd");
        command.arg("-c").arg(self.configuration());
        command.args(["-L", "-s", "-a", &system_user()]);
        let twice = format!("{password}\n{password}\n");
        let output = with_input(command, &twice);
        assert!(output.status.success(), "smbpasswd: {output:?}");
        self.settings.password = password.to_owned();
    }

    /// What `smbclient` says to a command in a share, for [`USER`].
    pub(crate) fn client(&self, share: &str, command: &str) -> Output {
        let mut client = Command::new("smbclient");
        client.args(["-s", "/dev/null", "-A", "/dev/stdin", "-p"]);
        client.arg(self.port.to_string());
        client
            .arg(format!("//127.0.0.1/{share}"))
            .args(["-c", command]);
        let login = format!("username = {USER}\npassword = {}\n", self.password());
        with_input(client, &login)
    }

    /// Ends the server as a crash does, with all that it started; clients lose their connections.
    pub(crate) fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        // A group of its own, so that the processes for connections and for lists go too.
        let group = format!("-{}", daemon.id());
        let _ = tools::output("kill", &[&"-KILL", &"--", &group]);
        let _ = daemon.wait();
    }

    /// Starts it again at the same port.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.run();
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("smb.conf")
    }

    fn run(&mut self) {
        let log = fs::File::create(self.folder.path().join("output")).unwrap();
        // A relative path to the configuration would make lists of shares come back empty.
        let daemon = Command::new(program("smbd"))
            .arg("-s")
            .arg(self.configuration())
            .args(["--foreground", "--no-process-group"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // At its end smbd ends its whole group, which must not be the test's.
            .process_group(0)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                begun.elapsed() < PATIENCE,
                "smbd does not answer: {}",
                self.log()
            );
            sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        let read = |name| fs::read(self.folder.path().join(name)).unwrap_or_default();
        let text = [read("output"), read("log")].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn write_configuration(&self) {
        let folder = self.folder.path().display();
        let Settings {
            encryption, guests, ..
        } = &self.settings;
        let (oldest, newest) = self.settings.protocols;
        let guest_ok = if *guests == "Never" { "no" } else { "yes" };
        let text = format!(
            "[global]
server role = standalone server
workgroup = CVOL
netbios name = CVOLTEST
disable netbios = yes
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = {port}
private dir = {folder}/private
lock directory = {folder}/lock
state directory = {folder}/state
cache directory = {folder}/cache
pid directory = {folder}/pid
ncalrpc dir = {folder}/ncalrpc
log file = {folder}/log
passdb backend = tdbsam:{folder}/private/passdb.tdb
username map = {folder}/users
map to guest = {guests}
server min protocol = {oldest}
server max protocol = {newest}
smb encrypt = {encryption}
load printers = no
printcap name = /dev/null
disable spoolss = yes
[data]
path = {folder}/data
comment = Data of a test
read only = no
guest ok = {guest_ok}
[ro]
path = {folder}/data
read only = yes
guest ok = {guest_ok}
[closed]
path = {folder}/data
valid users = nobody
",
            port = self.port
        );
        fs::write(self.configuration(), text).unwrap();
        let users = format!("{} = {USER}\n", system_user());
        fs::write(self.folder.path().join("users"), users).unwrap();
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens at, and that no two servers of this process get: Samba would share one with
/// another server without a word.
fn free_port() -> u16 {
    // Below those that Linux gives to whoever asks for any, so that nobody gets it meanwhile.
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    loop {
        let number = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + number % count).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn system_user() -> String {
    tools::run("id", &[&"-un"]).trim().to_owned()
}

fn program(name: &str) -> PathBuf {
    let place = Path::new("/usr/sbin").join(name);
    if place.is_file() {
        place
    } else {
        PathBuf::from(name)
    }
}

/// Runs a command that reads `input`.
pub(crate) fn with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read it says why in its output.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn the_server_of_a_test_serves_its_folder_to_its_user_until_it_is_stopped() {
    let Some(mut server) = Samba::start() else {
        return;
    };
    fs::write(server.data().join("hello"), "from the host").unwrap();
    let output = server.client("data", "get hello -");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"from the host");
    assert!(!server.client("closed", "ls").status.success());
    server.set_password("another");
    assert!(server.client("ro", "ls").status.success());
    server.stop();
    assert!(!server.client("data", "ls").status.success());
    server.restart();
    assert!(server.client("data", "ls").status.success());
    let port = server.port();
    assert!(server.source_for_guest("data").ends_with("/data"));
    assert!(server.source("data").contains(&port.to_string()));
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
