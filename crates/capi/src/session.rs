//! Volumes brought into machines that run, and taken away again.

use std::ffi::{c_char, c_int};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{
    AttachMounts, Attachment, CreateVolume, DetachOutcome, DetachWhat, Engine, Error, ErrorKind,
    GuestChannel, GuestChannelError, Hypervisor, KnownMachine, MachineEndpoints, MachinePlatform,
    Progress, SchemaVersion, StepNews, StepStage, Watch,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::options::Made;
use crate::out::{self, Out};
use crate::plan::{self, guest_of};
use crate::request::{Kind, Request};
use crate::types::{containerv_machine, containerv_options, containerv_volume_manager};
use crate::{border, handles, log, memory, text};

/// Stands for all attachments of a machine.
pub const CV_VOLUME_ALL_ATTACHMENTS: u64 = 0;

/// Who made machines known that this library made known.
const OWNER: &str = "containerv_volume";

/// Brings all mounts of the options into a machine that runs: all of them, or nothing. What is missing is
/// made before, as by `containerv_volume_prepare`. `attachment` may be NULL, or is told the number that
/// `containerv_volume_cleanup` takes.
///
/// Disks for QEMU are served by the command `cvol`, which is started for that: it is looked for at
/// CVOL_PROGRAM of the environment, and on the path. A machine that the store does not know becomes known;
/// what is attached to it is written down there, so that it can be cleaned up after a crash of the program,
/// and by `cvol ps` and `cvol detach`. A progress callback is asked between steps, and ends it by another
/// answer than 0.
///
/// Fails with EINVAL (also where the options have no mount), ENOENT (the machine, a volume, a directory),
/// EBUSY (a volume or target that somebody has), ENOTSUP (what the machine cannot do; machines of HCS where
/// there is no such service), ECANCELED, ENOSPC, EIO, EBADF. What was done is undone; what could not be is
/// told by `cvol ps`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_setup(
    options: *mut containerv_options,
    machine: *const containerv_machine,
    attachment: *mut u64,
) -> c_int {
    border::call("containerv_volume_setup", || {
        let number = if attachment.is_null() {
            None
        } else {
            // SAFETY: room, as the header says.
            Some(unsafe { Out::new(attachment, "attachment", 0) }?)
        };
        // SAFETY: NULL or a struct with valid texts, as the header says.
        let machine = unsafe { Reached::read(&out::one(machine, "machine")?) }?;
        let attached = setup(options, &machine)?;
        if let Some(number) = number {
            number.put(attached.id);
        }
        Ok(())
    })
}

/// Takes an attachment of a machine away again, by its number; CV_VOLUME_ALL_ATTACHMENTS takes all of them,
/// and has the store forget a machine that became known by `containerv_volume_setup`. The machine may be
/// gone: then what is left of it on the host is taken away. `force` other than 0 passes over a guest that
/// does not do its part; what it had not written is lost.
///
/// May be called again as often as one likes: what is not there any more is no error. What
/// `containerv_volume_prepare` made is removed by `containerv_volume_release` afterwards.
///
/// Fails with EINVAL (the name), EBUSY (the guest uses it, somebody is at work on the machine), ENOTSUP (a
/// machine of HCS where there is no such service), EIO. What was not taken away is still written down, and the
/// call can be made again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_cleanup(
    manager: *mut containerv_volume_manager,
    machine: *const c_char,
    attachment: u64,
    force: c_int,
) -> c_int {
    border::call("containerv_volume_cleanup", || {
        // SAFETY: NULL or a text, as the header says.
        let machine = unsafe { text::required(machine, "machine") }?;
        let manager = handles::manager(manager)?;
        manager.with(|engine| cleanup(engine, &machine, attachment, force != 0))
    })
}

/// What is attached to a machine, or with NULL for its name to all machines, as a list in JSON; `*json` is
/// to be given back by `containerv_volume_string_free`, and is NULL after an error.
///
/// Fails with EINVAL (the name), ENOENT, EBADMSG, EIO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_attachments(
    manager: *mut containerv_volume_manager,
    machine: *const c_char,
    json: *mut *mut c_char,
) -> c_int {
    border::call("containerv_volume_attachments", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { Out::new(json, "json", ptr::null_mut()) }?;
        // SAFETY: NULL or a text, as the header says.
        let machine = unsafe { text::optional(machine, "machine") }?;
        let manager = handles::manager(manager)?;
        let found = manager.with(|engine| engine.attachments(machine.as_deref()))?;
        let list = Value::Array(found.iter().map(told).collect());
        out.put(memory::give_text(&list.to_string()));
        Ok(())
    })
}

/// A machine, as it was told.
enum Reached {
    /// By its name: the store knows the rest.
    ByName(String),
    /// By how it is reached.
    Told {
        machine: KnownMachine,
        /// Whether the version of its documents is that which the service takes.
        negotiates: bool,
    },
}

