//! The system files: their records, their names in the root and in `$Extend`.
//!
//! Record numbers and sequence numbers are fixed. What Windows makes at its first mount
//! (`$RmMetadata` and its files, `System Volume Information`) is left to it.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::attribute::{
    Attribute, FileName, FileReference, Stream, standard_information, standard_information_1_2,
};
use super::build::{Builder, Fixed};
use super::definitions;
use super::directory::{DirectoryIndex, Listing, file_entry};
use super::file::INFORMATION_LENGTH;
use super::folder::small_index;
use super::format::{
    AttributeKind, BOOT_AREA_SIZE, FILE_HIDDEN_SYSTEM, FILE_NAME_DIRECTORY, FILE_VIEW_INDEX,
    NAME_SPACE_POSIX, NAME_SPACE_WIN32_AND_DOS, QuotaEntry, RECORD_DIRECTORY, RECORD_EXTENSION,
    RECORD_VIEW_INDEX, VOLUME_NO_SHORT_NAMES, VolumeInformation,
};
use super::geometry::Geometry;
use super::index::{FILE_NAMES, IndexEntry, OBJECT_IDS, QUOTA_OWNERS, QUOTAS};
use super::mft::Mft;
use super::narrow::wide;
use super::options::DosNames;
use super::record::{Record, RecordHead};
use super::runs::Run;
use super::secure::SecurityId;
use super::security;
use super::upcase::{self, UPCASE_SIZE};
use crate::error::MkfsError;
use crate::tree::Times;

const MFT: u64 = 0;
const MIRROR: u64 = 1;
const LOG: u64 = 2;
const VOLUME: u64 = 3;
const DEFINITIONS: u64 = 4;
/// Record of the root directory.
pub(super) const ROOT: u64 = 5;
const BITMAP: u64 = 6;
const BOOT: u64 = 7;
const BAD_CLUSTERS: u64 = 8;
const SECURE: u64 = 9;
const UPCASE: u64 = 10;
const EXTEND: u64 = 11;
/// Reserved, without names.
const RESERVED: std::ops::RangeInclusive<u64> = 12..=15;
const QUOTA: u64 = 24;
const OBJECT_ID: u64 = 25;
const REPARSE: u64 = 26;

/// Names in the root besides the root's own, by record.
const ROOT_FILES: [(u64, &str); 11] = [
    (MFT, "$MFT"),
    (MIRROR, "$MFTMirr"),
    (LOG, "$LogFile"),
    (VOLUME, "$Volume"),
    (DEFINITIONS, "$AttrDef"),
    (BITMAP, "$Bitmap"),
    (BOOT, "$Boot"),
    (BAD_CLUSTERS, "$BadClus"),
    (SECURE, "$Secure"),
    (UPCASE, "$UpCase"),
    (EXTEND, "$Extend"),
];
/// Names in `$Extend`, in the order of its index.
const EXTEND_FILES: [(u64, &str); 3] = [
    (OBJECT_ID, "$ObjId"),
    (QUOTA, "$Quota"),
    (REPARSE, "$Reparse"),
];

/// Number and flags that a quota entry begins with, and the first key of an account.
const QUOTA_VERSION: u32 = 2;
const QUOTA_DEFAULT: u32 = 1;
const QUOTA_DEFAULTS_KEY: u32 = 1;
const QUOTA_FIRST_KEY: u32 = 0x100;
/// What stands behind the owner's key in `$Quota:$O` on every volume of Windows.
const QUOTA_OWNER_END: [u8; 4] = [0x20, 0, 0, 0];

/// The sequence number of a system record.
pub(super) fn sequence(record: u64) -> u16 {
    match record {
        1..=15 => u16::try_from(record).unwrap_or(1),
        _ => 1,
    }
}

/// The reference of a system record.
pub(super) fn reference(record: u64) -> FileReference {
    FileReference::new(record, sequence(record))
}

/// The names of system files in the root.
pub(super) fn root_names() -> Vec<Vec<u16>> {
    ROOT_FILES.iter().map(|(_, name)| units(name)).collect()
}

