//! Looking a whole store over: its rows and files, every image with its chain, and, where that is
//! wanted, every file system.

use vdisk::RepairState;
use volume::{
    LayerState, SnapshotState, StoreClass, StoreCure, StoreFinding, VolumeRecord, VolumeState,
};

use crate::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::image::ImageReference;
use crate::progress::ProgressFn;
use crate::repair::RepairImage;

/// How a store is looked over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExamineStore {
    /// Whether what is safe is mended.
    pub mend: bool,
    /// Whether the file systems are walked too.
    pub deep: bool,
}

/// What was found in a store.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Volumes that were looked at: the images of those that have one.
    pub volumes: u64,
    /// The findings: of the store first, then volume by volume.
    pub findings: Vec<Symptom>,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symptom {
    /// The word of its class.
    pub class: &'static str,
    /// The volume, file or folder that it is about.
    pub subject: String,
    /// What is the case.
    pub message: String,
    /// What became of it.
    pub cure: StoreCure,
}

impl Diagnosis {
    /// Whether nothing is wrong that was not mended.
    pub fn is_sound(&self) -> bool {
        let is_left =
            |symptom: &Symptom| matches!(symptom.cure, StoreCure::Mendable | StoreCure::ByHand);
        !self.findings.iter().any(is_left)
    }

    pub(crate) fn add(
        &mut self,
        class: &'static str,
        subject: &str,
        message: impl Into<String>,
        cure: StoreCure,
    ) {
        self.findings.push(Symptom {
            class,
            subject: subject.to_owned(),
            message: message.into(),
            cure,
        });
    }
}

impl From<StoreFinding> for Symptom {
    fn from(finding: StoreFinding) -> Self {
        Self {
            class: finding.class.as_str(),
            subject: finding.subject,
            message: finding.message,
            cure: finding.cure,
        }
    }
}

impl Engine {
    /// Looks a store over, and mends what is safe where that is asked for. Volumes that are used are
    /// named and passed over.
    ///
    /// # Errors
    /// `InUse` and `Damaged` where the database cannot be read, `Interrupted`, `Io`.
    pub fn examine_store(
        &self,
        request: ExamineStore,
        progress: ProgressFn<'_>,
    ) -> Result<Diagnosis> {
        let store = self.store()?;
        let findings = store.examine(request.mend)?;
        let missing: Vec<String> = findings
            .iter()
            .filter(|finding| finding.class == StoreClass::MissingFile)
            .map(|finding| finding.subject.clone())
            .collect();
        let mut diagnosis = Diagnosis {
            findings: findings.into_iter().map(Symptom::from).collect(),
            ..Diagnosis::default()
        };
        self.examine_machines(request.mend, &mut diagnosis)?;
        self.examine_host_mounts(request.mend, &mut diagnosis)?;
        for record in self.list_volumes(&[])? {
            let name = record.name.as_str();
            if record.state != VolumeState::Ready || missing.iter().any(|found| found == name) {
                continue;
            }
            diagnosis.volumes += 1;
            if record.spec.disk().is_none() {
                continue;
            }
            self.examine_removals(&record, request.mend, &mut diagnosis, progress)?;
            self.examine_image(&record, request, &mut diagnosis)?;
            if request.deep {
                self.examine_file_systems(&record, &mut diagnosis, progress)?;
            }
        }
        Ok(diagnosis)
    }

    /// The snapshots of a volume whose removal somebody began and nobody ended: they are no state of
    /// the volume any more, and ending it is all that can be done with them.
    fn examine_removals(
        &self,
        record: &VolumeRecord,
        mend: bool,
        diagnosis: &mut Diagnosis,
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        for layer in self.store()?.layers(&record.name)? {
            let snapshot = match layer.snapshot {
                Some(found) if found.state == SnapshotState::Removing => found,
                _ => continue,
            };
            let subject = format!("{}@{}", record.name, snapshot.name);
            // Opening the store took over what the dead had left: this merge is alive.
            if layer.state != LayerState::Ready {
                let message = "it is being removed";
                diagnosis.add("in-use", &subject, message, StoreCure::NotNeeded);
                continue;
            }
            let mut message = "its removal was begun and not ended".to_owned();
            let cure = match mend {
                false => StoreCure::Mendable,
                true => match self.remove_snapshot(&subject, progress) {
                    Ok(_) => StoreCure::Mended,
                    Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                    Err(error) => {
                        message.push_str(&format!("; ending it failed: {}", with_causes(&error)));
                        StoreCure::ByHand
                    }
                },
            };
            diagnosis.add("snapshot-removal", &subject, message, cure);
        }
        Ok(())
    }

