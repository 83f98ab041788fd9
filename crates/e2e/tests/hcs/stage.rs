//! Where the tests play: a store with volumes, a double of the service with a machine, and its guest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use computecore::{
    Control, Double, FileModel, Guest, HostModel, MachineModel, MachineState, Report, Setting,
    Trouble,
};
use engine::{
    AttachMounts, Attachment, Config, CreateVolume, DetachOutcome, DetachWhat, Engine,
    GuestChannel, Hypervisor, KnownMachine, MachineEndpoints, MachinePlatform, SchemaVersion,
    SecretString, Watch,
};
use guest_proto::GuestKind;
use tempfile::TempDir;

use crate::guest::PlayedGuest;

pub(crate) const ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
/// What the machine is known as.
pub(crate) const NAME: &str = "app";
/// The newest documents that the double takes.
const MINOR: u32 = 7;

/// Everything, ready to attach.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) guest: PlayedGuest,
    pub(crate) double: Arc<Double>,
    pub(crate) system: Guest,
    folder: TempDir,
}

impl Stage {
    /// A machine that is known, with an agent at a port.
    pub(crate) fn new(system: Guest) -> Self {
        let stage = Self::bare(system);
        let channel = GuestChannel::Tcp(stage.guest.address);
        stage.make_known(channel);
        stage
    }

    /// A machine that is not known yet.
    pub(crate) fn bare(system: Guest) -> Self {
        let folder = TempDir::new().unwrap();
        let double = Arc::new(Double::with(Setting {
            host: HostModel {
                newest_minor: MINOR,
                files: Some(BTreeMap::new()),
                machines: BTreeMap::from([(ID.to_owned(), MachineModel::running(system))]),
                ..HostModel::default()
            },
            // As long as a test has time.
            longest_wait: Some(Duration::from_millis(20)),
            ..Setting::default()
        }));
        let kind = match system {
            Guest::Linux => GuestKind::Linux,
            Guest::Windows => GuestKind::Windows,
        };
        let looked_at = Arc::clone(&double);
        let look = move || {
            let gone = || {
                let mut machine = MachineModel::running(system);
                machine.stop();
                machine
            };
            let mut machines = report(&looked_at).host.machines;
            machines.remove(ID).unwrap_or_else(gone)
        };
        let config = Config::with_root(folder.path().join("store"));
        let engine = Engine::new(config).with_compute_core(Arc::<Double>::clone(&double));
        Self {
            engine,
            guest: PlayedGuest::start(kind, Arc::new(look)),
            double,
            system,
            folder,
        }
    }

    pub(crate) fn make_known(&self, channel: GuestChannel) {
        let schema = self.engine.hcs_schema().unwrap();
        assert_eq!((schema.major, schema.minor), (2, MINOR));
        let endpoints = MachineEndpoints::Hcs {
            id: ID.to_owned(),
            guest: channel,
        };
        let known = KnownMachine::new(NAME, self.platform(schema), endpoints);
        self.engine.register_machine(&known).unwrap();
        assert_eq!(self.engine.known_machine(NAME).unwrap(), known);
    }

    fn platform(&self, schema: SchemaVersion) -> MachinePlatform {
        MachinePlatform {
            hypervisor: Hypervisor::Hcs(schema),
            guest: match self.system {
                Guest::Linux => engine::Guest::Linux,
                Guest::Windows => engine::Guest::Windows,
            },
        }
    }

    /// A target as the guest spells it.
    pub(crate) fn target(&self, path: &str) -> String {
        match self.system {
            Guest::Linux => path.to_owned(),
            Guest::Windows => format!("C:{}", path.replace('/', "\\")),
        }
    }

    /// A mount of every kind that both guests take, each of which the double finds on its host.
    pub(crate) fn mounts(&self) -> Vec<String> {
        self.create("data", &[("fs", "ntfs"), ("size", "16M")], None);
        let share = [
            ("kind", "smb"),
            ("source", "//server/share"),
            ("username", "somebody"),
        ];
        self.create("share", &share, Some("a secret"));
        let image = self.path("image.vhdx");
        let create = CreateVolume {
            name: "image".to_owned(),
            settings: settings(&[("fs", "ntfs"), ("size", "16M")]),
            ..CreateVolume::default()
        };
        let go_on = |_| std::ops::ControlFlow::Continue(());
        self.engine.make_image(&image, &create, &go_on).unwrap();
        let directory = self.path("directory");
        fs::create_dir(&directory).unwrap();
        let file = self.path("directory/file");
        fs::write(&file, "x").unwrap();
        let volume = self.engine.inspect_volume("data").unwrap();
        let temporary = self.path(&format!("store/machines/{NAME}/temporary"));
        let memory: String = self.target("/memory");
        let memory: String = memory.chars().filter(char::is_ascii_alphanumeric).collect();
        for path in [
            volume.image().unwrap().path.clone(),
            image.clone(),
            temporary.join(format!("{memory}.vhdx")),
        ] {
            self.add_file(&path, FileModel::default());
        }
        self.add_file(&directory, FileModel::directory());
        let target = |path| self.target(path);
        let shown = |path: &Path| path.display().to_string();
        vec![
            format!("source=data,target={}", target("/data")),
            format!(
                "type=vhd,source={},target={},readonly",
                shown(&image),
                target("/image")
            ),
            format!(
                "type=bind,source={},target={},readonly",
                shown(&directory),
                target("/data/ro")
            ),
            format!(
                "type=bind,source={},target={}",
                shown(&file),
                target("/file")
            ),
            format!("source=share,target={}", target("/share")),
            format!("type=tmpfs,target={},size=16M", target("/memory")),
        ]
    }

