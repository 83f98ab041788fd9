//! What tests ask of a double, in another program's library as well: a request of JSON, answered with a
//! report.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::double::{Double, State, deliver};
use crate::handles::Stage;
use crate::host::HostModel;
use crate::keep::Keep;
use crate::trouble::Trouble;

/// What tests ask of a double.
#[derive(Debug, Serialize, Deserialize)]
pub enum Control {
    /// Begin anew on this host: nothing is open, nothing goes wrong, nothing was called.
    Reset(HostModel),
    /// Put this host in the place of the other. Systems that ended with it are told of.
    SetHost(HostModel),
    /// Have a call from now on, counted from 1, go wrong.
    Trouble(u64, Trouble),
    /// What was to go wrong does not.
    ForgetTroubles,
    /// From now on every operation takes so many milliseconds.
    Delay(u64),
    /// Let the operations that hang come to their end.
    LetGo,
    /// The service goes away: what is open is worth nothing from now on.
    Disconnect,
    /// Nothing but a report.
    Report,
}

/// How a double stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The host.
    pub host: HostModel,
    /// How many calls there were.
    pub calls: u64,
    /// The calls, in their order.
    pub journal: Vec<String>,
    /// Rules that were broken, in words.
    pub misuse: Vec<String>,
    /// How many systems and operations are open.
    pub open: usize,
}

impl Double {
    /// Does what a request of [`Control`] asks, and reports.
    ///
    /// # Errors
    /// Where the request is none.
    pub fn control(&self, request: &str) -> Result<String, serde_json::Error> {
        let control = serde_json::from_str(request)?;
        let mut state = self.state();
        let mut owed = Vec::new();
        match control {
            Control::Reset(host) => {
                let mut keep =
                    std::mem::replace(&mut state.keep, Keep::Memory(HostModel::default()));
                keep.with(|kept| *kept = host);
                *state = State::new(keep);
            }
            Control::SetHost(host) => owed = state.change_host(host),
            Control::Trouble(call, trouble) => {
                let call = state.calls + call;
                state.troubles.insert(call, trouble);
            }
            Control::ForgetTroubles => state.troubles.clear(),
            Control::Delay(milliseconds) => state.delay = Duration::from_millis(milliseconds),
            Control::LetGo => owed = state.let_go(),
            Control::Disconnect => owed = state.disconnect(),
            Control::Report => {}
        }
        let report = Report {
            host: state.keep.with(|host| host.clone()),
            calls: state.calls,
            journal: state.journal.clone(),
            misuse: state.handles.misuse.clone(),
            open: state.handles.open(),
        };
        drop(state);
        self.shared.ended.notify_all();
        deliver(&self.shared, owed);
        serde_json::to_string(&report)
    }
}

impl State {
    fn let_go(&mut self) -> Vec<crate::events::Owed> {
        let mut ended = Vec::new();
        for (handle, operation) in &mut self.handles.operations {
            if let Stage::Hangs(result) = &operation.stage {
                operation.stage = Stage::Ended(result.clone());
                ended.push(attach::hcs::OperationHandle(*handle));
            }
        }
        let owed = ended.into_iter();
        owed.filter_map(|operation| self.owed_for_operation(operation))
            .collect()
    }
}
