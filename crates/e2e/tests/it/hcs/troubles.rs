//! What calls of the library are made to do, and a command of `cvol.exe` to which it happens.

use std::collections::BTreeMap;
use std::process::Output;

use computecore::{Answer, Guest, MachineModel, MachineState, Trouble};

use super::stage::{ID, Stage, Windows, said};

/// Any call: refuse, before its work and after it; the machine or the service goes away before it.
const TROUBLES: [Trouble; 5] = [
    Trouble::Fail(0x8037_0105),
    Trouble::FailAfter(0x8000_FFFF),
    Trouble::Disconnect,
    Trouble::Stop,
    Trouble::Vanish,
];
/// An operation besides: never end, end late, tell what is no document.
const OPERATION_TROUBLES: [Trouble; 6] = [
    Trouble::Hang,
    Trouble::HangUndone,
    Trouble::Late(LATE_MS),
    Trouble::Answer(0, Answer::Half),
    Trouble::Answer(0, Answer::Nothing),
    Trouble::Answer(0x8000_FFFF, Answer::Other),
];
/// How long an operation is waited for here, in the place of a minute.
const WAIT_MS: u64 = 300;
/// Longer than one wait, and shorter than a command that tries again.
const LATE_MS: u64 = 700;

/// Every trouble of every call of a command, from the log of it when it had none: the number of the call,
/// counted from 1, the trouble, and both in words.
pub(super) fn all(calls: &[String]) -> Vec<(usize, Trouble, String)> {
    let numbered = (1..).zip(calls);
    let all = numbered.flat_map(|(call, name)| {
        let is_operation = name.starts_with("HcsModify");
        let more = OPERATION_TROUBLES.into_iter().filter(move |_| is_operation);
        let troubles = TROUBLES.into_iter().chain(more);
        troubles.map(move |trouble| (call, trouble, format!("{trouble:?} at {name}, call {call}")))
    });
    all.collect()
}

impl Stage {
    /// Runs `cvol.exe` with something going wrong at a call of the library, whose rules it must keep.
    pub(super) fn run_with(
        &self,
        words: &[&str],
        call: usize,
        trouble: Trouble,
        context: &str,
    ) -> Output {
        let mut command = self.command(words);
        let troubles = serde_json::to_string(&BTreeMap::from([(call, trouble)])).unwrap();
        command.env("HCS_DOUBLE_TROUBLE", troubles);
        command.env("HCS_DOUBLE_WAIT_MS", WAIT_MS.to_string());
        let output = Windows::run(&mut command);
        println!("{context}: {}", said(&output));
        let windows = self.windows();
        assert_eq!(windows.log("broken:"), [""; 0], "{context}");
        // What hangs is open until the process ends, which ends with it.
        if !matches!(trouble, Trouble::Hang | Trouble::HangUndone) {
            assert_eq!(windows.log("open:"), [""; 0], "{context}");
        }
        output
    }

    /// A machine that stopped or is no more is there again, without anything that it had.
    pub(super) fn bring_back(&self) {
        let mut host = self.windows().host();
        let machine = host.machines.get(ID);
        if machine.is_some_and(|machine| machine.state == MachineState::Running) {
            return;
        }
        let machine = MachineModel::running(Guest::Linux);
        host.machines.insert(ID.to_owned(), machine);
        self.windows().set_host(&host);
    }
}
