//! What answers have to be, so that nothing a guest says is believed that can be told to be wrong.

use guest_proto::{
    Answer, ErrorKind, FileSystem, MountedThing, Refusal, Request, Usage, Versions, Welcome,
    printable,
};

use super::CommandEnd;
use crate::sides::{Fault, FaultKind};

/// The fault of an answer that cannot be true.
pub(super) fn nonsense(what: &str) -> Fault {
    Fault::new(
        FaultKind::Nonsense,
        format!("the guest has answered nonsense: {what}"),
    )
}

/// Whether the guest says that it does not know the conversation.
pub(super) fn is_stranger(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(refusal) if refusal.kind == ErrorKind::NoConversation)
}

fn other(answer: &Answer) -> Fault {
    match answer {
        Answer::Refused(refusal) => refused(refusal),
        _ => nonsense("what was not asked for"),
    }
}

/// A refusal as a fault.
fn refused(refusal: &Refusal) -> Fault {
    let kind = match refusal.kind {
        ErrorKind::Invalid => FaultKind::Invalid,
        ErrorKind::NotFound => FaultKind::NotFound,
        ErrorKind::AlreadyExists => FaultKind::AlreadyExists,
        ErrorKind::Busy => FaultKind::Busy,
        ErrorKind::Denied => FaultKind::Denied,
        ErrorKind::Unsupported => FaultKind::Unsupported,
        ErrorKind::NoSpace => FaultKind::NoSpace,
        ErrorKind::NoConversation => FaultKind::Unanswered,
        // The guest says itself that it gave up, so nothing of it goes on there.
        ErrorKind::TimedOut | ErrorKind::Failed => FaultKind::Failed,
        _ => FaultKind::Failed,
    };
    Fault::new(kind, format!("the guest: {}", printable(&refusal.text)))
}

pub(super) fn welcome(answer: Answer) -> Result<Welcome, Fault> {
    match answer {
        Answer::Welcome(welcome) => {
            let spoken = Versions::OURS.lowest..=Versions::OURS.highest;
            if !spoken.contains(&welcome.version) {
                return Err(nonsense("a version that was not offered"));
            }
            Ok(Welcome {
                agent: printable(&welcome.agent),
                kernel: printable(&welcome.kernel),
                ..welcome
            })
        }
        Answer::Incompatible(theirs) => {
            let ours = Versions::OURS;
            let older = if theirs.highest < ours.lowest {
                "the agent in the guest is too old for this cvol: put a newer one there"
            } else {
                "the agent in the guest is too new for this cvol: use a newer cvol"
            };
            let text = format!(
                "{older} (it speaks versions {} to {}, cvol {} to {})",
                theirs.lowest, theirs.highest, ours.lowest, ours.highest
            );
            Err(Fault::new(FaultKind::Unsupported, text))
        }
        answer => Err(other(&answer)),
    }
}

pub(super) fn done(answer: Answer) -> Result<(), Fault> {
    match answer {
        Answer::Done => Ok(()),
        answer => Err(other(&answer)),
    }
}

/// Whether a mount is what was asked for.
pub(super) fn mounted(request: &Request, answer: Answer) -> Result<(), Fault> {
    let Answer::Mounted(mounted) = answer else {
        return Err(other(&answer));
    };
    let (read_only, format, file_system) = match request {
        Request::MountDisk(mount) => (mount.read_only, mount.format, mount.file_system),
        Request::MountShare(mount) => (mount.read_only, false, None),
        Request::MountSmb(mount) => (mount.read_only, false, None),
        _ => (false, false, None),
    };
    if request.target() != Some(mounted.target.as_str()) {
        return Err(nonsense("it mounted at another target"));
    }
    if mounted.read_only != read_only {
        return Err(nonsense(
            "what it mounted can be written otherwise than asked",
        ));
    }
    if mounted.formatted && !format {
        return Err(nonsense("it formatted what was not to be"));
    }
    if file_system.is_some_and(|asked| !is_driver_of(asked, &mounted.file_system)) {
        return Err(nonsense("it mounted another file system"));
    }
    Ok(())
}

/// Whether a guest calls the file system so.
fn is_driver_of(file_system: FileSystem, name: &str) -> bool {
    let names: &[&str] = match file_system {
        FileSystem::Ntfs => &["ntfs3", "ntfs"],
        FileSystem::Refs => &["refs"],
        FileSystem::Fat32 => &["vfat", "fat32"],
        FileSystem::Ext4 => &["ext4"],
        FileSystem::Xfs => &["xfs"],
    };
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

pub(super) fn usage(answer: Answer) -> Result<Usage, Fault> {
    match answer {
        Answer::Usage(usage) if usage.free <= usage.total => Ok(usage),
        Answer::Usage(_) => Err(nonsense("more is free than there is")),
        answer => Err(other(&answer)),
    }
}

/// Takes a page of mounts in; whether there is another.
pub(super) fn page(answer: Answer, all: &mut Vec<MountedThing>) -> Result<bool, Fault> {
    let Answer::Mounts(page) = answer else {
        return Err(other(&answer));
    };
    if page.more && page.mounts.is_empty() {
        return Err(nonsense("an empty page of mounts before others"));
    }
    for mount in page.mounts {
        let in_order = all.last().is_none_or(|last| last.target < mount.target);
        if !in_order {
            return Err(nonsense("mounts out of order"));
        }
        all.push(MountedThing {
            target: mount.target,
            file_system: printable(&mount.file_system),
            source: printable(&mount.source),
            read_only: mount.read_only,
        });
    }
    Ok(page.more)
}

pub(super) fn exited(answer: Answer) -> Result<CommandEnd, Fault> {
    match answer {
        Answer::Exited {
            code,
            signal,
            limit,
        } => Ok(CommandEnd {
            code,
            signal,
            limit: limit.as_deref().map(printable),
        }),
        answer => Err(other(&answer)),
    }
}
