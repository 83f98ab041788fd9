//! What is wrong with machines and claims, for `doctor`.

use volume::StoreCure;

use crate::Engine;
use crate::doctor::Diagnosis;
use crate::error::{Error, Result};
use crate::exports::{self, Exports};

impl Engine {
    /// Looks the machines over: what is kept of them, what they are served, and claims of which no
    /// machine knows. With `mend`, such claims are released and disks are served again.
    pub(crate) fn examine_machines(&self, mend: bool, diagnosis: &mut Diagnosis) -> Result<()> {
        for name in self.machine_names()? {
            let machine = match self.machine(&name) {
                Ok(machine) => machine,
                Err(Error::Machine(failure)) => {
                    let cure = match failure.kind() {
                        // The rest of one that was forgotten: its name can be used again.
                        crate::ErrorKind::NotFound => StoreCure::NotNeeded,
                        _ => StoreCure::ByHand,
                    };
                    diagnosis.add("machine", &name, failure.to_string(), cure);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let ledger = match machine.ledger() {
                Ok(ledger) => ledger,
                Err(error) => {
                    let message = format!("what it has attached cannot be read: {error}");
                    diagnosis.add("machine", &name, message, StoreCure::ByHand);
                    continue;
                }
            };
            let exports = Exports::new(self, &machine, &self.config().program()?);
            for wanted in exports::wanted(&ledger) {
                if !matches!(exports.is_alive(&wanted.serial), Ok(false)) {
                    continue;
                }
                let message = format!("its disk {} is not served", wanted.serial);
                let cure = match mend {
                    false => StoreCure::Mendable,
                    true => {
                        self.revive_exports(&machine)?;
                        match exports.is_alive(&wanted.serial) {
                            Ok(true) => StoreCure::Mended,
                            _ => StoreCure::ByHand,
                        }
                    }
                };
                diagnosis.add("export", &name, message, cure);
            }
        }
        self.examine_claims(mend, diagnosis)
    }

    fn examine_claims(&self, mend: bool, diagnosis: &mut Diagnosis) -> Result<()> {
        let store = self.store()?;
        for claim in self.stray_claims()? {
            let volume = store.volume_by_id(claim.volume)?;
            let subject = volume.map_or_else(|| claim.volume.to_string(), |it| it.name.to_string());
            let message = format!("{claim}, and no machine knows of that");
            // Whoever is about to attach has claimed before he writes it into his ledger.
            let cure = match (mend, self.machine(&claim.claimant.holder)) {
                (false, _) => StoreCure::Mendable,
                (true, Ok(machine)) => match machine.try_lock("releasing claims")? {
                    Some(_lock) => {
                        self.settle_claims(&machine, &machine.ledger()?)?;
                        StoreCure::Mended
                    }
                    None => StoreCure::NotNeeded,
                },
                (true, Err(_)) => {
                    store.release_claims(&claim.claimant.attachment, None)?;
                    StoreCure::Mended
                }
            };
            diagnosis.add("claim", &subject, message, cure);
        }
        Ok(())
    }
}
