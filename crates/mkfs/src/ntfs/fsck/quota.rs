//! `$Quota`: its two indexes against each other, and the owners that records name.

use std::collections::BTreeMap;

use zerocopy::FromBytes;

use super::super::format::QuotaEntry;
use super::super::parse::{File, Index};
use super::context::Context;
use super::tree::{self, IndexRules};
use super::views::view;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Numbers of owners by their accounts.
const OWNERS: IndexRules = view("$O", 0x11);
/// Quotas by the numbers of owners.
const QUOTAS: IndexRules = view("$Q", 0x10);
/// The number of the entry that says what new owners have; it has no account.
const DEFAULTS: u32 = 1;
/// Versions of an entry: Windows 2000, and later ones.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;
/// Flags that Windows sets.
const KNOWN_FLAGS: u32 = 0xFFF;
/// The entry is to be removed, and its account is gone from the other index.
const DELETED: u32 = 4;

fn error(record: u64, message: impl Into<String>) -> VolumeFinding {
    VolumeFinding::error("quota", message).of(record)
}

/// Checks `$Quota`.
pub(super) fn check(context: &mut Context<'_, '_>, file: &File) -> Result<(), MkfsError> {
    let record = file.base().number();
    let (mut owners, mut quotas) = (BTreeMap::new(), BTreeMap::new());
    for rules in [OWNERS, QUOTAS] {
        if Index::open(context.volume, file, rules.name).is_err() {
            let message = format!("$Quota has no index {}", rules.name);
            context.add(VolumeFinding::error("index-root", message).of(record));
            return Ok(());
        }
    }
    let mut is_whole = tree::walk(context, file, OWNERS, &mut |context, entry| match entry
        .data()
        .and_then(|data| data.first_chunk::<4>())
    {
        Some(id) => {
            owners.insert(u32::from_le_bytes(*id), entry.key.to_vec());
        }
        None => context.add(error(record, "an owner has no number")),
    })?;
    is_whole &= tree::walk(context, file, QUOTAS, &mut |context, entry| {
        let found = entry
            .data()
            .and_then(|data| QuotaEntry::ref_from_prefix(data).ok());
        match (entry.key.first_chunk::<4>(), found) {
            (Some(id), Some((quota, account))) => {
                let id = u32::from_le_bytes(*id);
                check_entry(context, record, id, quota);
                let is_deleted = quota.flags.get() & DELETED != 0;
                quotas.insert(id, (account.to_vec(), is_deleted));
            }
            _ => context.add(error(record, "a quota is cut short")),
        }
    })?;
    if is_whole {
        compare(context, record, &owners, &quotas);
    }
    Ok(())
}

fn check_entry(context: &mut Context<'_, '_>, record: u64, id: u32, quota: &QuotaEntry) {
    let (version, flags) = (quota.version.get(), quota.flags.get());
    if !VERSIONS.contains(&version) {
        let message = format!("the quota of owner {id:#x} has a version that is not known");
        context.add(error(record, message).versus("1 or 2", version));
    }
    if flags & !KNOWN_FLAGS != 0 {
        let message = format!("the quota of owner {id:#x} has unknown flags");
        let (known, flags) = (format!("0 to {KNOWN_FLAGS:#x}"), format!("{flags:#x}"));
        context.add(error(record, message).versus(known, flags));
    }
}

/// Every owner has a quota, every quota an owner of the same account; and records name owners that
/// there are.
fn compare(
    context: &mut Context<'_, '_>,
    record: u64,
    owners: &BTreeMap<u32, Vec<u8>>,
    quotas: &BTreeMap<u32, (Vec<u8>, bool)>,
) {
    for (id, account) in owners {
        let is_right = quotas
            .get(id)
            .is_some_and(|(named, _)| named.starts_with(account));
        if !is_right {
            let message = format!("owner {id:#x} has no quota of the same account");
            context.add(error(record, message));
        }
    }
    for (id, (_, is_deleted)) in quotas {
        if *id != DEFAULTS && !is_deleted && !owners.contains_key(id) {
            let message = format!("the quota {id:#x} is of no owner");
            context.add(error(record, message));
        }
    }
    let mut named: Vec<(u32, u64)> = context.owner_ids.drain().collect();
    named.sort_unstable_by_key(|(_, record)| *record);
    for (id, record) in named {
        if !quotas.contains_key(&id) {
            let message = format!("the file counts for owner {id:#x}, but $Quota has none such");
            context.add(VolumeFinding::warning("quota", message).of(record));
        }
    }
}
