//! The ledger of a machine on disk: read once, and written whole at every change.
//!
//! Whoever has one has the lock of the machine too, so nobody else changes the file meanwhile. It is
//! replaced atomically, its bytes durable before it takes the name and the name before the change is
//! told as kept: after a crash the ledger is as before the change or as after it, and nothing that was
//! done is missing in it.

use std::sync::{Mutex, PoisonError};

use attach::carry_out::Journal;
use attach::ledger::Ledger;
use attach::{Fault, FaultKind};

use super::{LEDGER, Machine, MachineLock, boundary};
use crate::error::Result;

/// The journal of a machine that is locked.
pub(crate) struct FileJournal<'m> {
    machine: &'m Machine,
    _lock: &'m MachineLock,
    /// What stands in the file; `None` where that is not known.
    ledger: Mutex<Option<Ledger>>,
}

impl<'m> FileJournal<'m> {
    pub(crate) fn open(machine: &'m Machine, lock: &'m MachineLock) -> Result<Self> {
        let ledger = machine.ledger()?;
        Ok(Self {
            machine,
            _lock: lock,
            ledger: Mutex::new(Some(ledger)),
        })
    }

    /// The ledger as it stands.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        match &*self.ledger.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(ledger) => Ok(ledger.clone()),
            None => self.machine.ledger(),
        }
    }
}

impl Journal for FileJournal<'_> {
    fn change(&self, change: &mut dyn FnMut(&mut Ledger)) -> std::result::Result<(), Fault> {
        let mut kept = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |what: &str| {
            let name = &self.machine.known.name;
            Fault::new(FaultKind::Failed, format!("the ledger of {name} {what}"))
        };
        // Taken out: whatever goes wrong below, what stands in the file has to be read again.
        let before = match kept.take() {
            Some(ledger) => ledger,
            None => self
                .machine
                .ledger()
                .map_err(|error| failed("cannot be read").because(error))?,
        };
        let mut ledger = before.clone();
        change(&mut ledger);
        if ledger.revision() != before.revision() {
            let text = ledger
                .to_json()
                .map_err(|error| failed("cannot be written down").because(error))?;
            boundary::before_write();
            self.machine
                .folder
                .replace(LEDGER, &text)
                .map_err(|error| failed("cannot be written").because(error))?;
            boundary::after_write();
        }
        *kept = Some(ledger);
        Ok(())
    }
}
