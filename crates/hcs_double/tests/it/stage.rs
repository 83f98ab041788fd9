//! Where the tests play: a double and the way to control it.

use std::collections::BTreeMap;
use std::sync::Arc;

use attach::hcs::ComputeCore;
use computecore::{Control, FileModel, Guest, HostModel, MachineModel, Report, Trouble};

pub(crate) const ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

/// A double.
pub(crate) struct Stage {
    pub(crate) core: Arc<dyn ComputeCore>,
    control: Box<dyn Fn(&str) -> String>,
    /// Of a library there is one in a process: one stage at a time.
    #[cfg(windows)]
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Stage {
    /// In this process.
    #[cfg(not(windows))]
    fn open() -> Self {
        let double = Arc::new(computecore::Double::new(HostModel::default()));
        let controlled = Arc::clone(&double);
        Self {
            core: double,
            control: Box::new(move |request| controlled.control(request).unwrap()),
        }
    }

    /// In the library that is built beside the test.
    #[cfg(windows)]
    fn open() -> Self {
        use std::sync::{Mutex, PoisonError};
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (core, control) = crate::loaded::open();
        Self {
            core,
            control,
            _alone: alone,
        }
    }

    pub(crate) fn new(guest: Guest) -> Self {
        let stage = Self::open();
        let mut files: BTreeMap<String, FileModel> = (0..3)
            .map(|number| (format!("C:\\v\\{number}.vhdx"), FileModel::default()))
            .collect();
        files.insert("C:\\srv\\ro".to_owned(), FileModel::directory());
        stage.control(&Control::Reset(HostModel {
            files: Some(files),
            machines: BTreeMap::from([(ID.to_owned(), MachineModel::running(guest))]),
            ..HostModel::default()
        }));
        stage
    }

    pub(crate) fn control(&self, request: &Control) -> Report {
        let request = serde_json::to_string(request).unwrap();
        serde_json::from_str(&(self.control)(&request)).unwrap()
    }

    pub(crate) fn report(&self) -> Report {
        self.control(&Control::Report)
    }

    pub(crate) fn machine(&self) -> MachineModel {
        self.report().host.machines[ID].clone()
    }

    pub(crate) fn trouble(&self, call: u64, trouble: Trouble) {
        self.control(&Control::Trouble(call, trouble));
    }

    /// The machine changes by itself.
    pub(crate) fn change(&self, change: impl FnOnce(&mut MachineModel)) {
        let mut host = self.report().host;
        change(host.machines.get_mut(ID).unwrap());
        self.control(&Control::SetHost(host));
    }

    /// No rule was broken, and all is closed, which a thread may have yet to do.
    #[track_caller]
    pub(crate) fn check_clean(&self) {
        let mut report = self.report();
        for _ in 0..1000 {
            if report.open == 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            report = self.report();
        }
        assert_eq!((report.open, report.misuse), (0, Vec::new()));
    }
}