    /// The image of a volume with all below it, and those of its snapshots.
    fn examine_image(
        &self,
        record: &VolumeRecord,
        request: ExamineStore,
        diagnosis: &mut Diagnosis,
    ) -> Result<()> {
        let name = record.name.as_str();
        let image = ImageReference::Volume(name.to_owned());
        let is_cut_short = matches!(self.repair_state(&image), Ok(Some(RepairState::Begun)));
        if is_cut_short {
            let message = "a repair of its image was cut short";
            let cure = self.repair_where(request.mend, &image);
            diagnosis.add("repair", name, message, cure);
        }
        let snapshots = self.store()?.snapshots(&record.name)?;
        let snapshots = snapshots
            .iter()
            .filter(|snapshot| snapshot.state == SnapshotState::Ready)
            .map(|snapshot| format!("{name}@{}", snapshot.name));
        let all = std::iter::once(name.to_owned()).chain(snapshots);
        for subject in all {
            let image = ImageReference::Volume(subject.clone());
            let checked = match self.check_image(&image, None) {
                Ok(checked) => checked,
                Err(error) => {
                    unreadable(&subject, &error, diagnosis)?;
                    continue;
                }
            };
            let first = |report: &vdisk::CheckReport| {
                let errors = report.error_count();
                let first = report
                    .findings()
                    .iter()
                    .find(|finding| finding.severity == vdisk::Severity::Error);
                let first = first.map_or_else(String::new, |first| first.message.clone());
                format!("{errors} broken rules of the image, the first: {first}")
            };
            if !checked.report.is_sound() {
                let cure = match subject == name {
                    true => self.repair_where(request.mend, &image),
                    // Nobody writes to a snapshot.
                    false => StoreCure::ByHand,
                };
                diagnosis.add("image", &subject, first(&checked.report), cure);
            }
            for (below, report) in &checked.parents {
                if !report.is_sound() {
                    let message = format!("below it, {below}: {}", first(report));
                    diagnosis.add("chain", &subject, message, StoreCure::ByHand);
                }
            }
        }
        Ok(())
    }

    /// Repairs an image without loss, where that is wanted.
    fn repair_where(&self, wanted: bool, image: &ImageReference) -> StoreCure {
        let request = RepairImage {
            image: image.clone(),
            format: None,
            accept_loss: false,
        };
        if wanted {
            return match self.repair_image(&request) {
                Ok(repaired) if repaired.plan.remaining().is_sound() => StoreCure::Mended,
                _ => StoreCure::ByHand,
            };
        }
        match self.plan_image_repair(&request) {
            Ok(plan) if plan.remaining().is_sound() => StoreCure::Mendable,
            _ => StoreCure::ByHand,
        }
    }

    fn examine_file_systems(
        &self,
        record: &VolumeRecord,
        diagnosis: &mut Diagnosis,
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        let name = record.name.as_str();
        let image = ImageReference::Volume(name.to_owned());
        match self.check_volume(&image, progress) {
            Ok(checked) if checked.is_clean() => {}
            Ok(checked) => {
                let problems: u64 = checked.volumes.iter().map(|it| it.report.problems()).sum();
                let message = format!("{problems} problems of its file system: `cvol fsck {name}`");
                diagnosis.add("file-system", name, message, StoreCure::ByHand);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            // A disk without a file system is none that could be wrong.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => unreadable(name, &error, diagnosis)?,
        }
        Ok(())
    }
}

/// What an image that cannot be looked at says.
fn unreadable(subject: &str, error: &Error, diagnosis: &mut Diagnosis) -> Result<()> {
    let cure = match error.kind() {
        ErrorKind::InUse => StoreCure::NotNeeded,
        _ => StoreCure::ByHand,
    };
    let class = match cure {
        StoreCure::NotNeeded => "in-use",
        _ => "image",
    };
    diagnosis.add(class, subject, with_causes(error), cure);
    Ok(())
}

/// The text of an error with those of its causes.
fn with_causes(error: &Error) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::volumes::CreateVolume;
    use crate::{Config, CopyIn, NamePolicy, Place};

    /// Class, subject and cure of each finding.
    fn found(diagnosis: &Diagnosis) -> Vec<(&str, &str, StoreCure)> {
        let findings = diagnosis.findings.iter();
        findings
            .map(|it| (it.class, it.subject.as_str(), it.cure))
            .collect()
    }

    #[test]
    fn the_removal_of_a_snapshot_that_was_cut_short_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let go_on: ProgressFn<'_> = &|_| ControlFlow::Continue(());
        let stop: ProgressFn<'_> = &|_| ControlFlow::Break(());
        let engine = Engine::new(Config::with_root(folder.path().join("store")));
        let request = CreateVolume {
            name: "data".to_owned(),
            options: vec!["size=64M".to_owned()],
            ..CreateVolume::default()
        };
        engine.create_volume(&request, go_on).unwrap();
        engine.take_snapshot("data@old", None).unwrap();
        // The volume now holds less than the snapshot, which will take it in: from then on it is no
        // state of the volume.
        let file = folder.path().join("after");
        std::fs::write(&file, "after").unwrap();
        let request = CopyIn {
            sources: vec![file],
            target: Place {
                image: ImageReference::Volume("data".to_owned()),
                path: "/".to_owned(),
            },
            name_policy: NamePolicy::Map,
            keep_going: false,
            access_rules: None,
        };
        engine.copy_in(&request, go_on).unwrap();
        let stopped = engine.remove_snapshot("data@old", stop);
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);

        let look = |mend| {
            let request = ExamineStore { mend, deep: true };
            engine.examine_store(request, go_on).unwrap()
        };
        let removal = |cure| ("snapshot-removal", "data@old", cure);
        let (seen, mended) = (look(false), look(true));
        assert_eq!(found(&seen), [removal(StoreCure::Mendable)]);
        assert!(!seen.is_sound());
        assert_eq!(found(&mended), [removal(StoreCure::Mended)]);
        assert_eq!(found(&look(false)), []);
        let (_, layers) = engine.list_layers("data").unwrap();
        assert_eq!(layers.len(), 1);
    }
}
