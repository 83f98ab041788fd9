//! The command line: global options and the list of verbs. What a verb takes stands in its file.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::command::{
    acl, attach, attrib, cat, check, clone, compact, completions, convert, cp, create, detach,
    diff, diff_create, discover, doctor, export, flatten, fsck, hcs, info, inspect, label, ls, man,
    map, merge, mkdir, mount, mounts, mv, prune, ps, rebase, render, resize, rm, salvage, secret,
    serve, serve_machine, snapshot, tree, umount, vm,
};
use crate::exit;

const ENVIRONMENT: &str = "\
Environment:
  CVOL_ROOT          the folder of the store, as --root
  SOURCE_DATE_EPOCH  seconds since 1970: `create` and `convert` then derive every
                     identifier from their input, and equal input gives equal bytes;
                     `snapshot create` and `clone` derive theirs from what they stand on
  CVOL_SECRET_KEY_FILE, CVOL_SECRET_KEYRING
                     the file, or the name in the keyring of the system, of the key that
                     kept passwords are sealed with, instead of `secret.key` of the store
  CVOL_MOUNT_ROOTS   folders of the host, parted as in PATH: nothing outside them is
                     mounted into a machine
  CVOL_QEMU, CVOL_VIRTIOFSD, CVOL_GUEST, CVOL_GUEST_AGENT
                     QEMU, the virtiofs daemon, the folder of kernel and first file system,
                     and the agent of machines, where they are not to be looked for";

const EXAMPLES: &str = "\
Examples:
  cvol create data --size 20G --from ./site
  cvol ls
  cvol tree data
  cvol cat data:/index.html
  cvol cp data:/img ./out
  cvol export data -o data.tar.zst
  cvol cp ./new.html data:/index.html
  cvol convert disk.vhdx disk.raw
  cvol snapshot create data@before
  cvol clone data@before copy
  cvol rm data";

/// Named volumes for containers in virtual machines: NTFS and FAT32 in VHDX files, made and read
/// on any host.
#[derive(Debug, Parser)]
#[command(
    name = "cvol",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\n{}", exit::HELP),
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb takes, before or after its name.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Folder of the store [default: the data folder of the system]
    ///
    /// Without it: %ProgramData%\cvol on Windows; elsewhere /var/lib/cvol for root, and
    /// $XDG_DATA_HOME/cvol or ~/.local/share/cvol for everyone else.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CVOL_ROOT",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) root: Option<PathBuf>,

    /// A file that may be the parent of a differencing image, wherever it lies; may be repeated
    ///
    /// Without it, parents are taken from the folder of the image and those below it alone: what an
    /// image calls its parent is the word of whoever made it.
    #[arg(
        long = "parent",
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) parents: Vec<PathBuf>,

    /// Print JSON; errors are JSON too, on standard error
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,

    /// Print names only, and no notes
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "json",
        help_heading = "Global options"
    )]
    pub(crate) quiet: bool,

    /// Show no progress bar
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_progress: bool,

    /// Tell more
    #[arg(short, long, global = true, action = ArgAction::SetTrue,
          help_heading = "Global options")]
    pub(crate) verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Box<create::Arguments>),
    Ls(ls::Arguments),
    Inspect(inspect::Arguments),
    Rm(rm::Arguments),
    Prune(prune::Arguments),
    Cp(cp::Arguments),
    Mkdir(mkdir::Arguments),
    Mv(mv::Arguments),
    Attrib(attrib::Arguments),
    Label(label::Arguments),
    Cat(cat::Arguments),
    Tree(tree::Arguments),
    Acl(acl::Arguments),
    Export(export::Arguments),
    Check(check::Arguments),
    Fsck(fsck::Arguments),
    Info(info::Arguments),
    Convert(convert::Arguments),
    Salvage(salvage::Arguments),
    Doctor(doctor::Arguments),
    Map(map::Arguments),
    Compact(compact::Arguments),
    Resize(resize::Arguments),
    DiffCreate(diff_create::Arguments),
    Serve(serve::Arguments),
    Attach(attach::Arguments),
    Detach(detach::Arguments),
    Ps(ps::Arguments),
    Mount(mount::Arguments),
    Umount(umount::Arguments),
    Mounts(mounts::Arguments),
    Render(render::Arguments),
    Hcs(hcs::Arguments),
    Discover(discover::Arguments),
    Secret(secret::Arguments),
    Snapshot(snapshot::Arguments),
    Clone(clone::Arguments),
    Diff(diff::Arguments),
    Merge(merge::Arguments),
    Rebase(rebase::Arguments),
    Flatten(flatten::Arguments),
    Vm(vm::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    ServeMachine(serve_machine::Arguments),
    #[command(hide = true)]
    Man(man::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_an_example() {
        for verb in Arguments::command().get_subcommands() {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let example = format!("cvol {}", verb.get_name());
            assert!(help.contains(&example), "{}", verb.get_name());
        }
    }
}
