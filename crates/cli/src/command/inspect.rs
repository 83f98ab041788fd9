//! `cvol inspect`: all that is known of volumes, as JSON.

use engine::{Claim, ImageUse, LayerDetails, Timestamp, VolumeDetails};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::{self, Failure};

/// Show all that is known of volumes, as a JSON array
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The volumes that are found are shown even if others are not; the exit code is then that of the
first failure.

Examples:
  cvol inspect data
  cvol inspect data web | jq '.[].image_path'")]
pub(crate) struct Arguments {
    /// Names of volumes
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

#[derive(Serialize)]
struct Document {
    name: String,
    id: String,
    state: String,
    created: String,
    size: u64,
    file_system: String,
    format: String,
    #[serde(rename = "type")]
    provisioning: String,
    layout: String,
    block_size: Option<u64>,
    cluster_size: Option<u64>,
    sector_size: u64,
    volume_label: Option<String>,
    acl: Option<String>,
    persistent: bool,
    labels: std::collections::BTreeMap<String, String>,
    options: String,
    image_path: String,
    in_use: bool,
    claims: Vec<ClaimDocument>,
    allocated_bytes: Option<u64>,
    file_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_error: Option<String>,
    base: Option<String>,
    clones: Vec<String>,
    snapshots: Vec<String>,
    layers: Vec<LayerDocument>,
}

/// Who has it beyond the life of a command.
#[derive(Serialize)]
struct ClaimDocument {
    machine: String,
    attachment: String,
    mode: &'static str,
    since: String,
}

#[derive(Serialize)]
struct LayerDocument {
    id: String,
    /// The snapshot that names it.
    snapshot: Option<String>,
    is_head: bool,
    state: String,
    parent: Option<String>,
    file: String,
    allocated_bytes: Option<u64>,
    file_length: Option<u64>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let mut found = Vec::new();
        let mut first_failure = None;
        for name in &self.names {
            match context.engine.inspect_volume(name) {
                Ok(details) => found.push(document(&details)),
                Err(error) => {
                    let failure = Failure::from(error);
                    failure.tell(context.output.form());
                    first_failure.get_or_insert(failure.kind());
                }
            }
        }
        context.output.print_json(&found)?;
        failure::told(first_failure)?;
        Ok(Outcome::Done)
    }
}

fn document(details: &VolumeDetails) -> Document {
    let record = &details.record;
    let spec = &record.spec;
    let label = spec.label();
    Document {
        name: record.name.to_string(),
        id: record.id.to_string(),
        state: record.state.to_string(),
        created: Timestamp::from_unix_milliseconds(record.created_unix_ms).to_string(),
        size: spec.size().get(),
        file_system: spec.file_system().to_string(),
        format: spec.format().to_string(),
        provisioning: spec.provisioning().to_string(),
        layout: spec.partition().to_string(),
        block_size: spec.block_size().map(engine::ByteCount::get),
        cluster_size: spec.cluster_size().map(engine::ByteCount::get),
        sector_size: spec.sector().bytes(),
        volume_label: (!label.is_empty()).then(|| label.to_owned()),
        acl: spec.acl_sddl(),
        persistent: spec.persistent(),
        labels: record.labels.clone(),
        options: spec.to_string(),
        image_path: details.image_path.to_string_lossy().into_owned(),
        in_use: details.image_use == ImageUse::InUse || !details.claims.is_empty(),
        claims: details.claims.iter().map(claim).collect(),
        allocated_bytes: details.allocated_bytes,
        file_length: details.file_length,
        image_error: details.image_error.clone(),
        base: details.base.clone(),
        clones: details.clones.clone(),
        snapshots: details
            .layers
            .iter()
            .filter_map(|layer| Some(layer.snapshot.as_ref()?.name.to_string()))
            .collect(),
        layers: details.layers.iter().map(layer).collect(),
    }
}

fn claim(claim: &Claim) -> ClaimDocument {
    ClaimDocument {
        machine: claim.claimant.holder.clone(),
        attachment: claim.claimant.attachment.clone(),
        mode: claim.mode.as_str(),
        since: claim.since().to_string(),
    }
}

fn layer(details: &LayerDetails) -> LayerDocument {
    LayerDocument {
        id: details.layer.id.to_string(),
        snapshot: details.snapshot.as_ref().map(|it| it.name.to_string()),
        is_head: details.is_head,
        state: details.state.to_string(),
        parent: details.parent.clone(),
        file: details.file.to_string_lossy().into_owned(),
        allocated_bytes: details.allocated_bytes,
        file_length: details.file_length,
    }
}
