//! Which independent tools are here, and how to run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether every named tool is on the path. Where one is missing the calling test ends early: by
/// name at a desk, as a failure in CI.
pub(crate) fn needs(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|tool| find(tool).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    assert!(
        !in_ci(),
        "{name} needs {missing:?}: run `cargo xtask setup`"
    );
    eprintln!("skipped: {name} needs {missing:?}");
    false
}

/// Whether this is a CI run, where nothing may be skipped.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Something that `cargo xtask setup` makes in the target folder, or where a variable says it is.
pub(crate) fn made_by_setup(variable: &str, place: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../target")
                .join(place)
        },
        PathBuf::from,
    )
}

/// Says that something is not here: a failure in CI.
pub(crate) fn absent(what: &str) {
    assert!(!in_ci(), "no {what}: run `cargo xtask setup`");
    eprintln!("skipped: no {what}: run `cargo xtask setup`");
}

/// The NTFS checker of ntfsprogs-plus, which cannot be installed beside ntfs-3g: `CVOL_NTFSCK`, or
/// where `cargo xtask setup` puts it. `None` where it is absent (a failure in CI).
pub(crate) fn ntfsck() -> Option<PathBuf> {
    program_of_setup("CVOL_NTFSCK", "ntfsck/ntfsck")
}

/// The Python that has `dissect.ntfs`: `CVOL_DISSECT`, or where `cargo xtask setup` puts it. `None`
/// where it is absent (a failure in CI).
pub(crate) fn dissect() -> Option<PathBuf> {
    program_of_setup("CVOL_DISSECT", "dissect/bin/python")
}

fn program_of_setup(variable: &str, place: &str) -> Option<PathBuf> {
    let program = made_by_setup(variable, place);
    if program.is_file() {
        return Some(program);
    }
    absent(&program.display().to_string());
    None
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
}

/// Runs a tool and returns its standard output; panics with both outputs where it fails.
pub(crate) fn run(tool: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let output = output(tool, arguments);
    assert!(
        output.status.success(),
        "{tool} failed with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a tool and returns what came of it.
pub(crate) fn output(tool: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let program = find(tool).unwrap_or_else(|| PathBuf::from(tool));
    let mut command = Command::new(program);
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    command
        .output()
        .unwrap_or_else(|error| panic!("{tool} does not start: {error}"))
}

/// Whether a process of this number runs. What has ended and is only to be waited for does not, once the
/// last of its threads has ended too.
pub(crate) fn is_process(number: &str) -> bool {
    let folder = Path::new("/proc").join(number.trim());
    let Ok(status) = std::fs::read_to_string(folder.join("stat")) else {
        return false;
    };
    let threads = std::fs::read_dir(folder.join("task")).map_or(0, Iterator::count);
    !status.contains(") Z ") || threads > 1
}

/// Whether somebody accepts connections at a socket. The file alone says that the socket has its name,
/// which it has a moment earlier; a connection made to find out may be the only one that is served.
pub(crate) fn listens(socket: &Path) -> bool {
    // Num RefCount Protocol Flags Type St Inode Path: proc_net(5), the flags of a socket that accepts.
    const ACCEPTS: &str = "00010000";
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let place = format!(" {}", socket.display());
    sockets
        .lines()
        .any(|line| line.split_whitespace().nth(3) == Some(ACCEPTS) && line.ends_with(&place))
}

/// The folder of Windows-made images, or `None` (a failure in CI).
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("CVOL_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    if folder.join("manifest.tsv").is_file() {
        return Some(folder);
    }
    assert!(
        !in_ci(),
        "no corpus at {}: set CVOL_CORPUS",
        folder.display()
    );
    eprintln!(
        "skipped: no corpus at {}: set CVOL_CORPUS",
        folder.display()
    );
    None
}

/// SHA-256 of a whole file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> String {
    use sha2::Digest as _;
    let mut file = std::fs::File::open(path).unwrap();
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).unwrap();
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
