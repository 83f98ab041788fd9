//! What is true of every ledger: held against one that was read, and in tests after every change.

use std::collections::{BTreeMap, BTreeSet};

use crate::guest::{Hypervisor, Platform};
use crate::mount::SmbSource;
use crate::path::HostPath;
use crate::plan::rules::{is_serial, is_share_name};
use crate::plan::{Action, Layer, Share};
use crate::slots::{PlacedDisk, Slots};

use super::{Entry, EntryState, Ledger, Mount, MountId, MountState};

type Checked = Result<(), String>;

impl Ledger {
    /// What is wrong with the ledger, in words.
    ///
    /// # Errors
    /// The first thing that no ledger of ours can have.
    pub(super) fn check(&self) -> Checked {
        self.check_numbers()?;
        self.check_attachments()?;
        let mut slots = Slots::new(self.platform.slot_layout());
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mounts: BTreeMap<MountId, &Mount> =
            self.mounts().map(|(_, mount)| (mount.id, mount)).collect();
        for entry in &self.entries {
            let id = entry.id.0;
            let told = |what: String| format!("entry {id}: {what}");
            self.check_holders(entry, &mounts).map_err(told)?;
            check_action(self.platform, entry).map_err(told)?;
            match &entry.action {
                Action::AddDisk {
                    slot, path, serial, ..
                } => {
                    let disk = PlacedDisk {
                        key: path.key(),
                        serial: serial.clone(),
                        read_only: false,
                        is_settled: true,
                    };
                    let occupied = slots.occupy(*slot, disk);
                    occupied.map_err(|error| told(error.to_string()))?;
                }
                Action::AddShare(share) if !names.insert(share.name.to_ascii_lowercase()) => {
                    return Err(told(format!("a second share named {}", share.name)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Checked {
        let mut seen = BTreeSet::new();
        let attachments = self.attachments.iter().map(|attachment| attachment.id.0);
        let mounts = self.mounts().map(|(_, mount)| mount.id.0);
        let entries = self.entries.iter().map(|entry| entry.id.0);
        for number in attachments.chain(mounts).chain(entries) {
            if number == 0 || number >= self.next || !seen.insert(number) {
                return Err(format!("the number {number} is given twice or not yet"));
            }
        }
        if !self.entries.is_sorted_by_key(|entry| entry.id) {
            return Err("the entries are not in the order of their numbers".to_owned());
        }
        Ok(())
    }

    fn check_attachments(&self) -> Checked {
        for attachment in &self.attachments {
            let told = |what: &str| Err(format!("attachment {}: {what}", attachment.id));
            let is_coming = |mount: &Mount| mount.state == MountState::Coming;
            if attachment.mounts.is_empty() {
                return told("no mounts");
            }
            if attachment.mounts.iter().any(is_coming)
                && !(attachment.mounts.iter().all(is_coming) && attachment.worker.is_some())
            {
                return told("a mount is coming, and not all are or nobody is at work");
            }
            if attachment.worker.is_some() && !attachment.mounts.iter().all(is_coming) {
                return told("somebody is at work on what is there");
            }
        }
        let mounts: Vec<&Mount> = self.mounts().map(|(_, mount)| mount).collect();
        for (index, mount) in mounts.iter().enumerate() {
            let mut others = mounts[index + 1..].iter();
            if others.any(|other| other.target.is_same_place(&mount.target)) {
                return Err(format!("two mounts at {}", mount.target));
            }
            self.check_mount(mount)
                .map_err(|what| format!("the mount at {}: {what}", mount.target))?;
        }
        Ok(())
    }

    /// A mount holds something, and all that it needs where it is there.
    fn check_mount(&self, mount: &Mount) -> Checked {
        let held = self.entries.iter();
        let held: Vec<&Entry> = held.filter(|e| e.holders.contains(&mount.id)).collect();
        if held.is_empty() {
            return Err("nothing is held by it".to_owned());
        }
        if mount.state == MountState::There {
            if held.iter().any(|entry| entry.state != EntryState::Done) {
                return Err("it is there without all that it needs".to_owned());
            }
            if !held
                .iter()
                .any(|entry| entry.layer() == Some(Layer::Mounted))
            {
                return Err("it is there and not mounted".to_owned());
            }
        }
        Ok(())
    }

    fn check_holders(&self, entry: &Entry, mounts: &BTreeMap<MountId, &Mount>) -> Checked {
        if entry.holders.is_empty() {
            return Err("nobody holds it".to_owned());
        }
        let mut all_leave = true;
        for holder in &entry.holders {
            let Some(mount) = mounts.get(holder) else {
                return Err(format!("its holder {} is no mount", holder.0));
            };
            all_leave &= mount.state == MountState::Leaving;
            if entry.layer() == Some(Layer::Mounted) && entry.action.target() != Some(&mount.target)
            {
                return Err("it mounts at another target than its holder".to_owned());
            }
        }
        match entry.state {
            EntryState::Planned if all_leave => Err("it is planned for nobody".to_owned()),
            EntryState::Undoing if !all_leave => Err("it is undone under a holder".to_owned()),
            _ if entry.worker.is_some() && entry.state != EntryState::Undoing => {
                Err("somebody undoes it, and it is not being undone".to_owned())
            }
            _ => self.check_base(entry),
        }
    }

    /// What a mount of a disk or share is on is there, and held by the same mount.
    fn check_base(&self, entry: &Entry) -> Checked {
        if entry.layer() != Some(Layer::Mounted) {
            return Ok(());
        }
        let holder: Vec<&MountId> = entry.holders.iter().collect();
        let [holder] = holder[..] else {
            return Err("two mounts hold one mount".to_owned());
        };
        let mut held = self.entries.iter().filter(|e| e.holders.contains(holder));
        let found = match &entry.action {
            Action::MountDisk { slot, serial, .. } => held.any(|base| {
                matches!(&base.action, Action::AddDisk { slot: at, serial: known, .. }
                    if at == slot && known == serial)
            }),
            Action::MountShare { share, .. } => {
                held.any(|base| matches!(&base.action, Action::AddShare(own) if own == share))
            }
            _ => true,
        };
        if found {
            Ok(())
        } else {
            Err("what it mounts is not held".to_owned())
        }
    }
}

fn check_action(platform: Platform, entry: &Entry) -> Checked {
    let is_made = matches!(entry.action, Action::MakeDirectory(_));
    if entry.missing.is_some() != (is_made && entry.state != EntryState::Planned) {
        return Err("a count of missing directories too many or too few".to_owned());
    }
    let check_path = |path: &HostPath| {
        if path.is_windows() == matches!(platform.hypervisor, Hypervisor::Hcs(_)) {
            Ok(())
        } else {
            Err(format!("{path} is no path of that host"))
        }
    };
    let check_serial = |serial: &str| {
        if is_serial(serial) {
            Ok(())
        } else {
            Err(format!("{serial:?} is no serial"))
        }
    };
    match &entry.action {
        Action::MakeDirectory(path)
        | Action::MakeImage { path, .. }
        | Action::GrantAccess { path, .. } => check_path(path),
        Action::ServeDisk { path, serial, .. } | Action::AddDisk { path, serial, .. } => {
            check_serial(serial)?;
            check_path(path)
        }
        Action::AddShare(share) => {
            check_share(platform, share)?;
            check_path(&share.path)
        }
        Action::MountDisk { serial, .. } => check_serial(serial),
        Action::MountSmb { source, .. } => check_smb(source),
        Action::MountShare { .. } | Action::MountMemory { .. } => Ok(()),
        _ => Err("it only undoes something".to_owned()),
    }
}

fn check_share(platform: Platform, share: &Share) -> Checked {
    if Some(share.transport) != platform.transport() {
        return Err(format!("no share over {} there", share.transport.name()));
    }
    let is_name = |file: &str| !file.is_empty() && !file.contains(['/', '\\', '\0']);
    if !is_share_name(&share.name) || share.only_file.as_deref().is_some_and(|f| !is_name(f)) {
        return Err(format!(
            "{:?} is no name of a share, or its file none",
            share.name
        ));
    }
    Ok(())
}

fn check_smb(source: &SmbSource) -> Checked {
    let parsed = SmbSource::parse(&source.unc()).map(|parsed| SmbSource {
        user: source.user.clone(),
        login: source.login.clone(),
        ..parsed
    });
    if parsed.as_ref() == Ok(source) {
        Ok(())
    } else {
        Err(format!("{} is no share of a server", source.unc()))
    }
}
