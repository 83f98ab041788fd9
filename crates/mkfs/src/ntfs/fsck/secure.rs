//! `$Secure`: its two indexes against each other, every descriptor against its hash and its copy,
//! and the numbers that records use.

use std::collections::BTreeMap;

use super::super::parse::{File, SecurityEntry, Value, descriptor_hash, kind};
use super::context::Context;
use super::tree::{self, IndexRules};
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Record of `$Secure`.
const SECURE: u64 = 9;
/// Bytes of a block of descriptors; its copy follows it.
const BLOCK: u64 = 0x4_0000;
/// Where entries begin.
const ALIGNMENT: u64 = 16;
const BY_ID: IndexRules = IndexRules {
    name: "$SII",
    attribute: 0,
    collation: 0x10,
};
const BY_HASH: IndexRules = IndexRules {
    name: "$SDH",
    attribute: 0,
    collation: 0x12,
};

fn error(class: &'static str, message: impl Into<String>) -> VolumeFinding {
    VolumeFinding::error(class, message).of(SECURE)
}

/// Checks `$Secure`.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let volume = context.volume;
    let file = volume.read_file(SECURE);
    let Some(file) = context.found("secure", SECURE, file)? else {
        return Ok(());
    };
    let stream = file.value(volume, kind::DATA, "$SDS");
    let Some(stream) = context.found("secure", SECURE, stream)? else {
        return Ok(());
    };
    let Some(stream) = stream else {
        context.add(error("secure", "$Secure has no stream of descriptors"));
        return Ok(());
    };
    let mut by_id = BTreeMap::new();
    entries(context, &file, BY_ID, &mut |context, key, entry| {
        if key != entry.id.to_le_bytes() {
            let finding = error(
                "secure-index",
                "the key of an entry of $SII is not its number",
            );
            context.add(finding.versus(format_args!("{:#x}", entry.id), hex(key)));
        }
        by_id.insert(entry.id, entry);
    })?;
    let mut hashed = 0;
    entries(context, &file, BY_HASH, &mut |context, key, entry| {
        hashed += 1;
        let own = [entry.hash.to_le_bytes(), entry.id.to_le_bytes()].concat();
        if key != own {
            let finding = error(
                "secure-index",
                "the key of an entry of $SDH is not its hash and number",
            );
            context.add(finding.versus(hex(&own), hex(key)));
        }
        if by_id.get(&entry.id) != Some(&entry) {
            let message = format!(
                "$SDH and $SII tell different things of descriptor {:#x}",
                entry.id
            );
            context.add(error("secure-index", message));
        }
    })?;
    if hashed != by_id.len() {
        let finding = error(
            "secure-index",
            "$SDH and $SII have not the same number of entries",
        );
        context.add(finding.versus(by_id.len(), hashed));
    }
    let mut used: Vec<(u32, u64)> = context.security_ids.drain().collect();
    used.sort_unstable_by_key(|(_, record)| *record);
    for (id, record) in used {
        if !by_id.contains_key(&id) {
            let message = format!("security descriptor {id:#x} is used, but $Secure has none such");
            context.add(VolumeFinding::error("security-id", message).of(record));
        }
    }
    for entry in by_id.values() {
        check_descriptor(context, &stream, entry)?;
    }
    check_layout(context, &stream, by_id.into_values().collect());
    Ok(())
}

/// Goes through one of the indexes.
fn entries<'v, 'd>(
    context: &mut Context<'v, 'd>,
    file: &File,
    rules: IndexRules,
    take: &mut dyn FnMut(&mut Context<'v, 'd>, &[u8], SecurityEntry),
) -> Result<(), MkfsError> {
    tree::walk(context, file, rules, &mut |context, entry| match entry
        .data()
        .and_then(SecurityEntry::parse)
    {
        Some(found) => take(context, entry.key, found),
        None => context.add(error(
            "secure-index",
            format!("an entry of {} has no data", rules.name),
        )),
    })?;
    Ok(())
}