impl Reached {
    /// The machine that a struct names.
    ///
    /// # Safety
    /// Its texts are NULL or valid, as for [`text::required`].
    unsafe fn read(machine: &containerv_machine) -> Result<Self> {
        let own = machine.hcs_system_id.is_null();
        if own && machine.qmp_socket.is_null() && machine.agent_socket.is_null() {
            // SAFETY: promised by the caller.
            let name = unsafe { text::optional(machine.name, "name") }?;
            let name = name.ok_or_else(|| Failure::argument(NO_MACHINE))?;
            return Ok(Self::ByName(name));
        }
        // SAFETY: promised by the caller.
        unsafe { told_machine(machine) }
    }

    fn name(&self) -> &str {
        match self {
            Self::ByName(name) => name,
            Self::Told { machine, .. } => &machine.name,
        }
    }
}

const NO_MACHINE: &str = "a machine has an hcs_system_id, or a qmp_socket and an agent_socket, or is \
                          known to the store by its name";

/// The machine of a struct that says how it is reached.
///
/// # Safety
/// As for [`Reached::read`].
unsafe fn told_machine(machine: &containerv_machine) -> Result<Reached> {
    // SAFETY: promised by the caller.
    let (name, id, schema, qmp, agent) = unsafe {
        (
            text::optional(machine.name, "name")?,
            text::optional(machine.hcs_system_id, "hcs_system_id")?,
            text::optional(machine.hcs_schema, "hcs_schema")?,
            text::optional(machine.qmp_socket, "qmp_socket")?,
            text::optional(machine.agent_socket, "agent_socket")?,
        )
    };
    let guest = guest_of(machine.guest)?;
    let (hypervisor, endpoints, own_name) = match (id, qmp, agent) {
        (Some(id), None, way) => {
            let schema = match &schema {
                Some(schema) => schema.parse().map_err(|_| {
                    Failure::argument(format!("{schema:?} is no version of HCS documents"))
                })?,
                None => SchemaVersion::V2_1,
            };
            let guest = match way {
                Some(way) => way
                    .parse()
                    .map_err(|error: GuestChannelError| Failure::argument(error.to_string()))?,
                None => GuestChannel::default(),
            };
            let name = id.clone();
            let endpoints = MachineEndpoints::Hcs { id, guest };
            (Hypervisor::Hcs(schema), endpoints, Some(name))
        }
        (None, Some(qmp), Some(agent)) => {
            let endpoints = MachineEndpoints::Qemu {
                qmp: qmp.into(),
                agent: agent.into(),
            };
            (Hypervisor::Qemu, endpoints, None)
        }
        _ => {
            return Err(Failure::argument(NO_MACHINE));
        }
    };
    let name = name
        .or(own_name)
        .ok_or_else(|| Failure::argument("a machine of QEMU needs a name"))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let negotiates = matches!(hypervisor, Hypervisor::Hcs(_)) && schema.is_none();
    let machine = KnownMachine {
        name,
        platform: MachinePlatform { hypervisor, guest },
        endpoints,
        owner: OWNER.to_owned(),
        since_unix_ms: since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }),
    };
    Ok(Reached::Told {
        machine,
        negotiates,
    })
}

fn setup(options: *mut containerv_options, machine: &Reached) -> Result<Attachment> {
    plan::prepare(options)?;
    let options = handles::options(options)?;
    // Not locked while a machine is waited for.
    let (manager, mut requests) = {
        let options = handles::lock(&options);
        (Arc::clone(&options.manager), options.requests()?)
    };
    let mut shares = Vec::new();
    let attached = manager.with(|engine| {
        for request in &mut requests {
            if request.kind == Kind::Smb && request.user.is_some() {
                shares.extend(keep_share(engine, request)?);
            }
        }
        let order = AttachMounts {
            machine: machine.name().to_owned(),
            mounts: requests.iter().map(Request::words).collect(),
            owner: None,
        };
        attach(engine, machine, &order)
    });
    match attached {
        Ok(attached) => {
            let shares = shares.into_iter().map(Made::Volume);
            handles::lock(&options).made.extend(shares);
            Ok(attached)
        }
        Err(failure) => {
            for name in shares {
                // One that is still used is tidied up with all that is not persistent.
                let _ = manager.with(|engine| engine.remove_volume(&name, false));
            }
            Err(failure)
        }
    }
}

