//! A library that is older than its calls for access: the lists of the files are changed instead.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use attach::hcs::{
    ComputeCore, CoreResult, HResult, HcsMachine, OperationHandle, SystemHandle, WaitTime,
};
use attach::vm_access::{AccessLists, machine_identifier};
use attach::{FaultKind, Machine as _};

use super::*;

/// What every list says before.
const BEFORE: &str = "D:(A;;FA;;;SY)(A;;FA;;;BA)";

/// The double without the calls, and lists of files beside it. What a list says of the machine the service
/// sees: the double is told.
struct Older {
    core: Arc<dyn ComputeCore>,
    lists: Mutex<BTreeMap<PathBuf, String>>,
}

impl Older {
    fn new(core: &Arc<dyn ComputeCore>) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::clone(core),
            lists: Mutex::default(),
        })
    }

    fn list(&self, file: &str) -> String {
        self.rules(Path::new(file)).unwrap()
    }
}

impl AccessLists for Older {
    fn rules(&self, file: &Path) -> io::Result<String> {
        let lists = self.lists.lock().unwrap();
        Ok(lists.get(file).map_or(BEFORE, |list| list).to_owned())
    }

    fn set_rules(&self, file: &Path, rules: &str) -> io::Result<()> {
        let path = file.to_str().unwrap();
        let code = match rules.contains(&machine_identifier(ID).unwrap()) {
            true => self.core.grant_vm_access(ID, path),
            false => self.core.revoke_vm_access(ID, path),
        };
        if !code.is_success() {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let mut lists = self.lists.lock().unwrap();
        lists.insert(file.to_owned(), rules.to_owned());
        Ok(())
    }
}

impl ComputeCore for Older {
    fn create_operation(&self) -> Option<OperationHandle> {
        self.core.create_operation()
    }
    fn close_operation(&self, operation: OperationHandle) {
        self.core.close_operation(operation);
    }
    fn wait_for_operation_result(&self, operation: OperationHandle, wait: WaitTime) -> CoreResult {
        self.core.wait_for_operation_result(operation, wait)
    }
    fn open_compute_system(&self, id: &str) -> Result<SystemHandle, HResult> {
        self.core.open_compute_system(id)
    }
    fn close_compute_system(&self, system: SystemHandle) {
        self.core.close_compute_system(system);
    }
    fn modify_compute_system(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        request: &str,
    ) -> HResult {
        self.core.modify_compute_system(system, operation, request)
    }
    fn get_compute_system_properties(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        query: &str,
    ) -> HResult {
        self.core
            .get_compute_system_properties(system, operation, query)
    }
    fn enumerate_compute_systems(&self, operation: OperationHandle, query: &str) -> HResult {
        self.core.enumerate_compute_systems(operation, query)
    }
    fn get_service_properties(&self, query: &str) -> CoreResult {
        self.core.get_service_properties(query)
    }
    fn has_access_calls(&self) -> bool {
        false
    }
    fn grant_vm_access(&self, _id: &str, path: &str) -> HResult {
        panic!("asked of a library that cannot: {path}")
    }
    fn revoke_vm_access(&self, _id: &str, path: &str) -> HResult {
        panic!("asked of a library that cannot: {path}")
    }
}

#[test]
fn lists_of_files_are_changed_where_the_library_has_no_calls_for_access() {
    let stage = Stage::new(Guest::Linux);
    let older = Older::new(&stage.core);
    let machine = HcsMachine::new(older.clone(), ID, VERSION).with_access_lists(older.clone());
    let scene = Scene::on(stage, machine, Guest::Linux);
    scene.with_operator(|operator| operator.attach(&scene.order()).unwrap());
    let identifier = machine_identifier(ID).unwrap();
    // The first is written, the second read.
    for (file, rights) in [("C:\\v\\0.vhdx", "0x12019f"), ("C:\\v\\1.vhdx", "0x120089")] {
        let expected = format!("{BEFORE}(A;;{rights};;;{identifier})");
        assert_eq!(older.list(file), expected);
    }
    scene.with_operator(|operator| operator.detach(&Selection::All, false).unwrap());
    for file in ["C:\\v\\0.vhdx", "C:\\v\\1.vhdx"] {
        assert_eq!(older.list(file), BEFORE);
    }
    scene.check_bare("detached");
}

#[test]
fn a_machine_whose_identifier_nobody_knows_is_let_into_nothing() {
    let stage = Stage::new(Guest::Linux);
    let older = Older::new(&stage.core);
    let image = path("C:\\v\\0.vhdx");
    let named = HcsMachine::new(older.clone(), "web", VERSION).with_access_lists(older.clone());
    let bare = HcsMachine::new(older.clone(), ID, VERSION);
    for machine in [named, bare] {
        let fault = machine.grant_access(&image, true).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
    }
    assert_eq!(older.list("C:\\v\\0.vhdx"), BEFORE);
}

#[test]
fn a_list_that_cannot_be_changed_undoes_what_came_before() {
    let stage = Stage::new(Guest::Linux);
    let older = Older::new(&stage.core);
    let machine = HcsMachine::new(older.clone(), ID, VERSION).with_access_lists(older.clone());
    let scene = Scene::on(stage, machine, Guest::Linux);
    let calls = scene.stage.report().calls;
    // The list of the first file is the first thing that is changed.
    scene.stage.trouble(calls + 1, Trouble::Fail(0x8007_0005));
    let error = scene
        .with_operator(|operator| operator.attach(&scene.order()))
        .unwrap_err();
    assert!(matches!(error, AttachError::Step { .. }), "{error}");
    scene.check_bare("refused");
}