/// The numbers of all system records.
pub(super) fn record_numbers() -> Vec<u64> {
    (MFT..=*RESERVED.end()).chain(QUOTA..=REPARSE).collect()
}

/// Bytes of `$AttrDef`.
pub(super) fn definitions_size() -> u64 {
    wide(definitions::table().len())
}

/// Bytes of the attributes of `$Reparse` besides its index.
pub(super) fn reparse_record_bytes() -> usize {
    describing_length("$Reparse")
}

/// Bytes of the attributes of `$Secure` besides its stream and its indexes.
pub(super) fn secure_record_bytes() -> usize {
    describing_length("$Secure")
}

fn describing_length(name: &str) -> usize {
    INFORMATION_LENGTH + Attribute::resident_length(0, FileName::value_length(name.len()))
}

fn units(name: &str) -> Vec<u16> {
    name.encode_utf16().collect()
}

/// Lists the system files in the root, as Windows does: only some of them with times and sizes.
pub(super) fn list_in_root(
    builder: &mut Builder<'_, '_>,
    time: crate::tree::NtTime,
) -> Result<(), MkfsError> {
    let nothing = |record| Listing {
        reference: reference(record),
        times: Times::default(),
        allocated: 0,
        size: 0,
        attributes: 0,
        tag: 0,
        name_space: NAME_SPACE_WIN32_AND_DOS,
    };
    let root_times = builder.directories.get(DirectoryIndex::ROOT).times;
    for (record, name) in ROOT_FILES {
        let mut listing = nothing(record);
        if matches!(record, MFT | SECURE | EXTEND) {
            listing.times = Times::all(time);
            listing.attributes = name_attributes(record);
        }
        if record == MFT {
            listing.size = Mft::least_size(&builder.volume.geometry);
            listing.allocated = listing.size;
        }
        builder
            .directories
            .list_in(DirectoryIndex::ROOT, &units(name), listing)?;
    }
    let mut own = nothing(ROOT);
    own.times = root_times;
    own.attributes = FILE_HIDDEN_SYSTEM | FILE_NAME_DIRECTORY;
    builder
        .directories
        .list_in(DirectoryIndex::ROOT, &units("."), own)?;
    Ok(())
}

/// The attributes that `$FILE_NAME` of a system file has.
fn name_attributes(record: u64) -> u32 {
    let kind = match record {
        ROOT | EXTEND => FILE_NAME_DIRECTORY,
        SECURE | QUOTA | OBJECT_ID | REPARSE => FILE_VIEW_INDEX,
        _ => 0,
    };
    FILE_HIDDEN_SYSTEM | kind
}

/// Everything the records of the system files say.
pub(super) struct SystemFiles<'a> {
    pub geometry: Geometry,
    pub times: Times,
    pub label: &'a [u16],
    pub dos_names: DosNames,
    pub fixed: &'a Fixed,
    /// The attributes of `$Secure` after its name.
    pub security: Vec<Attribute>,
    pub mft_runs: &'a [Run],
    pub mft_size: u64,
    pub mft_bitmap: Stream,
    pub cluster_bitmap: Stream,
    pub reparse: Vec<Attribute>,
}

