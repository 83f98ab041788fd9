//! What a check of a file system found: findings in words, each of a class with a stable name.

use std::collections::BTreeMap;

use crate::identify::FileSystem;

/// Findings kept of one class; more of them are counted alone.
const MAX_OF_CLASS: u64 = 200;
/// Findings kept in all.
const MAX_FINDINGS: usize = 5_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingSeverity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Wrong, but nothing that is stored is at risk: space lost, a flag that asks for a check.
    Warning,
    /// The structure is damaged.
    Error,
}

impl std::fmt::Display for FindingSeverity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFinding {
    /// Stable name of the kind of finding, such as `index-order`.
    pub class: &'static str,
    /// How bad it is.
    pub severity: FindingSeverity,
    /// The file record (NTFS) or first cluster (FAT32) that it is about.
    pub record: Option<u64>,
    /// Path of that file, as far as it could be followed.
    pub path: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What should stand there.
    pub expected: Option<String>,
    /// What stands there.
    pub actual: Option<String>,
}

impl VolumeFinding {
    fn new(class: &'static str, severity: FindingSeverity, message: impl Into<String>) -> Self {
        Self {
            class,
            severity,
            record: None,
            path: None,
            message: message.into(),
            expected: None,
            actual: None,
        }
    }

    /// A damage.
    pub(crate) fn error(class: &'static str, message: impl Into<String>) -> Self {
        Self::new(class, FindingSeverity::Error, message)
    }

    /// Something wrong without risk.
    pub(crate) fn warning(class: &'static str, message: impl Into<String>) -> Self {
        Self::new(class, FindingSeverity::Warning, message)
    }

    /// Something worth knowing.
    pub(crate) fn note(class: &'static str, message: impl Into<String>) -> Self {
        Self::new(class, FindingSeverity::Note, message)
    }

    /// The same, about a record.
    #[must_use]
    pub(crate) fn of(mut self, record: u64) -> Self {
        self.record = Some(record);
        self
    }

    /// The same, about a path.
    #[must_use]
    pub(crate) fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The same, with what should be and what is.
    #[must_use]
    pub(crate) fn versus(
        mut self,
        expected: impl std::fmt::Display,
        actual: impl std::fmt::Display,
    ) -> Self {
        self.expected = Some(expected.to_string());
        self.actual = Some(actual.to_string());
        self
    }
}

/// What a check of a file system found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeReport {
    /// The file system checked.
    pub file_system: FileSystem,
    /// Files, whatever links lead to them.
    pub files: u64,
    /// Directories, the root counted.
    pub directories: u64,
    /// Clusters of the volume.
    pub clusters: u64,
    /// Clusters in use.
    pub used_clusters: u64,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    findings: Vec<VolumeFinding>,
    counts: BTreeMap<&'static str, (FindingSeverity, u64)>,
}

impl VolumeReport {
    /// Nothing found yet.
    pub(crate) fn new(file_system: FileSystem) -> Self {
        Self {
            file_system,
            files: 0,
            directories: 0,
            clusters: 0,
            used_clusters: 0,
            cluster_size: 0,
            findings: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Takes a finding; where there are too many of its class, only their number.
    pub(crate) fn add(&mut self, finding: VolumeFinding) {
        let (severity, count) = self
            .counts
            .entry(finding.class)
            .or_insert((finding.severity, 0));
        *severity = (*severity).max(finding.severity);
        *count += 1;
        if *count <= MAX_OF_CLASS && self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// The findings, in the order in which they were made.
    pub fn findings(&self) -> &[VolumeFinding] {
        &self.findings
    }

    pub(crate) fn findings_mut(&mut self) -> &mut [VolumeFinding] {
        &mut self.findings
    }

    /// How many findings of each class there are, and how bad the worst of them is.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, FindingSeverity, u64)> {
        self.counts
            .iter()
            .map(|(class, (severity, count))| (*class, *severity, *count))
    }

    /// Whether anything of a class was found.
    pub fn has(&self, class: &str) -> bool {
        self.counts.contains_key(class)
    }

    /// Findings that are not listed, because there are too many.
    pub fn omitted(&self) -> u64 {
        let all: u64 = self.counts.values().map(|(_, count)| count).sum();
        all - u64::try_from(self.findings.len()).unwrap_or(all)
    }

    /// Errors and warnings found.
    pub fn problems(&self) -> u64 {
        let is_problem = |severity: &FindingSeverity| *severity > FindingSeverity::Note;
        let counts = self.counts.values();
        counts
            .filter(|(severity, _)| is_problem(severity))
            .map(|(_, count)| count)
            .sum()
    }

    /// Whether nothing is wrong; notes do not count.
    pub fn is_clean(&self) -> bool {
        self.problems() == 0
    }
}
