//! Security descriptors ([MS-DTYP] 2.4.6), self-relative, as Windows 10 puts them on a new volume:
//! system files, the root, and what a directory and a file inherit from that root.

/// A well-known account ([MS-DTYP] 2.4.2.4).
#[derive(Clone, Copy)]
pub(super) enum Account {
    /// S-1-5-18.
    System,
    /// S-1-5-32-544.
    Administrators,
    /// S-1-5-11.
    AuthenticatedUsers,
    /// S-1-5-32-545.
    Users,
}

/// One entry of an access control list that allows.
#[derive(Clone, Copy)]
struct Allowed {
    flags: u8,
    mask: u32,
    account: Account,
}

/// Self-relative, with a discretionary list.
const CONTROL: u16 = 0x8004;
/// Object, container, and inherit-only.
const INHERIT_ONLY: u8 = 0x0B;
const FULL: u32 = 0x001F_01FF;
const READ: u32 = 0x0012_0089;
const READ_WRITE: u32 = 0x0012_019F;
const READ_EXECUTE: u32 = 0x0012_00A9;
const MODIFY: u32 = 0x0013_01BF;
const GENERIC_ALL: u32 = 0x1000_0000;
const GENERIC_MODIFY: u32 = 0xE001_0000;
const GENERIC_READ_EXECUTE: u32 = 0xA000_0000;

use Account::{Administrators, AuthenticatedUsers, System, Users};

/// `O:SYG:BAD:(A;;FR;;;SY)(A;;FR;;;BA)`: most system files.
pub(super) fn system_read_only() -> Vec<u8> {
    let list = [allow(0, READ, System), allow(0, READ, Administrators)];
    descriptor(System, Administrators, &list)
}

/// `O:SYG:BAD:(A;;0x12019f;;;SY)(A;;0x12019f;;;BA)`: system files that may be written.
pub(super) fn system_read_write() -> Vec<u8> {
    let list = [
        allow(0, READ_WRITE, System),
        allow(0, READ_WRITE, Administrators),
    ];
    descriptor(System, Administrators, &list)
}

/// The root directory, which hands its rights down.
pub(super) fn root() -> Vec<u8> {
    descriptor(System, System, &directory_list())
}

/// A directory made in the root by an administrator.
pub(super) fn directory() -> Vec<u8> {
    descriptor(Administrators, Administrators, &directory_list())
}

/// A file made below the root by an administrator.
pub(super) fn file() -> Vec<u8> {
    let list = [
        allow(0, FULL, Administrators),
        allow(0, FULL, System),
        allow(0, MODIFY, AuthenticatedUsers),
        allow(0, READ_EXECUTE, Users),
    ];
    descriptor(Administrators, Administrators, &list)
}

fn directory_list() -> [Allowed; 8] {
    [
        allow(0, FULL, Administrators),
        allow(INHERIT_ONLY, GENERIC_ALL, Administrators),
        allow(0, FULL, System),
        allow(INHERIT_ONLY, GENERIC_ALL, System),
        allow(0, MODIFY, AuthenticatedUsers),
        allow(INHERIT_ONLY, GENERIC_MODIFY, AuthenticatedUsers),
        allow(0, READ_EXECUTE, Users),
        allow(INHERIT_ONLY, GENERIC_READ_EXECUTE, Users),
    ]
}

const fn allow(flags: u8, mask: u32, account: Account) -> Allowed {
    Allowed {
        flags,
        mask,
        account,
    }
}

/// The security identifier of an account ([MS-DTYP] 2.4.2.2).
pub(super) fn sid(account: Account) -> Vec<u8> {
    let authorities: &[u32] = match account {
        System => &[18],
        AuthenticatedUsers => &[11],
        Administrators => &[32, 544],
        Users => &[32, 545],
    };
    let count = if authorities.len() == 1 { 1 } else { 2 };
    let mut bytes = vec![1, count, 0, 0, 0, 0, 0, 5];
    for authority in authorities {
        bytes.extend_from_slice(&authority.to_le_bytes());
    }
    bytes
}

/// Head, list, owner, group: the order in which Windows stores them.
fn descriptor(owner: Account, group: Account, list: &[Allowed]) -> Vec<u8> {
    const HEAD: u32 = 20;
    let list = access_list(list);
    let (owner, group) = (sid(owner), sid(group));
    let owner_offset = HEAD + length(&list);
    let group_offset = owner_offset + length(&owner);
    let mut bytes = vec![1, 0];
    bytes.extend_from_slice(&CONTROL.to_le_bytes());
    for offset in [owner_offset, group_offset, 0, HEAD] {
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    bytes.extend_from_slice(&list);
    bytes.extend_from_slice(&owner);
    bytes.extend_from_slice(&group);
    bytes
}

/// An access control list ([MS-DTYP] 2.4.5).
fn access_list(list: &[Allowed]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count = 0_u16;
    for entry in list {
        let sid = sid(entry.account);
        entries.extend_from_slice(&[0, entry.flags]);
        entries.extend_from_slice(&short(8 + length(&sid)).to_le_bytes());
        entries.extend_from_slice(&entry.mask.to_le_bytes());
        entries.extend_from_slice(&sid);
        count += 1;
    }
    let mut bytes = vec![2, 0];
    bytes.extend_from_slice(&short(8 + length(&entries)).to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&entries);
    bytes
}

/// The lists of this file are at most a few hundred bytes long.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn short(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