impl SystemFiles<'_> {
    /// The records of all system files but the root.
    pub(super) fn records(&self) -> Result<Vec<Record>, MkfsError> {
        let mut records = Vec::new();
        for (number, name) in ROOT_FILES {
            records.push(self.root_file(number, name)?);
        }
        for number in RESERVED {
            records.push(self.reserved(number));
        }
        for (number, name) in EXTEND_FILES {
            records.push(self.extend_file(number, name)?);
        }
        Ok(records)
    }

    /// A file in the root.
    fn root_file(&self, number: u64, name: &str) -> Result<Record, MkfsError> {
        let content = self.content(number)?;
        let (allocated, size) = content
            .iter()
            .find(|attribute| attribute.kind == AttributeKind::Data && attribute.name.is_empty())
            .map_or((0, 0), Attribute::sizes);
        let file_name = FileName {
            parent: reference(ROOT),
            times: self.times,
            // Of `$MFT` the listing was made before it grew.
            allocated: if number == MFT {
                Mft::least_size(&self.geometry)
            } else {
                allocated
            },
            size: if number == MFT {
                Mft::least_size(&self.geometry)
            } else {
                size
            },
            attributes: name_attributes(number),
            tag: 0,
            name: &units(name),
            name_space: NAME_SPACE_WIN32_AND_DOS,
        };
        let mut attributes = vec![self.information(number), file_name.attribute()?];
        attributes.extend(content);
        Ok(system_record(number, record_flags(number), attributes))
    }

    /// `$STANDARD_INFORMATION` of a system file.
    fn information(&self, number: u64) -> Attribute {
        let view = name_attributes(number) & FILE_VIEW_INDEX;
        let security = match number {
            VOLUME | SECURE | EXTEND | QUOTA | OBJECT_ID | REPARSE => SecurityId::SystemReadWrite,
            _ => SecurityId::SystemReadOnly,
        };
        if number == BOOT {
            standard_information_1_2(&self.times, FILE_HIDDEN_SYSTEM, 0)
        } else {
            standard_information(&self.times, FILE_HIDDEN_SYSTEM | view, security.number(), 0)
        }
    }

    /// The attributes after the name.
    fn content(&self, number: u64) -> Result<Vec<Attribute>, MkfsError> {
        let fixed = self.fixed;
        Ok(match number {
            MFT => {
                let runs = self.mft_runs.to_vec();
                let table = Stream::dense(runs, self.geometry.cluster(), self.mft_size);
                vec![
                    Attribute::stream(AttributeKind::Data, "", table),
                    Attribute::stream(AttributeKind::Bitmap, "", self.mft_bitmap.clone()),
                ]
            }
            MIRROR => vec![self.data("", fixed.mirror, self.geometry.mirror_size())],
            LOG => vec![self.data("", fixed.log, self.geometry.log_size())],
            VOLUME => self.volume(),
            DEFINITIONS => vec![self.data("", fixed.definitions, definitions_size())],
            BITMAP => {
                let stream = self.cluster_bitmap.clone();
                vec![Attribute::stream(AttributeKind::Data, "", stream)]
            }
            BOOT => vec![
                Attribute::resident(
                    AttributeKind::SecurityDescriptor,
                    security::system_read_only(),
                ),
                self.data("", fixed.boot, BOOT_AREA_SIZE),
            ],
            BAD_CLUSTERS => self.bad_clusters(),
            SECURE => self.security.clone(),
            UPCASE => {
                let info = upcase::info();
                vec![
                    self.data("", fixed.upcase, UPCASE_SIZE),
                    Attribute::named_resident(AttributeKind::Data, "$Info", info),
                ]
            }
            EXTEND => vec![self.extend_index()?],
            _ => Vec::new(),
        })
    }

    fn data(&self, name: &'static str, run: Run, size: u64) -> Attribute {
        let stream = Stream::dense(vec![run], self.geometry.cluster(), size);
        Attribute::stream(AttributeKind::Data, name, stream)
    }

    fn volume(&self) -> Vec<Attribute> {
        let label = self.label.iter().flat_map(|unit| unit.to_le_bytes());
        let information = VolumeInformation {
            unused: U64::ZERO,
            major: 3,
            minor: 1,
            flags: match self.dos_names {
                DosNames::Absent => VOLUME_NO_SHORT_NAMES.into(),
                DosNames::Generated => 0.into(),
            },
        };
        vec![
            Attribute::resident(AttributeKind::VolumeName, label.collect()),
            Attribute::resident(
                AttributeKind::VolumeInformation,
                information.as_bytes().to_vec(),
            ),
            Attribute::resident(AttributeKind::Data, Vec::new()),
        ]
    }

    /// No cluster is bad: one hole as long as the volume.
    fn bad_clusters(&self) -> Vec<Attribute> {
        let clusters = self.geometry.clusters();
        let size = clusters * self.geometry.cluster();
        let bad = Stream {
            first_vcn: 0,
            runs: vec![Run::hole(clusters)],
            allocated: size,
            size,
            initialized: 0,
            sparse: None,
        };
        vec![
            Attribute::resident(AttributeKind::Data, Vec::new()),
            Attribute::stream(AttributeKind::Data, "$Bad", bad),
        ]
    }

    fn extend_index(&self) -> Result<Attribute, MkfsError> {
        let entries = EXTEND_FILES
            .iter()
            .map(|(number, name)| {
                let listing = Listing {
                    reference: reference(*number),
                    times: self.times,
                    allocated: 0,
                    size: 0,
                    attributes: name_attributes(*number),
                    tag: 0,
                    name_space: NAME_SPACE_POSIX,
                };
                file_entry(reference(EXTEND), &units(name), &listing)
            })
            .collect::<Result<Vec<_>, _>>()?;
        small_index(FILE_NAMES, self.geometry.units_per_index_block(), &entries)
    }

    /// A reserved record: in use, without a name.
    fn reserved(&self, number: u64) -> Record {
        let attributes = vec![
            standard_information_1_2(&self.times, FILE_HIDDEN_SYSTEM, 0),
            Attribute::resident(
                AttributeKind::SecurityDescriptor,
                security::system_read_write(),
            ),
            Attribute::resident(AttributeKind::Data, Vec::new()),
        ];
        let mut record = system_record(number, 0, attributes);
        record.head.links = 0;
        record
    }

    /// A file in `$Extend`.
    fn extend_file(&self, number: u64, name: &str) -> Result<Record, MkfsError> {
        let file_name = FileName {
            parent: reference(EXTEND),
            times: self.times,
            allocated: 0,
            size: 0,
            attributes: name_attributes(number),
            tag: 0,
            name: &units(name),
            name_space: NAME_SPACE_POSIX,
        };
        let mut attributes = vec![self.information(number), file_name.attribute()?];
        attributes.extend(match number {
            QUOTA => self.quota_indexes()?,
            OBJECT_ID => vec![small_index(
                OBJECT_IDS,
                self.geometry.units_per_index_block(),
                &[],
            )?],
            _ => self.reparse.clone(),
        });
        Ok(system_record(number, record_flags(number), attributes))
    }

    /// The defaults, and administrators without a limit.
    fn quota_indexes(&self) -> Result<Vec<Attribute>, MkfsError> {
        let administrators = security::sid(security::Account::Administrators);
        let defaults = QuotaEntry {
            version: U32::new(QUOTA_VERSION),
            flags: U32::new(QUOTA_DEFAULT),
            used: U64::ZERO,
            changed: U64::new(self.times.created.ticks()),
            threshold: U64::new(u64::MAX),
            limit: U64::new(u64::MAX),
            exceeded: U64::ZERO,
        };
        let owned = [defaults.as_bytes(), &administrators].concat();
        let owner = IndexEntry::view_with_end(
            &administrators,
            &QUOTA_FIRST_KEY.to_le_bytes(),
            &QUOTA_OWNER_END,
        )?;
        let quotas = [
            IndexEntry::view(&QUOTA_DEFAULTS_KEY.to_le_bytes(), defaults.as_bytes())?,
            IndexEntry::view(&QUOTA_FIRST_KEY.to_le_bytes(), &owned)?,
        ];
        let units = self.geometry.units_per_index_block();
        Ok(vec![
            small_index(QUOTA_OWNERS, units, &[owner])?,
            small_index(QUOTAS, units, &quotas)?,
        ])
    }
}

fn record_flags(number: u64) -> u16 {
    match number {
        EXTEND => RECORD_DIRECTORY,
        SECURE => RECORD_VIEW_INDEX,
        QUOTA | OBJECT_ID | REPARSE => RECORD_VIEW_INDEX | RECORD_EXTENSION,
        _ => 0,
    }
}

fn system_record(number: u64, flags: u16, attributes: Vec<Attribute>) -> Record {
    Record {
        head: RecordHead::named(number, sequence(number), flags),
        attributes,
    }
}
