//! What a container is to have, told to programs that bring it into a machine themselves.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_int};
use std::path::{self, Path};
use std::ptr;

use engine::{
    CreateVolume, ErrorKind, Guest, Hypervisor, MachinePlatform, RenderForm, SchemaVersion,
};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::manager::Manager;
use crate::options::Made;
use crate::out::Out;
use crate::request::{Kind, Request};
use crate::types::{EnumValue, containerv_guest_value, containerv_options};
use crate::{border, handles, image, log, memory, text};

/// Makes the volumes and images that the options say how to make and that are not there. What was made
/// before an error stays, and a second call makes the rest. `containerv_volume_release` removes those
/// that are not to stay after the container.
///
/// Fails as `containerv_volume_create_fs`, and with EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_prepare(options: *mut containerv_options) -> c_int {
    border::call("containerv_volume_prepare", || prepare(options))
}

/// Removes the volumes and images that `containerv_volume_prepare` made with "persistent=false". They
/// must not be used any more. May be called again after an error, and finds nothing to do when it was
/// done before.
///
/// Fails with EBUSY, EIO, EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_release(options: *mut containerv_options) -> c_int {
    border::call("containerv_volume_release", || release(options))
}

/// Tells all mounts in the form of another tool, as JSON in UTF-8; `*json` is to be given back by
/// `containerv_volume_string_free`, and is NULL after an error. Nothing is attached or changed; volumes
/// that are named have to be there.
///
/// `form` is "hcs-1" (MappedDirectories and MappedVirtualDisks, to be merged into the document that a
/// container of HCS schema 1 is made from), "hcs-2.0" to "hcs-2.9" (parts of the documents of a machine and
/// of a container, and the same as requests to a machine that runs), "oci" (`mounts` of the OCI
/// specification, in the kinds that hcsshim takes), "steps" or "steps-qemu" (what is done, with what
/// undoes it); NULL for "hcs-2.1". In the hcs and oci forms what HCS does not bring into a guest is left
/// to `containerv_volume_guest_script`.
///
/// Fails with EINVAL (a mount, the form), ENOENT, ENOTSUP (what the machine or the form cannot do, by
/// name), EBADMSG, EIO, EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_plan(
    options: *mut containerv_options,
    guest: containerv_guest_value,
    form: *const c_char,
    json: *mut *mut c_char,
) -> c_int {
    border::call("containerv_volume_plan", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { Out::new(json, "json", ptr::null_mut()) }?;
        // SAFETY: NULL or a text, as the header says.
        let form = unsafe { text::optional(form, "form") }?;
        let planned = Planned::new(options, guest)?;
        let value = planned.told(form.as_deref().unwrap_or("hcs-2.1"))?;
        out.put(memory::give_text(&value.to_string()));
        Ok(())
    })
}

/// Commands to be run in the guest, in order, of what HCS does not bring into it: SMB shares, and memory in
/// Linux. `*json` is to be given back by `containerv_volume_string_free`:
///
///   {"mount": [{"number": 1, "words": ["mkdir", "-p", "/data"], "reads_credentials": false}, ...],
///    "unmount": [...]}
///
/// `words` are the program and its arguments, for no shell; `number` is the mount, from 1. A command that
/// reads credentials gets on its standard input what `containerv_volume_guest_input` gives for the mount.
///
/// Fails as `containerv_volume_plan`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_guest_script(
    options: *mut containerv_options,
    guest: containerv_guest_value,
    json: *mut *mut c_char,
) -> c_int {
    border::call("containerv_volume_guest_script", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { Out::new(json, "json", ptr::null_mut()) }?;
        let planned = Planned::new(options, guest)?;
        let all = planned.requests.iter().collect();
        let script = planned.render(SchemaVersion::V2_1, all, &RenderForm::GuestScript)?;
        out.put(memory::give_text(&script.to_string()));
        Ok(())
    })
}

/// What the commands of a mount (by its number in the script) read from their standard input: the user
/// and the password of a share. `*input` is to be given back by `containerv_volume_string_free`, which
/// overwrites it; it is NULL after an error.
///
/// Fails with EINVAL (there is no such mount, or nobody logs in there), EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_guest_input(
    options: *mut containerv_options,
    guest: containerv_guest_value,
    number: c_int,
    input: *mut *mut c_char,
) -> c_int {
    border::call("containerv_volume_guest_input", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { Out::new(input, "input", ptr::null_mut()) }?;
        let planned = Planned::new(options, guest)?;
        let index = usize::try_from(number).unwrap_or(0).checked_sub(1);
        let request = index.and_then(|index| planned.requests.get(index));
        let login = match request {
            Some(request) => planned.login(request)?,
            None => None,
        };
        let nobody = || Failure::argument(format!("nobody logs in at mount {number}"));
        out.put(login.ok_or_else(nobody)?);
        Ok(())
    })
}

