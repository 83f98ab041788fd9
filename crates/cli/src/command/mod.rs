//! The verbs, one a file: each turns its arguments into one call of the engine and prints what
//! comes back.

pub(crate) mod acl;
pub(crate) mod attach;
pub(crate) mod attrib;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod clone;
pub(crate) mod compact;
pub(crate) mod completions;
mod conversion;
pub(crate) mod convert;
pub(crate) mod cp;
pub(crate) mod create;
mod described_machine;
pub(crate) mod detach;
pub(crate) mod diff;
pub(crate) mod diff_create;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod flatten;
pub(crate) mod fsck;
pub(crate) mod hcs;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod label;
pub(crate) mod ls;
mod machine;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod merge;
pub(crate) mod mkdir;
pub(crate) mod mount;
pub(crate) mod mounts;
pub(crate) mod mv;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod rebase;
pub(crate) mod render;
mod repair_report;
pub(crate) mod resize;
pub(crate) mod rm;
pub(crate) mod salvage;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod serve_machine;
pub(crate) mod snapshot;
pub(crate) mod tree;
pub(crate) mod umount;
pub(crate) mod values;
pub(crate) mod vm;

use engine::{Engine, ProgressFn};

use crate::arguments::Verb;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Reporter;

/// What every verb works with.
pub(crate) struct Context {
    pub(crate) engine: Engine,
    pub(crate) output: Output,
    pub(crate) show_progress: bool,
}

/// How a verb that did its work came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Done,
    /// A check found problems.
    ProblemsFound,
    /// A command in a guest ended with this code.
    Ended(u8),
}

/// What a verb returns.
pub(crate) type Result = std::result::Result<Outcome, Failure>;

impl Context {
    /// Has the engine work with a progress bar named `label`, which is gone when the work is done.
    pub(crate) fn watched<T>(
        &self,
        label: &'static str,
        work: impl FnOnce(&Engine, ProgressFn<'_>) -> engine::Result<T>,
    ) -> engine::Result<T> {
        let reporter = Reporter::new(label, self.show_progress);
        work(&self.engine, &|progress| reporter.report(progress))
    }
}

/// Carries out a verb that works with the engine.
pub(crate) fn run(verb: Verb, context: &Context) -> Result {
    match verb {
        Verb::Create(arguments) => arguments.run(context),
        Verb::Ls(arguments) => arguments.run(context),
        Verb::Inspect(arguments) => arguments.run(context),
        Verb::Rm(arguments) => arguments.run(context),
        Verb::Prune(arguments) => arguments.run(context),
        Verb::Cp(arguments) => arguments.run(context),
        Verb::Mkdir(arguments) => arguments.run(context),
        Verb::Mv(arguments) => arguments.run(context),
        Verb::Attrib(arguments) => arguments.run(context),
        Verb::Label(arguments) => arguments.run(context),
        Verb::Cat(arguments) => arguments.run(context),
        Verb::Tree(arguments) => arguments.run(context),
        Verb::Acl(arguments) => arguments.run(context),
        Verb::Export(arguments) => arguments.run(context),
        Verb::Check(arguments) => arguments.run(context),
        Verb::Fsck(arguments) => arguments.run(context),
        Verb::Info(arguments) => arguments.run(context),
        Verb::Convert(arguments) => arguments.run(context),
        Verb::Doctor(arguments) => arguments.run(context),
        Verb::Salvage(arguments) => arguments.run(context),
        Verb::Map(arguments) => arguments.run(context),
        Verb::Compact(arguments) => arguments.run(context),
        Verb::Resize(arguments) => arguments.run(context),
        Verb::DiffCreate(arguments) => arguments.run(context),
        Verb::Serve(arguments) => arguments.run(context),
        Verb::Attach(arguments) => arguments.run(context),
        Verb::Detach(arguments) => arguments.run(context),
        Verb::Ps(arguments) => arguments.run(context),
        Verb::Mount(arguments) => arguments.run(context),
        Verb::Umount(arguments) => arguments.run(context),
        Verb::Mounts(arguments) => arguments.run(context),
        Verb::ServeMachine(arguments) => arguments.run(context),
        Verb::Render(arguments) => arguments.run(context),
        Verb::Hcs(arguments) => arguments.run(context),
        Verb::Discover(arguments) => arguments.run(context),
        Verb::Secret(arguments) => arguments.run(context),
        Verb::Snapshot(arguments) => arguments.run(context),
        Verb::Clone(arguments) => arguments.run(context),
        Verb::Diff(arguments) => arguments.run(context),
        Verb::Merge(arguments) => arguments.run(context),
        Verb::Rebase(arguments) => arguments.run(context),
        Verb::Flatten(arguments) => arguments.run(context),
        Verb::Vm(arguments) => arguments.run(context),
        Verb::Completions(arguments) => arguments.run(context),
        Verb::Man(arguments) => arguments.run(context),
    }
}