/// An entry of `$SDS`: what the indexes say, its hash, its copy.
fn check_descriptor(
    context: &mut Context<'_, '_>,
    stream: &Value,
    entry: &SecurityEntry,
) -> Result<(), MkfsError> {
    let id = entry.id;
    let length = u64::from(entry.length);
    let block = entry.offset / (2 * BLOCK) * (2 * BLOCK);
    let is_placed = entry.offset.is_multiple_of(ALIGNMENT)
        && (SecurityEntry::HEAD + 20..=BLOCK).contains(&length)
        && entry.offset + length <= block + BLOCK;
    if !is_placed {
        let message = format!("descriptor {id:#x} is said to stand where none can");
        context.add(error("secure-offset", message).versus(
            "a multiple of 16 within a block",
            format_args!("{:#x}", entry.offset),
        ));
        return Ok(());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = stream.read_exact_at(context.volume, &mut bytes, entry.offset);
    if context.found("secure-offset", SECURE, read)?.is_none() {
        return Ok(());
    }
    if SecurityEntry::parse(&bytes) != Some(*entry) {
        let message = format!("at the offset of descriptor {id:#x} stands something else");
        context.add(error("secure-offset", message));
        return Ok(());
    }
    let descriptor = &bytes[usize::try_from(SecurityEntry::HEAD).unwrap_or(0)..];
    let hash = descriptor_hash(descriptor);
    if hash != entry.hash {
        let finding = error(
            "secure-hash",
            format!("the hash of descriptor {id:#x} is wrong"),
        );
        context.add(finding.versus(format_args!("{hash:#x}"), format_args!("{:#x}", entry.hash)));
    }
    if !is_descriptor(descriptor) {
        let message = format!("descriptor {id:#x} is no security descriptor");
        context.add(error("secure-descriptor", message));
    }
    check_gap(context, stream, entry)?;
    let mut copy = vec![0; bytes.len()];
    let read = stream.read_exact_at(context.volume, &mut copy, entry.offset + BLOCK);
    if context.found("secure-mirror", SECURE, read)?.is_some() && copy != bytes {
        let message = format!("the copy of descriptor {id:#x} differs from it");
        context.add(error("secure-mirror", message));
    }
    Ok(())
}

/// Up to the place of the next entry there are zeros, in the copy too; checks of Windows ask for them.
fn check_gap(
    context: &mut Context<'_, '_>,
    stream: &Value,
    entry: &SecurityEntry,
) -> Result<(), MkfsError> {
    let end = entry.offset + u64::from(entry.length);
    let gap = usize::try_from(end.next_multiple_of(ALIGNMENT) - end).unwrap_or(0);
    for start in [end, end + BLOCK] {
        let mut bytes = vec![0; gap];
        let read = stream.read_at(context.volume, &mut bytes, start);
        if context.found("secure", SECURE, read)?.is_some() && bytes.iter().any(|byte| *byte != 0) {
            let message = format!("the bytes behind descriptor {:#x} are not zero", entry.id);
            context.add(VolumeFinding::warning("secure", message).of(SECURE));
            return Ok(());
        }
    }
    Ok(())
}

/// Entries stand one behind the other, none on another.
fn check_layout(context: &mut Context<'_, '_>, stream: &Value, mut entries: Vec<SecurityEntry>) {
    entries.sort_unstable_by_key(|entry| entry.offset);
    for pair in entries.windows(2) {
        if pair[0].offset.saturating_add(u64::from(pair[0].length)) > pair[1].offset {
            let message = format!(
                "descriptors {:#x} and {:#x} lie on each other",
                pair[0].id, pair[1].id
            );
            context.add(error("secure-offset", message));
        }
    }
    if let Some(last) = entries.last() {
        let end = last
            .offset
            .saturating_add(u64::from(last.length))
            .saturating_add(BLOCK);
        if stream.size() < end {
            let finding = error(
                "secure-size",
                "the stream of descriptors ends before its last copy",
            );
            context.add(finding.versus(end, stream.size()));
        }
    }
}

/// Whether bytes have the form of a self-relative security descriptor ([MS-DTYP] 2.4.6).
pub(super) fn is_descriptor(bytes: &[u8]) -> bool {
    const SELF_RELATIVE: u8 = 0x80;
    let Some(head) = bytes.first_chunk::<20>() else {
        return false;
    };
    let offset = |at: usize| {
        let bytes = head.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| {
            usize::try_from(u32::from_le_bytes(*bytes)).unwrap_or(usize::MAX)
        })
    };
    // Account names have eight bytes and four for each part; lists have eight bytes and their own
    // length.
    let account = |at: usize| {
        at == 0
            || bytes.get(at..).is_some_and(|rest| {
                rest.len() >= 8 && rest[0] == 1 && 8 + 4 * usize::from(rest[1]) <= rest.len()
            })
    };
    let list = |at: usize| at == 0 || bytes.get(at..).is_some_and(is_list);
    head[0] == 1
        && head[3] & SELF_RELATIVE != 0
        && account(offset(4))
        && account(offset(8))
        && list(offset(12))
        && list(offset(16))
}

/// Whether bytes begin with a list of access control entries ([MS-DTYP] 2.4.5): as many as it says, one
/// behind the other, within its length.
fn is_list(bytes: &[u8]) -> bool {
    const HEAD: usize = 8;
    let word = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
        bytes.map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes)))
    };
    let length = word(bytes, 2);
    let Some(mut rest) = bytes.get(..length).and_then(|list| list.get(HEAD..)) else {
        return false;
    };
    for _ in 0..word(bytes, 4) {
        let entry = word(rest, 2);
        // Type, flags and size are the least that an entry has.
        if entry < 4 || entry % 4 != 0 {
            return false;
        }
        let Some(behind) = rest.get(entry..) else {
            return false;
        };
        rest = behind;
    }
    true
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