    fn create(&self, name: &str, words: &[(&'static str, &str)], password: Option<&str>) {
        let request = CreateVolume {
            name: name.to_owned(),
            settings: settings(words),
            password: password.map(SecretString::from),
            unchecked: true,
            ..CreateVolume::default()
        };
        let go_on = |_| std::ops::ControlFlow::Continue(());
        self.engine.create_volume(&request, &go_on).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let parts = name.split('/');
        parts.fold(self.folder.path().to_owned(), |path, part| path.join(part))
    }

    /// Has the double find a file.
    pub(crate) fn add_file(&self, path: &Path, file: FileModel) {
        let mut host = self.report().host;
        host.files.as_mut().unwrap().insert(spelled(path), file);
        self.control(&Control::SetHost(host));
    }

    pub(crate) fn attach(&self, mounts: &[String]) -> engine::Result<Attachment> {
        let request = AttachMounts {
            machine: NAME.to_owned(),
            mounts: mounts.to_vec(),
            owner: None,
        };
        self.engine.attach(&request, &quiet())
    }

    pub(crate) fn detach(&self, what: &DetachWhat) -> engine::Result<DetachOutcome> {
        self.engine.detach(NAME, what, false, &quiet())
    }

    pub(crate) fn control(&self, request: &Control) -> Report {
        control(&self.double, request)
    }

    pub(crate) fn report(&self) -> Report {
        report(&self.double)
    }

    pub(crate) fn machine(&self) -> MachineModel {
        self.report().host.machines[ID].clone()
    }

    /// The files that the machine may open, in lower case.
    pub(crate) fn access(&self) -> Vec<String> {
        let host = self.report().host;
        let files = host.files_open_to(ID).into_iter();
        files.map(str::to_owned).collect()
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

    /// Whether the machine is there and runs.
    pub(crate) fn is_running(&self) -> bool {
        let machines = self.report().host.machines;
        let machine = machines.get(ID);
        machine.is_some_and(|machine| machine.state == MachineState::Running)
    }

    /// The machine is stopped where it is not, and started again: without anything that it had.
    pub(crate) fn restart(&self) {
        let mut host = self.report().host;
        let machine = MachineModel::running(self.system);
        host.machines.insert(ID.to_owned(), machine);
        self.control(&Control::SetHost(host));
        self.guest.restart();
    }

    /// Nothing more goes wrong.
    pub(crate) fn forget_troubles(&self) {
        self.control(&Control::ForgetTroubles);
    }

    /// No operation is under way any more: the threads that wait for their ends close them.
    pub(crate) fn wait_for_ends(&self) -> Report {
        let mut report = self.report();
        for _ in 0..1000 {
            if report.open == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            report = self.report();
        }
        report
    }

    /// Nothing is left of any attachment: on the host, in the machine, in the guest, in the store.
    #[track_caller]
    pub(crate) fn check_bare(&self, context: &str) {
        let expected = MachineModel::running(self.system);
        assert_eq!(self.machine(), expected, "{context}");
        assert_eq!(self.access(), [""; 0], "{context}");
        assert_eq!(self.guest.mounts(), BTreeMap::new(), "{context}");
        assert_eq!(
            self.engine.attachments(Some(NAME)).unwrap(),
            [],
            "{context}"
        );
        let volume = self.engine.inspect_volume("data").unwrap();
        assert!(volume.claims.is_empty(), "{context}: {:?}", volume.claims);
        let temporary = self.path(&format!("store/machines/{NAME}/temporary"));
        let left = fs::read_dir(temporary).unwrap().count();
        assert_eq!(left, 0, "{context}: images of temporary volumes");
        self.check_clean(context);
    }

    /// No rule of the service was broken, and all is closed, which a thread may have yet to do.
    #[track_caller]
    pub(crate) fn check_clean(&self, context: &str) {
        let report = self.wait_for_ends();
        assert_eq!((report.open, report.misuse), (0, Vec::new()), "{context}");
    }
}

fn settings(words: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let words = words.iter();
    words
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect()
}

fn quiet() -> Watch<'static> {
    Watch {
        step: Box::new(|_| {}),
        is_cancelled: &|| false,
    }
}

fn control(double: &Double, request: &Control) -> Report {
    let request = serde_json::to_string(request).unwrap();
    serde_json::from_str(&double.control(&request).unwrap()).unwrap()
}

fn report(double: &Double) -> Report {
    control(double, &Control::Report)
}

/// A path as the service spells it.
pub(crate) fn spelled(path: &Path) -> String {
    let path = path.display().to_string();
    if cfg!(windows) {
        return path;
    }
    format!("Z:{}", path.replace('/', "\\"))
}
