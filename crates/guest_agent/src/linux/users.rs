//! Who uses a mount, for a message.

use std::fs::{self, File};

use super::target;

/// How many are named.
const MAX_NAMED: usize = 3;

/// Names processes that have files of a target open, or stand in it; says nothing where none is found.
pub(super) fn of(root: &File, target: &str) -> String {
    let Ok(place) = target::find(root, target) else {
        return String::new();
    };
    let Ok(device) = rustix::fs::fstat(&place).map(|facts| facts.st_dev) else {
        return String::new();
    };
    drop(place);
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|process| {
        let number = process.file_name().into_string().ok()?;
        let is_process = number.bytes().all(|byte| byte.is_ascii_digit()) && number != own;
        (is_process && uses(&number, device)).then(|| named(&number))
    });
    let names: Vec<String> = names.take(MAX_NAMED).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(" by {}", names.join(", "))
}

fn uses(process: &str, device: u64) -> bool {
    let is_of =
        |path: String| rustix::fs::stat(path.as_str()).is_ok_and(|facts| facts.st_dev == device);
    if ["cwd", "root", "exe"]
        .iter()
        .any(|link| is_of(format!("/proc/{process}/{link}")))
    {
        return true;
    }
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    let mut files = files.into_iter().flatten().flatten();
    files.any(|file| is_of(format!("/proc/{process}/fd/{}", file.file_name().display())))
}

fn named(process: &str) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    format!("process {process} ({})", name.trim())
}
