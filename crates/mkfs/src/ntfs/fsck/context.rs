//! What all parts of a check work with.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::parse::{NtfsVolume, ParseError};
use super::clusters::ClusterMap;
use super::facts::FactTable;
use crate::error::MkfsError;
use crate::findings::{VolumeFinding, VolumeReport};

/// The state of a check.
pub(super) struct Context<'v, 'd> {
    pub volume: &'v NtfsVolume<'d>,
    pub report: VolumeReport,
    pub facts: FactTable,
    pub clusters: ClusterMap,
    /// Security descriptors named by records, each with the first record that names it.
    pub security_ids: HashMap<u32, u64>,
    /// Owners named by records for quotas, each with the first record that names it.
    pub owner_ids: HashMap<u32, u64>,
    /// Tags and references of records with a reparse point.
    pub reparse_points: Vec<(u32, u64)>,
    /// Object identifiers and references of records that have one.
    pub object_ids: Vec<([u8; 16], u64)>,
    /// Files that are encrypted, and the first of them.
    pub encrypted: Tally,
    /// Names that Windows does not open, and the first file that has one.
    pub refused: Tally,
    progress: &'v dyn Fn(u64, u64) -> ControlFlow<()>,
}

/// How many records have something that is told once for all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    count: u64,
    first: Option<u64>,
}

impl Tally {
    pub(super) fn add(&mut self, record: u64) {
        self.count += 1;
        self.first = self.first.or(Some(record));
    }
}

impl<'v, 'd> Context<'v, 'd> {
    pub(super) fn new(
        volume: &'v NtfsVolume<'d>,
        mut report: VolumeReport,
        progress: &'v dyn Fn(u64, u64) -> ControlFlow<()>,
    ) -> Self {
        let geometry = volume.geometry();
        // No more than the disk has room for, whatever the boot sector says.
        let clusters = geometry
            .clusters
            .min(volume.disk().size().get() / geometry.cluster);
        report.clusters = clusters;
        report.cluster_size = geometry.cluster;
        Self {
            clusters: ClusterMap::new(clusters),
            facts: FactTable::new(record_limit(volume)),
            volume,
            report,
            security_ids: HashMap::new(),
            owner_ids: HashMap::new(),
            reparse_points: Vec::new(),
            object_ids: Vec::new(),
            encrypted: Tally::default(),
            refused: Tally::default(),
            progress,
        }
    }

    /// Takes a finding.
    pub(super) fn add(&mut self, finding: VolumeFinding) {
        self.report.add(finding);
    }

    /// Tells of files whose content nobody but Windows, with a key, can read, and of names that other
    /// systems write and Windows does not open.
    pub(super) fn tell_of_tallies(&mut self) {
        if let (count, Some(first)) = (self.encrypted.count, self.encrypted.first) {
            let files = match count {
                1 => "a file is".to_owned(),
                _ => format!("{count} files are"),
            };
            let message = format!(
                "{files} encrypted: what the clusters hold nobody reads without Windows and a user's key"
            );
            self.add(VolumeFinding::note("files-encrypted", message).of(first));
        }
        if let (count, Some(first)) = (self.refused.count, self.refused.first) {
            let names = match count {
                1 => "a name holds a character".to_owned(),
                _ => format!("{count} names hold a character"),
            };
            let message = format!(
                "{names} that names of Windows do not: Windows does not open such files, and takes them for \
                 damage when it checks the volume"
            );
            self.add(VolumeFinding::note("names-refused", message).of(first));
        }
    }

    /// Takes a damage that reading came upon; the disk's own failures end the check.
    pub(super) fn add_damage(
        &mut self,
        class: &'static str,
        record: u64,
        error: ParseError,
    ) -> Result<(), MkfsError> {
        if error.is_of_disk() {
            return Err(error.into());
        }
        let about = match &error {
            ParseError::Damaged {
                record: Some(other),
                ..
            } if *other != record => *other,
            _ => record,
        };
        self.add(VolumeFinding::error(class, error.to_string()).of(about));
        Ok(())
    }

    /// The value, or none where reading it came upon damage, which is taken as a finding.
    pub(super) fn found<T>(
        &mut self,
        class: &'static str,
        record: u64,
        result: Result<T, ParseError>,
    ) -> Result<Option<T>, MkfsError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.add_damage(class, record, error)?;
                Ok(None)
            }
        }
    }

    /// Tells how many records were come by, of each of which there are two rounds.
    pub(super) fn tell(&self, records: u64) -> Result<(), MkfsError> {
        let size = self.volume.geometry().record;
        let total = self.facts.limit().saturating_mul(2 * size);
        match (self.progress)(records.saturating_mul(size), total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MkfsError::Interrupted),
        }
    }
}

/// Records that are looked at: no more than the disk has room for.
fn record_limit(volume: &NtfsVolume<'_>) -> u64 {
    let room = volume.disk().size().get() / volume.geometry().record;
    volume.record_count().min(room).min(u64::from(u32::MAX))
}