fn attach(
    engine: &Engine,
    machine: &Reached,
    order: &AttachMounts,
) -> std::result::Result<Attachment, Error> {
    let is_new = match machine {
        Reached::ByName(_) => false,
        Reached::Told {
            machine,
            negotiates: false,
        } => make_known(engine, machine)?,
        Reached::Told { machine, .. } => make_known(engine, &negotiated(engine, machine)?)?,
    };
    let attached = engine.attach(order, &watch());
    if is_new && attached.is_err() {
        // Where something could not be undone it stays known, for that to be tried again.
        let _ = engine.forget_machine(machine.name());
    }
    attached
}

/// Has the store keep who logs in at a share, sealed, for whoever mounts it in the guest: also after this
/// program has ended. The request is for that volume then; its name, where it is new.
fn keep_share(
    engine: &Engine,
    request: &mut Request,
) -> std::result::Result<Option<String>, Error> {
    let Some(user) = request.user.take() else {
        return Ok(None);
    };
    let mut hasher = DefaultHasher::new();
    (&request.source, &user).hash(&mut hasher);
    let name = format!("smb-{:016x}", hasher.finish());
    let password = request.password.take();
    let password = password.unwrap_or_else(|| SecretString::from(String::new()));
    let (domain, user) = plan::split_user(&user);
    let mut settings = vec![
        ("kind", "smb".to_owned()),
        ("source", request.source.replace('\\', "/")),
        ("username", user.to_owned()),
        ("persistent", "false".to_owned()),
    ];
    settings.extend(domain.map(|domain| ("domain", domain.to_owned())));
    let volume = CreateVolume {
        name: name.clone(),
        settings,
        password: Some(password.clone()),
        // The guest sees whether it is let in; this host may not reach the server at all.
        unchecked: true,
        ..CreateVolume::default()
    };
    request.kind = Kind::Named;
    request.source.clone_from(&name);
    match engine.create_volume(&volume, &log::progress) {
        Ok(_) => Ok(Some(name)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            engine.set_password(&name, &password, true)?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The machine with the version of documents that was agreed on when it was made known, or is now.
fn negotiated(engine: &Engine, machine: &KnownMachine) -> std::result::Result<KnownMachine, Error> {
    let mut machine = machine.clone();
    machine.platform.hypervisor = match engine.known_machine(&machine.name) {
        Ok(known) if known.endpoints == machine.endpoints => known.platform.hypervisor,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => Hypervisor::Hcs(engine.hcs_schema()?),
    };
    Ok(machine)
}

/// Makes a machine known, or finds it known as it is; whether it is new.
fn make_known(engine: &Engine, machine: &KnownMachine) -> std::result::Result<bool, Error> {
    match engine.known_machine(&machine.name) {
        Ok(known) if known.platform == machine.platform && known.endpoints == machine.endpoints => {
            return Ok(false);
        }
        // Another machine had the name. It is forgotten only if nothing of it is left.
        Ok(_) => engine.forget_machine(&machine.name)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match engine.register_machine(machine) {
        // Another thread was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

fn cleanup(
    engine: &Engine,
    machine: &str,
    attachment: u64,
    force: bool,
) -> std::result::Result<(), Error> {
    let what = match attachment {
        CV_VOLUME_ALL_ATTACHMENTS => DetachWhat::All,
        number => DetachWhat::Attachment(number),
    };
    let detached = match engine.detach(machine, &what, force, &watch()) {
        // Cleaned up before.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        detached => Some(detached?),
    };
    if let Some(DetachOutcome { mut faults, .. }) = detached
        && let Some(first) = faults.drain(..).next()
    {
        return Err(first);
    }
    if attachment != CV_VOLUME_ALL_ATTACHMENTS {
        return Ok(());
    }
    match engine.known_machine(machine) {
        Ok(known) if known.owner == OWNER => engine.forget_machine(machine),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Steps are logged; a progress callback may end them.
fn watch() -> Watch<'static> {
    Watch {
        step: Box::new(step),
        is_cancelled: &|| log::progress(Progress::default()).is_break(),
    }
}

fn step(news: StepNews<'_>) {
    let action = news.action;
    match news.stage {
        StepStage::Begun => tracing::debug!("begun: {action}"),
        StepStage::Again(why) => tracing::warn!("once more: {action}: {why}"),
        StepStage::Done => tracing::info!("done: {action}"),
        StepStage::Failed(why) => tracing::warn!("failed: {action}: {why}"),
        _ => {}
    }
}

fn told(attachment: &Attachment) -> Value {
    let mounts = attachment.mounts.iter().map(|mount| {
        json!({
            "source": mount.source, "volume": mount.volume, "target": mount.target,
            "read_only": mount.read_only, "state": mount.state.as_str(), "slot": mount.slot,
            "fault": mount.fault,
        })
    });
    json!({
        "machine": attachment.machine, "attachment": attachment.id, "owner": attachment.owner,
        "since": attachment.since.to_string(), "mounts": mounts.collect::<Vec<_>>(),
        "guest_work": attachment.guest_work,
    })
}
