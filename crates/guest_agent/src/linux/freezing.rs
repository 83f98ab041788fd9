//! File systems that keep their writers waiting while somebody copies what is below them.

// Freezing has no safe wrapper: the two calls stand here, and nothing else does.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;

use guest_proto::{ErrorKind, Refusal};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

use super::mounting::{Places, reopened};
use super::target;
use crate::refused::{failed, refusal};

/// `FIFREEZE` and `FITHAW` of Linux.
const FREEZE: Opcode = opcode::read_write::<i32>(b'X', 119);
const THAW: Opcode = opcode::read_write::<i32>(b'X', 120);

pub(super) fn freeze(places: &Places, target: &str) -> Result<(), Refusal> {
    match call::<FREEZE>(&opened(places, target)?) {
        // Frozen already: it is what was asked for.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOTTY) => {
            let text = format!("the file system at {target} cannot be frozen");
            Err(refusal(ErrorKind::Unsupported, text))
        }
        Err(error) => Err(failed(format!("freezing {target}"), error)),
    }
}

pub(super) fn thaw(places: &Places, target: &str) -> Result<(), Refusal> {
    match call::<THAW>(&opened(places, target)?) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) => {
            let text = format!("{target} is not frozen");
            Err(refusal(ErrorKind::NotFound, text))
        }
        Err(error) => Err(failed(format!("thawing {target}"), error)),
    }
}

/// Only what the agent mounted: the file system that it runs from must not be frozen.
fn opened(places: &Places, target: &str) -> Result<OwnedFd, Refusal> {
    if places.book.find(target).is_none() {
        let text = format!("nothing was mounted at {target} by this agent");
        return Err(refusal(ErrorKind::NotFound, text));
    }
    let place = target::find(&places.root, target)?;
    reopened(&place).map_err(|error| failed(target, error))
}

fn call<const CALL: Opcode>(place: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: both calls take a pointer to an int that they neither read nor write.
    unsafe { ioctl(place, Setter::<CALL, i32>::new(0)) }
}