/// Options, ready to be planned.
struct Planned {
    manager: std::sync::Arc<Manager>,
    requests: Vec<Request>,
    guest: Guest,
}

impl Planned {
    fn new(options: *mut containerv_options, guest: EnumValue) -> Result<Self> {
        let guest = guest_of(guest)?;
        let options = handles::options(options)?;
        let options = handles::lock(&options);
        Ok(Self {
            manager: std::sync::Arc::clone(&options.manager),
            requests: options.requests()?,
            guest,
        })
    }

    fn told(&self, form: &str) -> Result<Value> {
        match form {
            "steps" => self.steps(Hypervisor::Hcs(SchemaVersion::V2_1)),
            "steps-qemu" => self.steps(Hypervisor::Qemu),
            "oci" => self.render(SchemaVersion::V2_1, self.of_oci()?, &RenderForm::Oci),
            "hcs-1" => {
                let version = SchemaVersion::V2_1;
                self.render(version, self.of_hcs()?, &RenderForm::HcsFirstSchema)
            }
            _ => {
                let version = form.strip_prefix("hcs-").and_then(|text| text.parse().ok());
                let version = version.ok_or_else(|| {
                    Failure::argument(format!(
                        "{form:?} is no form of a plan: hcs-1, hcs-2.0 to hcs-2.9, oci, steps, \
                         steps-qemu"
                    ))
                })?;
                self.render(version, self.of_hcs()?, &RenderForm::Hcs)
            }
        }
    }

    fn steps(&self, hypervisor: Hypervisor) -> Result<Value> {
        let platform = MachinePlatform {
            hypervisor,
            guest: self.guest,
        };
        let words: Vec<String> = self.requests.iter().map(Request::words).collect();
        let plan = self
            .manager
            .with(|engine| engine.plan_mounts(platform, &words))?;
        serde_json::to_value(&plan).map_err(|error| Failure::Panic(error.to_string()))
    }

    fn render(
        &self,
        version: SchemaVersion,
        requests: Vec<&Request>,
        form: &RenderForm,
    ) -> Result<Value> {
        let platform = MachinePlatform {
            hypervisor: Hypervisor::Hcs(version),
            guest: self.guest,
        };
        let words: Vec<String> = requests.into_iter().map(Request::words).collect();
        self.manager
            .with(|engine| engine.render_mounts(platform, &words, form))
    }

    /// The mounts in whose steps none of these actions is: a named volume may stand for anything, and the
    /// plan knows what.
    fn without(&self, actions: &[&str]) -> Result<Vec<&Request>> {
        let platform = MachinePlatform {
            hypervisor: Hypervisor::Hcs(SchemaVersion::V2_9),
            guest: self.guest,
        };
        let words: Vec<String> = self.requests.iter().map(Request::words).collect();
        let plan = self
            .manager
            .with(|engine| engine.plan_mounts(platform, &words))?;
        let steps = plan.steps.iter();
        let left: BTreeSet<usize> = steps
            .filter(|step| actions.contains(&step.action))
            .map(|step| step.mount)
            .collect();
        let numbered = self.requests.iter().zip(1..);
        Ok(numbered
            .filter(|(_, number)| !left.contains(number))
            .map(|(request, _)| request)
            .collect())
    }

    /// What HCS brings into the guest.
    fn of_hcs(&self) -> Result<Vec<&Request>> {
        self.without(&["mount-smb", "mount-memory"])
    }

    /// What hcsshim brings into the guest, which mounts memory too.
    fn of_oci(&self) -> Result<Vec<&Request>> {
        self.without(&["mount-smb"])
    }

    /// Who logs in at a mount: who was told with it, or whom the store knows for the volume.
    fn login(&self, request: &Request) -> Result<Option<*mut c_char>> {
        if let Some(user) = &request.user {
            let password = request.password.as_ref();
            let password = password.map_or("", |password| password.expose_secret());
            let (domain, user) = split_user(user);
            return Ok(Some(credentials(self.guest, user, domain, password)));
        }
        if request.kind != Kind::Named {
            return Ok(None);
        }
        let known = self.manager.with(|engine| {
            let details = engine.inspect_volume(&request.source)?;
            match details.record.spec.smb() {
                Some(_) => engine.credentials(&details.record.id.to_string()),
                None => Ok(None),
            }
        })?;
        Ok(known.map(|known| {
            let password = known.password.expose_secret();
            credentials(self.guest, &known.user, known.domain.as_deref(), password)
        }))
    }
}

