//! What a guest has to run itself for a plan: commands, one word after another, without a shell.
//!
//! With HCS the service and its agent bring disks and directories into the guest. What is left are SMB
//! shares and, in Linux, memory: for runtimes that can start programs in the guest. Passwords stand in no
//! command: one that needs credentials reads them from its standard input.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::guest::{GuestSystem, Hypervisor};
use crate::hcs::RenderError;
use crate::mount::SmbSource;
use crate::path::Target;
use crate::plan::{Action, Plan};

/// Commands for a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestScript {
    /// To be run in this order before the container starts.
    pub mount: Vec<ScriptCommand>,
    /// To be run in this order after it ended.
    pub unmount: Vec<ScriptCommand>,
}

/// A command for a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScriptCommand {
    /// Which request it is for, from 1.
    pub number: usize,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Whether it reads credentials from its standard input.
    pub reads_credentials: bool,
}

/// All that there is to do in a guest for whoever mounts in it himself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestWork {
    /// What has to be mounted, in order: before the container starts, and unmounted in the other order
    /// before it is detached.
    pub steps: Vec<GuestStep>,
    /// Commands that do those of the steps that the guest does by itself.
    #[serde(flatten)]
    pub script: GuestScript,
}

/// One mount in a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestStep {
    /// Which request it is for, from 1.
    pub number: usize,
    /// `mount-disk`, `mount-share`, `mount-smb`, `mount-memory`.
    pub action: &'static str,
    /// Where the disk or what the share is, and how it is mounted, as plans tell it.
    pub details: Map<String, Value>,
    /// The step in words.
    pub text: String,
}

/// What actions leave to do in the guest, each with the number of its request.
pub fn guest_work<'a>(
    guest: GuestSystem,
    actions: impl IntoIterator<Item = (usize, &'a Action)>,
) -> GuestWork {
    let actions: Vec<_> = actions.into_iter().collect();
    let in_guest = actions.iter().filter(|(_, action)| {
        matches!(
            action,
            Action::MountDisk { .. }
                | Action::MountShare { .. }
                | Action::MountSmb { .. }
                | Action::MountMemory { .. }
        )
    });
    let steps = in_guest.map(|(number, action)| GuestStep {
        number: *number,
        action: action.word(),
        details: action.details(),
        text: action.to_string(),
    });
    GuestWork {
        steps: steps.collect(),
        script: commands(guest, &actions),
    }
}

/// The commands of a plan that its hypervisor does not carry out itself.
///
/// # Errors
/// Where the plan is for another hypervisor than HCS: what QEMU gives a guest is mounted by its agent.
pub fn guest_script(plan: &Plan) -> Result<GuestScript, RenderError> {
    if plan.platform.hypervisor == Hypervisor::Qemu {
        return Err(RenderError {
            what: "a plan for QEMU".to_owned(),
            form: "commands for the guest",
        });
    }
    let steps = plan.steps.iter();
    let actions: Vec<_> = steps.map(|step| (step.request + 1, &step.action)).collect();
    Ok(commands(plan.platform.guest, &actions))
}

