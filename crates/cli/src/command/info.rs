//! `cvol info`: what an image is, from its headers alone.

use engine::{ChainLink, ImageDescription, ImageInfo, ImageKind};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure;
use crate::output::{Form, quantity, table};
use crate::reference::ImageToRead;

/// Describe an image file, or the image of a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The argument is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol info disk.vhdx
  cvol info data --json
  cvol info --format raw disk.bin")]
pub(crate) struct Arguments {
    #[command(flatten)]
    image: ImageToRead,
}

#[derive(Serialize)]
struct Document {
    image: String,
    format: String,
    #[serde(rename = "type")]
    kind: &'static str,
    virtual_size: u64,
    file_length: u64,
    allocated: u64,
    block_size: Option<u64>,
    logical_sector_size: u64,
    physical_sector_size: u64,
    dirty_log: bool,
    creator: Option<String>,
    ids: std::collections::BTreeMap<&'static str, String>,
    parent: Option<ParentDocument>,
    chain: Vec<LinkDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_error: Option<String>,
}

#[derive(Serialize)]
struct LinkDocument {
    image: String,
    #[serde(rename = "type")]
    kind: &'static str,
    virtual_size: u64,
    allocated: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mismatch: Option<String>,
}

#[derive(Serialize)]
struct ParentDocument {
    linkage: Option<String>,
    linkage2: Option<String>,
    paths: Vec<PathDocument>,
}

#[derive(Serialize)]
struct PathDocument {
    kind: &'static str,
    path: String,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let image = self.image.resolve()?;
        let description = context.engine.describe_image(&image, self.image.format)?;
        match context.output.form() {
            Form::Json => context.output.print_json(&document(&description))?,
            Form::Quiet => context.output.print_name(&description.name)?,
            Form::Text => {
                let facts = facts(&description);
                context.output.print(&table::render_facts(&facts))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn kind_name(kind: ImageKind) -> &'static str {
    match kind {
        ImageKind::Dynamic => "dynamic",
        ImageKind::Fixed => "fixed",
        ImageKind::Differencing => "differencing",
    }
}

fn document(description: &ImageDescription) -> Document {
    let info = &description.info;
    Document {
        image: description.name.clone(),
        format: info.format.to_string(),
        kind: kind_name(info.kind),
        virtual_size: info.virtual_size.get(),
        file_length: info.file_length.get(),
        allocated: info.allocated.get(),
        block_size: info.block_size.map(engine::ByteCount::get),
        logical_sector_size: info.logical_sector.bytes(),
        physical_sector_size: info.physical_sector.bytes(),
        dirty_log: info.dirty_log,
        creator: Some(info.creator.clone()).filter(|creator| !creator.is_empty()),
        ids: info.ids.iter().cloned().collect(),
        parent: parent_document(info),
        chain: description.chain.iter().map(link_document).collect(),
        chain_error: chain_error(description),
    }
}

fn link_document(link: &ChainLink) -> LinkDocument {
    LinkDocument {
        image: link.name.clone(),
        kind: kind_name(link.info.kind),
        virtual_size: link.info.virtual_size.get(),
        allocated: link.info.allocated.get(),
        mismatch: link.mismatch.clone(),
    }
}

fn chain_error(description: &ImageDescription) -> Option<String> {
    let error = description.chain_error.as_ref()?;
    Some(failure::chain(error))
}

fn parent_document(info: &ImageInfo) -> Option<ParentDocument> {
    let parent = info.parent.as_ref()?;
    Some(ParentDocument {
        linkage: parent.linkage.map(|id| id.to_string()),
        linkage2: parent.linkage2.map(|id| id.to_string()),
        paths: parent
            .paths
            .iter()
            .map(|path| PathDocument {
                kind: path.kind,
                path: path.path.clone(),
            })
            .collect(),
    })
}

fn facts(description: &ImageDescription) -> Vec<(&str, String)> {
    let info = &description.info;
    let size = |bytes: engine::ByteCount| {
        format!("{} ({} bytes)", quantity::bytes(bytes.get()), bytes.get())
    };
    let mut facts = vec![
        ("image", description.name.clone()),
        ("format", info.format.to_string()),
        ("type", kind_name(info.kind).to_owned()),
        ("virtual size", size(info.virtual_size)),
        ("file length", size(info.file_length)),
        ("allocated", size(info.allocated)),
    ];
    if let Some(block_size) = info.block_size {
        facts.push(("block size", quantity::bytes(block_size.get())));
    }
    facts.push((
        "sectors",
        format!(
            "{} logical, {} physical",
            info.logical_sector.bytes(),
            info.physical_sector.bytes()
        ),
    ));
    if info.dirty_log {
        facts.push(("log", "to be replayed".to_owned()));
    }
    if !info.creator.is_empty() {
        facts.push(("creator", info.creator.clone()));
    }
    for (name, id) in &info.ids {
        facts.push((name, id.clone()));
    }
    if let Some(parent) = &info.parent {
        if let Some(linkage) = parent.linkage {
            facts.push(("parent id", linkage.to_string()));
        }
        for path in &parent.paths {
            facts.push(("parent", format!("{} ({})", path.path, path.kind)));
        }
    }
    for link in &description.chain {
        let mut line = format!("{}, {}", link.name, kind_name(link.info.kind));
        if let Some(mismatch) = &link.mismatch {
            line.push_str(&format!(": {mismatch}"));
        }
        facts.push(("stands on", line));
    }
    if let Some(error) = chain_error(description) {
        facts.push(("chain", error));
    }
    facts
}