/// `DOMAIN\user` in its parts.
pub(crate) fn split_user(user: &str) -> (Option<&str>, &str) {
    match user.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, user),
    }
}

/// The guest that C names by a number.
pub(crate) fn guest_of(number: EnumValue) -> Result<Guest> {
    match number {
        0 => Ok(Guest::Linux),
        1 => Ok(Guest::Windows),
        _ => Err(Failure::argument(format!(
            "{number} is no enum containerv_guest"
        ))),
    }
}

/// What is read by the commands of a guest for a share.
fn credentials(guest: Guest, user: &str, domain: Option<&str>, password: &str) -> *mut c_char {
    match (guest, domain) {
        (Guest::Windows, Some(domain)) => {
            memory::give_secret(&[domain, "\\", user, "\r\n", password, "\r\n"])
        }
        (Guest::Windows, None) => memory::give_secret(&[user, "\r\n", password, "\r\n"]),
        (Guest::Linux, Some(domain)) => memory::give_secret(&[
            "username=",
            user,
            "\ndomain=",
            domain,
            "\npassword=",
            password,
            "\n",
        ]),
        (Guest::Linux, None) => {
            memory::give_secret(&["username=", user, "\npassword=", password, "\n"])
        }
    }
}

/// Makes what is to be made; see `containerv_volume_prepare`.
pub(crate) fn prepare(options: *mut containerv_options) -> Result<()> {
    let options = handles::options(options)?;
    // Not locked while volumes are made: a progress callback may ask the options something.
    let (manager, requests) = {
        let options = handles::lock(&options);
        (std::sync::Arc::clone(&options.manager), options.requests()?)
    };
    for request in &requests {
        let Some(made_by) = &request.made_by else {
            continue;
        };
        let is_new = match request.kind {
            Kind::Named => make_volume(&manager, request, made_by)?,
            _ => make_image(&manager, request, made_by)?,
        };
        if is_new && !request.persistent {
            let source = &request.source;
            let made = match request.kind {
                Kind::Named => Made::Volume(source.clone()),
                _ => Made::Image(path::absolute(source).unwrap_or_else(|_| source.into())),
            };
            handles::lock(&options).made.push(made);
        }
    }
    Ok(())
}

/// Removes what is not to stay; see `containerv_volume_release`.
pub(crate) fn release(options: *mut containerv_options) -> Result<()> {
    let options = handles::options(options)?;
    let (manager, made) = {
        let options = handles::lock(&options);
        (
            std::sync::Arc::clone(&options.manager),
            options.made.clone(),
        )
    };
    for made in made {
        let removed = match &made {
            Made::Image(path) => remove_image(path),
            Made::Volume(name) => manager
                .with(|engine| engine.remove_volume(name, false))
                .map(drop),
        };
        match removed {
            Err(Failure::Engine(error)) if error.kind() == ErrorKind::NotFound => {}
            outcome => outcome?,
        }
        match &made {
            Made::Image(path) => {
                tracing::info!(image = %path.display(), "removed what was made for the container");
            }
            Made::Volume(volume) => {
                tracing::info!(volume, "removed what was made for the container");
            }
        }
        handles::lock(&options).made.retain(|kept| *kept != made);
    }
    Ok(())
}

/// Makes a volume where there is none; whether there was none.
fn make_volume(manager: &Manager, request: &Request, made_by: &str) -> Result<bool> {
    let volume = CreateVolume {
        name: request.source.clone(),
        options: vec![made_by.to_owned()],
        // What a crash of the program leaves is tidied up with all that is not persistent.
        settings: vec![("persistent", request.persistent.to_string())],
        ..CreateVolume::default()
    };
    is_made(manager.with(|engine| engine.create_volume(&volume, &log::progress)))
}

/// Makes an image where there is none; whether there was none.
fn make_image(manager: &Manager, request: &Request, made_by: &str) -> Result<bool> {
    is_made(image::create_image(manager, &request.source, None, made_by))
}

fn is_made<T>(outcome: Result<T>) -> Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(Failure::Engine(error)) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn remove_image(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Failure::File {
            what: format!("cannot remove {}", path.display()),
            source,
        }),
        _ => Ok(()),
    }
}
