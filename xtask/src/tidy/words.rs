//! Words that have no place in the repository: paths of one machine, and addresses of hosts that a
//! reader may not reach or trust.

use super::Findings;
use super::files::TextFile;

/// Folders of somebody's machine. Put together here so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wor", "k/"),
    concat!("/tmp/", "t/"),
    concat!("/tmp/", "w/"),
    concat!("/tmp/", "plan"),
    concat!("/root/", "."),
];

/// Hosts of public documentation and source, and names that lead nowhere by definition.
const HOSTS: [&str; 15] = [
    "github.com",
    "crates.io",
    "docs.rs",
    "doc.rust-lang.org",
    "www.rust-lang.org",
    "rustup.rs",
    "learn.microsoft.com",
    "keepachangelog.com",
    "semver.org",
    "reproducible-builds.org",
    "www.apache.org",
    "opensource.org",
    "spdx.org",
    "json-schema.org",
    "www.w3.org",
];

pub(crate) fn check(file: &TextFile, findings: &mut Findings) {
    for (index, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.name(), index + 1);
        for path in MACHINE_PATHS {
            if has_path(line, path) {
                findings.error(&place, format!("{path} is a path of one machine"));
            }
        }
        for host in hosts(line) {
            if !HOSTS.contains(&host) && !leads_nowhere(host) {
                findings.error(&place, format!("{host} is not a host that we point to"));
            }
        }
    }
}

/// Whether the path begins there, rather than being the end of a longer one.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(index, _)| {
        let before = line.get(..index).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.}$".contains(c))
    })
}

/// The hosts of the web addresses in a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").filter_map(|(index, sign)| {
        let scheme = line.get(..index)?;
        if !scheme.ends_with("http") && !scheme.ends_with("https") {
            return None;
        }
        let address = line.get(index + sign.len()..)?;
        let end = address.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '-');
        address
            .get(..end.unwrap_or(address.len()))
            .filter(|host| !host.is_empty())
    })
}

/// Names that are set aside for examples and tests.
fn leads_nowhere(host: &str) -> bool {
    !host.contains('.')
        || host.ends_with(".test")
        || host.ends_with(".example")
        || host.ends_with("example.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> usize {
        let mut findings = Findings::default();
        check(
            &TextFile {
                path: "a.md".into(),
                text: text.to_owned(),
            },
            &mut findings,
        );
        findings.errors().len()
    }

    #[test]
    fn paths_of_a_machine_are_seen_and_likenesses_are_not() {
        assert_eq!(errors(concat!("see /wor", "k/main")), 1);
        assert_eq!(errors(concat!("target/wor", "k/x $DIR/wor", "k/x")), 1 - 1);
        assert_eq!(errors("the network/workload"), 0);
    }

    #[test]
    fn unknown_hosts_are_seen() {
        assert_eq!(
            errors("https://docs.rs/uuid http://mirror.test/debian https://{host}/x"),
            0
        );
        assert_eq!(errors(concat!("htt", "p://10.0.0.1:8080/simple")), 1);
    }
}