fn commands(guest: GuestSystem, actions: &[(usize, &Action)]) -> GuestScript {
    let mut script = GuestScript::default();
    for (number, action) in actions {
        let number = *number;
        let mut add = |words: Vec<String>, reads_credentials| {
            script.mount.push(ScriptCommand {
                number,
                words,
                reads_credentials,
            });
        };
        let target = match action {
            Action::MountMemory { target, size } => {
                add(linux(&["mkdir", "-p", &target.to_string()]), false);
                let options = format!("nosuid,nodev,size={size}");
                let at = target.to_string();
                add(
                    linux(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", &at]),
                    false,
                );
                target
            }
            Action::MountSmb {
                source,
                target,
                read_only,
            } => {
                let reads = source.user.is_some();
                match guest {
                    GuestSystem::Linux => {
                        add(linux(&["mkdir", "-p", &target.to_string()]), false);
                        add(linux_share(source, target, *read_only), reads);
                    }
                    GuestSystem::Windows => add(windows_share(source, target), reads),
                }
                target
            }
            _ => continue,
        };
        let words = match guest {
            GuestSystem::Linux => linux(&["umount", &target.to_string()]),
            GuestSystem::Windows => windows_unmount(target),
        };
        let command = ScriptCommand {
            number,
            words,
            reads_credentials: false,
        };
        script.unmount.insert(0, command);
    }
    script
}

fn linux(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `mount.cifs` reads `username=`, `password=` and `domain=` lines.
fn linux_share(source: &SmbSource, target: &Target, read_only: bool) -> Vec<String> {
    let login = if source.user.is_some() {
        "credentials=/dev/stdin"
    } else {
        "guest"
    };
    let access = if read_only { "ro" } else { "rw" };
    let options = format!("{login},vers=3.1.1,nosuid,nodev,{access}");
    let share = source.unc().replace('\\', "/");
    linux(&[
        "mount",
        "-t",
        "cifs",
        "-o",
        &options,
        &share,
        &target.to_string(),
    ])
}

/// A mapping for the whole system, as containers need it, and a link or a letter to it. Reads a line with
/// the user and one with the password.
fn windows_share(source: &SmbSource, target: &Target) -> Vec<String> {
    let share = literal(&source.unc());
    let login = "$u=[Console]::In.ReadLine();$p=[Console]::In.ReadLine();\
                 $c=New-Object Management.Automation.PSCredential \
                 $u,(ConvertTo-SecureString $p -AsPlainText -Force);";
    let (login, credential) = match source.user {
        Some(_) => (login, "-Credential $c "),
        None => ("", ""),
    };
    let text = target.to_string();
    let target = literal(&text);
    let map = "New-SmbGlobalMapping -RequirePrivacy $true";
    let rest = if text.ends_with(':') {
        format!("{map} -RemotePath {share} {credential}-LocalPath {target}|Out-Null")
    } else {
        format!(
            "{map} -RemotePath {share} {credential}|Out-Null;\
             New-Item -Force -ItemType Directory (Split-Path {target})|Out-Null;\
             New-Item -ItemType SymbolicLink -Path {target} -Target {share}|Out-Null"
        )
    };
    power_shell(&format!("$ErrorActionPreference='Stop';{login}{rest}"))
}

/// Takes the link or the letter away. Mappings are the guest's, and end with it: others may use them.
fn windows_unmount(target: &Target) -> Vec<String> {
    let text = target.to_string();
    let target = literal(&text);
    let command = if text.ends_with(':') {
        format!("Remove-SmbGlobalMapping -LocalPath {target} -Force")
    } else {
        format!("[IO.Directory]::Delete({target})")
    };
    power_shell(&format!("$ErrorActionPreference='Stop';{command}"))
}

fn power_shell(command: &str) -> Vec<String> {
    linux(&[
        "powershell.exe",
        "-NoProfile",
        "-NonInteractive",
        "-Command",
        command,
    ])
}

/// A text of PowerShell in which nothing has a meaning but the quotes, of which it knows five.
fn literal(text: &str) -> String {
    let mut literal = String::from("'");
    for character in text.chars() {
        literal.push(character);
        if matches!(character, '\'' | '\u{2018}'..='\u{201B}') {
            literal.push(character);
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{Platform, SchemaVersion};
    use crate::mount::{MountRequest, Source};

    fn script(guest: GuestSystem, sources: Vec<(Source, &str)>) -> GuestScript {
        let platform = Platform {
            hypervisor: Hypervisor::Hcs(SchemaVersion::V2_1),
            guest,
        };
        let requests: Vec<MountRequest> = sources
            .into_iter()
            .map(|(source, target)| MountRequest {
                source,
                target: Target::parse(target, guest).unwrap(),
                read_only: false,
            })
            .collect();
        guest_script(&Plan::new(platform, &requests).unwrap()).unwrap()
    }

    fn share(user: Option<&str>) -> Source {
        Source::Smb(SmbSource {
            user: user.map(str::to_owned),
            ..SmbSource::parse("//srv/data/a b").unwrap()
        })
    }

    fn lines(commands: &[ScriptCommand]) -> Vec<String> {
        commands
            .iter()
            .map(|command| command.words.join("|"))
            .collect()
    }

    #[test]
    fn linux_mounts_memory_and_shares_with_credentials_from_its_input() {
        let image = crate::path::HostPath::parse("C:\\t.vhdx").unwrap();
        let memory = Source::Temporary {
            size: 1 << 20,
            image,
        };
        let script = script(
            GuestSystem::Linux,
            vec![
                (memory, "/tmp/x"),
                (share(Some("u")), "/d"),
                (share(None), "/e"),
            ],
        );
        assert_eq!(
            lines(&script.mount),
            [
                "mkdir|-p|/d",
                "mount|-t|cifs|-o|credentials=/dev/stdin,vers=3.1.1,nosuid,nodev,rw|//srv/data/a b|/d",
                "mkdir|-p|/e",
                "mount|-t|cifs|-o|guest,vers=3.1.1,nosuid,nodev,rw|//srv/data/a b|/e",
                "mkdir|-p|/tmp/x",
                "mount|-t|tmpfs|-o|nosuid,nodev,size=1048576|tmpfs|/tmp/x",
            ]
        );
        let reading: Vec<usize> = script
            .mount
            .iter()
            .filter(|command| command.reads_credentials)
            .map(|command| command.number)
            .collect();
        assert_eq!(reading, [2]);
        assert_eq!(
            lines(&script.unmount),
            ["umount|/tmp/x", "umount|/e", "umount|/d"]
        );
    }

    #[test]
    fn windows_maps_shares_for_all_and_links_to_them() {
        let script = script(
            GuestSystem::Windows,
            vec![(share(Some("u")), "C:\\it's"), (share(None), "E:")],
        );
        let mount = lines(&script.mount);
        assert_eq!(mount.len(), 2);
        let letter = "-RemotePath '\\\\srv\\data\\a b' -LocalPath 'E:'";
        let link = "-ItemType SymbolicLink -Path 'C:\\it''s' -Target '\\\\srv\\data\\a b'";
        assert!(mount.iter().any(|line| line.contains(letter)), "{mount:?}");
        assert!(mount.iter().any(|line| line.contains(link)), "{mount:?}");
    }

    #[test]
    fn a_literal_ends_where_it_should() {
        assert_eq!(literal("a'b\u{2019}$(x)`"), "'a''b\u{2019}\u{2019}$(x)`'");
    }
}
