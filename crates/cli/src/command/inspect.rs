//! `cvol inspect`: all that is known of volumes, as JSON.

use engine::{
    BackingDetails, Claim, DiskSpec, HostSource, ImageDetails, ImageUse, LayerDetails, SecretState,
    Timestamp, VolumeDetails,
};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::OnTheWay;

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
    kind: String,
    size: Option<u64>,
    persistent: bool,
    read_only: bool,
    labels: std::collections::BTreeMap<String, String>,
    options: String,
    claims: Vec<ClaimDocument>,
    #[serde(flatten)]
    disk: Option<DiskDocument>,
    #[serde(flatten)]
    image: Option<ImageDocument>,
    #[serde(flatten)]
    host: Option<HostDocument>,
    #[serde(flatten)]
    share: Option<ShareDocument>,
    base: Option<String>,
    clones: Vec<String>,
    snapshots: Vec<String>,
    layers: Vec<LayerDocument>,
}

/// What a disk is, of a volume that has one.
#[derive(Serialize)]
struct DiskDocument {
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
}

/// What its image is.
#[derive(Serialize)]
struct ImageDocument {
    image_path: String,
    in_use: bool,
    allocated_bytes: Option<u64>,
    file_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_error: Option<String>,
}

/// What a volume of kind bind stands for.
#[derive(Serialize)]
struct HostDocument {
    source: String,
    /// `directory`, `file`, `other`, `missing` or `unreadable`.
    source_is: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_error: Option<String>,
}

/// What a volume of kind smb stands for, and whether it can be logged in there; the password is in none of it.
#[derive(Serialize)]
struct ShareDocument {
    source: String,
    username: String,
    domain: Option<String>,
    /// `kept`, `missing` or `unusable`.
    password: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_error: Option<String>,
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
        let mut failures = OnTheWay::new(context.output.form());
        for name in &self.names {
            match context.engine.inspect_volume(name) {
                Ok(details) => found.push(document(&details)),
                Err(error) => failures.add(error),
            }
        }
        context.output.print_json(&found)?;
        failures.end()?;
        Ok(Outcome::Done)
    }
}

fn document(details: &VolumeDetails) -> Document {
    let record = &details.record;
    let spec = &record.spec;
    Document {
        name: record.name.to_string(),
        id: record.id.to_string(),
        state: record.state.to_string(),
        created: Timestamp::from_unix_milliseconds(record.created_unix_ms).to_string(),
        kind: spec.kind().to_string(),
        size: spec.size().map(engine::ByteCount::get),
        persistent: spec.persistent(),
        read_only: spec.read_only(),
        labels: record.labels.clone(),
        options: spec.to_string(),
        claims: details.claims.iter().map(claim).collect(),
        disk: spec.disk().map(disk),
        image: details
            .image()
            .map(|found| image(found, !details.claims.is_empty())),
        host: host(details),
        share: share(details),
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

fn disk(disk: &DiskSpec) -> DiskDocument {
    let label = disk.label();
    DiskDocument {
        file_system: disk.file_system().to_string(),
        format: disk.format().to_string(),
        provisioning: disk.provisioning().to_string(),
        layout: disk.partition().to_string(),
        block_size: disk.block_size().map(engine::ByteCount::get),
        cluster_size: disk.cluster_size().map(engine::ByteCount::get),
        sector_size: disk.sector().bytes(),
        volume_label: (!label.is_empty()).then(|| label.to_owned()),
        acl: disk.acl_sddl(),
    }
}

fn image(image: &ImageDetails, is_claimed: bool) -> ImageDocument {
    ImageDocument {
        image_path: image.path.to_string_lossy().into_owned(),
        in_use: image.image_use == ImageUse::InUse || is_claimed,
        allocated_bytes: image.allocated_bytes,
        file_length: image.file_length,
        image_error: image.error.clone(),
    }
}

fn host(details: &VolumeDetails) -> Option<HostDocument> {
    let BackingDetails::Host(found) = &details.backing else {
        return None;
    };
    let (source_is, source_error) = match found {
        HostSource::Directory => ("directory", None),
        HostSource::File => ("file", None),
        HostSource::Other => ("other", None),
        HostSource::Missing => ("missing", None),
        HostSource::Unreadable(error) => ("unreadable", Some(error.clone())),
    };
    Some(HostDocument {
        source: details.record.spec.source()?,
        source_is,
        source_error,
    })
}

fn share(details: &VolumeDetails) -> Option<ShareDocument> {
    let BackingDetails::Share(state) = &details.backing else {
        return None;
    };
    let smb = details.record.spec.smb()?;
    let (password, password_error) = match state {
        SecretState::Kept => ("kept", None),
        SecretState::Missing => ("missing", None),
        SecretState::Unusable(error) => ("unusable", Some(error.to_string())),
    };
    Some(ShareDocument {
        source: smb.share().to_string(),
        username: smb.user().name().to_owned(),
        domain: smb.user().domain().map(str::to_owned),
        password,
        password_error,
    })
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
