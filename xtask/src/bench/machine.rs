//! Facts of the machine that measured, without which no number means anything.

use std::process::Command;

use crate::process;

/// A list in Markdown.
pub(super) fn facts() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let facts = [
        ("processor", field("/proc/cpuinfo", "model name")),
        ("processors", processors.to_string()),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("kernel", line("uname", &["-sr"])),
        ("qemu-img", line("qemu-img", &["--version"])),
        ("rustc", line("rustc", &["--version"])),
        ("load average at the start", text("/proc/loadavg")),
    ];
    facts
        .map(|(name, value)| format!("- {name}: {}\n", value.trim()))
        .concat()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|_| "?".to_owned())
}

/// The value of the first line `NAME : VALUE` of a file.
fn field(path: &str, name: &str) -> String {
    let text = text(path);
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(key, _)| key.trim() == name);
    found.map_or_else(|| "?".to_owned(), |(_, value)| value.to_owned())
}

/// The first line that a program says.
fn line(program: &str, words: &[&str]) -> String {
    let said = process::capture(Command::new(program).args(words)).unwrap_or_default();
    said.lines().next().unwrap_or("?").to_owned()
}
