//! The builder: what is placed first, what arrives, and what is written at the end.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, Disk};

use super::attribute::{Attribute, FileReference};
use super::bitmap;
use super::boot::{self, BootFacts};
use super::definitions;
use super::directory::{Directories, Directory, DirectoryIndex};
use super::file::OpenFile;
use super::format::{BOOT_AREA_SIZE, FILE_HIDDEN_SYSTEM, NAME_SPACE_WIN32_AND_DOS};
use super::link::PendingLink;
use super::log_file::CleanLog;
use super::mft::Mft;
use super::naming::DosNamesMade;
use super::narrow::to_usize;
use super::options::{DosNames, NtfsOptions};
use super::record::Record;
use super::reparse;
use super::runs::{Lcn, Run};
use super::secure::Secure;
use super::space::Space;
use super::spread::Spread;
use super::stream::{Meter, StreamBuilder, Volume, Writer};
use super::system::{self, SystemFiles};
use super::upcase::{UPCASE_SIZE, Upcase};
use crate::error::MkfsError;
use crate::names::{CasePolicy, NamePolicy, NameRules, SiblingNames};
use crate::report::BuildReport;
use crate::tree::{EntryKind, Times, TreeEntry, TreeError, TreeErrorKind, TreeSource};

/// Records put late and kept before they are written.
const LATE_RECORDS: usize = 1024;
/// Entries between two reports of progress.
const ENTRIES_PER_REPORT: u64 = 1024;

/// A volume under construction.
pub(super) struct Builder<'d, 'p> {
    pub disk: &'d dyn Disk,
    pub volume: Volume<'d>,
    pub mft: Mft<'d>,
    pub directories: Directories,
    pub upcase: Upcase,
    pub meter: Meter<'p>,
    pub report: BuildReport,
    /// Tag and file of each reparse point.
    pub reparse_points: Vec<(u32, FileReference)>,
    /// Links that have no record yet.
    pub links: Vec<PendingLink>,
    pub name_policy: NamePolicy,
    pub case_policy: CasePolicy,
    /// The 8.3 names made so far; none where none are made.
    pub dos_names: Option<DosNamesMade>,
    pub secure: Secure,
    /// What arrived last: named streams of it may follow.
    pub last: Last,
    /// Named streams and reparse points of directories.
    pub directory_extras: HashMap<DirectoryIndex, Vec<Attribute>>,
    /// Where the attributes of files lie that did not fit one record.
    pub spreads: HashMap<u64, Spread>,
    /// Files that were named again after they were put.
    pub renamed: HashSet<u64>,
    /// How many names the files have that have more than one.
    pub name_counts: HashMap<u64, u32>,
}

/// The entry to which a named stream belongs that comes next.
pub(super) enum Last {
    Directory(DirectoryIndex),
    File(OpenFile),
    /// A symbolic link, by its place in [`Builder::links`].
    Link(usize),
    HardLink,
    /// An entry that was left out.
    Nothing,
}

/// Where the structures lie whose size is known from the start.
pub(super) struct Fixed {
    pub boot: Run,
    pub mirror: Run,
    pub upcase: Run,
    pub definitions: Run,
    pub log: Run,
}

/// See [`super::format`].
pub(super) fn format(
    disk: &dyn Disk,
    options: &NtfsOptions,
    tree: Option<&mut dyn TreeSource>,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<BuildReport, MkfsError> {
    let geometry = options.geometry(disk)?;
    let label = options.label_units()?;
    let mut secure = Secure::new()?;
    let upcase = Upcase::new();
    let mut space = Space::new(&geometry);
    let fixed = Fixed {
        boot: space.take_fixed(BOOT_AREA_SIZE)?,
        mirror: space.take_fixed(geometry.mirror_size())?,
        upcase: space.take_fixed(UPCASE_SIZE)?,
        definitions: space.take_fixed(system::definitions_size())?,
        log: space.take_fixed(geometry.log_size())?,
    };
    let totals = tree.as_ref().and_then(|tree| tree.totals());
    if let Some(totals) = &totals {
        space.check_totals(totals, geometry.record())?;
    }
    space.reserve_table(Mft::least_size(&geometry), geometry.record(), totals);
    let root_times = tree.as_ref().and_then(|tree| tree.root_times());
    let root_security = tree.as_ref().and_then(|tree| tree.root_security());
    let root_security = match root_security {
        Some(descriptor) => Some(secure.key(&descriptor)?),
        None => None,
    };
    let mut builder = Builder {
        disk,
        volume: Volume {
            geometry,
            space,
            writer: Writer::new(disk)?,
        },
        mft: Mft::new(disk, &geometry),
        directories: Directories::new(root(
            root_times.unwrap_or(Times::all(options.time)),
            root_security,
            &upcase,
        )),
        upcase,
        meter: Meter::new(progress),
        report: BuildReport::default(),
        reparse_points: Vec::new(),
        links: Vec::new(),
        name_policy: options.name_policy,
        case_policy: options.case_policy,
        dos_names: match options.dos_names {
            DosNames::Absent => None,
            DosNames::Generated => Some(DosNamesMade::new()),
        },
        secure,
        last: Last::Directory(DirectoryIndex::ROOT),
        directory_extras: HashMap::new(),
        spreads: HashMap::new(),
        renamed: HashSet::new(),
        name_counts: HashMap::new(),
    };
    builder.write_fixed(&fixed)?;
    system::list_in_root(&mut builder, options.time)?;
    if let Some(tree) = tree {
        builder.fill(tree)?;
    }
    builder.finish(options, &label, &fixed)?;
    Ok(builder.report)
}

/// The root directory, in which the names of system files are taken.
fn root(times: Times, security: Option<u32>, upcase: &Upcase) -> Directory {
    let fold = |unit| upcase.of(unit);
    let rules = NameRules {
        policy: NamePolicy::Map,
        case: CasePolicy::Rename,
        upcase: &fold,
    };
    let reserved = system::root_names();
    Directory {
        parent: DirectoryIndex::ROOT,
        record: system::ROOT,
        reference: system::reference(system::ROOT),
        source_name: None,
        name: ".".encode_utf16().collect(),
        dos_name: None,
        name_space: NAME_SPACE_WIN32_AND_DOS,
        times,
        attributes: FILE_HIDDEN_SYSTEM,
        tag: 0,
        security,
        is_case_sensitive: false,
        siblings: SiblingNames::with_reserved(reserved.iter().map(Vec::as_slice), &rules),
    }
}

impl Builder<'_, '_> {
    fn write_fixed(&mut self, fixed: &Fixed) -> Result<(), MkfsError> {
        let upcase = self.upcase.to_bytes();
        let writer = &mut self.volume.writer;
        let cluster = self.volume.geometry.cluster();
        let position = |run: &Run| run.start.map_or(0, |Lcn(lcn)| lcn * cluster);
        writer.write(position(&fixed.upcase), &upcase)?;
        writer.write(position(&fixed.definitions), &definitions::table())?;
        let log = CleanLog {
            size: self.volume.geometry.log_size(),
            cluster,
        };
        log.write(writer, position(&fixed.log))
    }

    fn fill(&mut self, tree: &mut dyn TreeSource) -> Result<(), MkfsError> {
        while let Some(entry) = tree.next_entry()? {
            self.add(entry)?;
            self.meter.entries += 1;
            if self.meter.entries.is_multiple_of(ENTRIES_PER_REPORT) {
                self.meter.tell()?;
            }
        }
        self.close_last()?;
        for amendment in tree.amendments() {
            self.amend(&amendment)?;
        }
        self.report.bytes = ByteCount(self.meter.bytes);
        self.meter.tell()
    }

    fn add(&mut self, mut entry: TreeEntry) -> Result<(), MkfsError> {
        let kind = std::mem::replace(&mut entry.kind, EntryKind::Directory);
        if let EntryKind::Stream(content) = kind {
            return self.add_stream(&entry, content);
        }
        self.close_last()?;
        let parent = self.directories.find(entry.parent, &entry.name)?;
        self.last = match kind {
            EntryKind::Directory => self.add_directory(parent, entry, None)?,
            EntryKind::File(content) => self.add_file(parent, entry, content)?,
            EntryKind::Symlink { target, directory } => {
                self.add_symlink(parent, entry, target, directory)?
            }
            EntryKind::HardLink { target } => self.add_hard_link(parent, &entry, target)?,
            EntryKind::ReparsePoint { data, directory } => {
                let point = reparse::raw(data).ok_or_else(|| {
                    MkfsError::Tree(TreeError::new(
                        TreeErrorKind::Malformed,
                        self.directories.path(parent, &entry.name),
                        "its reparse data is not as long as it says, or has no tag",
                    ))
                })?;
                if directory {
                    self.add_directory(parent, entry, Some(point))?
                } else {
                    self.add_reparse_file(parent, entry, point)?
                }
            }
            EntryKind::Stream(_) => Last::Nothing,
        };
        Ok(())
    }

    /// Puts the file that arrived last, if it was one.
    fn close_last(&mut self) -> Result<(), MkfsError> {
        match std::mem::replace(&mut self.last, Last::Nothing) {
            Last::File(file) => self.close_file(file),
            _ => Ok(()),
        }
    }

    fn finish(
        &mut self,
        options: &NtfsOptions,
        label: &[u16],
        fixed: &Fixed,
    ) -> Result<(), MkfsError> {
        self.mft.write_gathered(&mut self.volume.space)?;
        self.directories.sort(&self.upcase);
        let late: HashSet<u64> = self
            .link_records()
            .chain(self.renamed.iter().copied())
            .collect();
        let names = self.directories.names_of(&late);
        drop(late);
        self.finish_links(&names)?;
        self.finish_names(&names)?;
        for directory in self.directories.indices() {
            self.finish_directory(directory)?;
            self.flush_some_late()?;
        }
        let reparse = self.reparse_index()?;
        let security = self.security_attributes()?;
        self.mft.mark_all(&system::record_numbers())?;
        self.mft.finish(&mut self.volume.space)?;

        let mut mft_bitmap = StreamBuilder::default();
        mft_bitmap.append(&mut self.volume, &self.mft.bitmap()?)?;
        let clusters = self.volume.geometry.clusters();
        let mut cluster_bitmap = StreamBuilder::default();
        cluster_bitmap.reserve(&mut self.volume, bitmap::size(clusters))?;
        // Nothing is taken from here on.
        bitmap::write(&mut cluster_bitmap, &mut self.volume, clusters)?;
        self.volume.writer.flush()?;

        let geometry = self.volume.geometry;
        let files = SystemFiles {
            geometry,
            times: Times::all(options.time),
            label,
            dos_names: options.dos_names,
            fixed,
            security,
            mft_runs: self.mft.runs(),
            mft_size: self.mft.size(),
            mft_bitmap: mft_bitmap.finish(&geometry),
            cluster_bitmap: cluster_bitmap.finish(&geometry),
            reparse,
        };
        for record in files.records()? {
            self.put_system(&record)?;
        }
        self.mft.flush_late(&mut self.volume.space)?;
        self.write_mirror(fixed)?;
        let facts = BootFacts {
            mft: self.volume.space.table_start(),
            mft_mirror: fixed.mirror.start.unwrap_or(Lcn(0)),
            hidden_sectors: options.boot_hidden_sectors(),
            serial: options.serial,
        };
        boot::write(self.disk, &geometry, &facts)
    }

    /// Puts the record of a system file: it lies in one record.
    fn put_system(&mut self, record: &Record) -> Result<(), MkfsError> {
        let bytes = record
            .encode(self.volume.geometry.record())?
            .ok_or(MkfsError::Unsupported("a system file of this length"))?;
        self.mft.put_late(record.head.number, bytes)
    }

    /// Writes the records put late where they have become many.
    pub(super) fn flush_some_late(&mut self) -> Result<(), MkfsError> {
        if self.mft.late_count() >= LATE_RECORDS {
            self.mft.flush_late(&mut self.volume.space)?;
        }
        Ok(())
    }

    /// Copies the first records, as they stand on the disk, to the mirror.
    fn write_mirror(&self, fixed: &Fixed) -> Result<(), MkfsError> {
        let geometry = &self.volume.geometry;
        let size = geometry.mirror_size().min(self.mft.size());
        let mut bytes = vec![0; to_usize(size, "a mirror of this length")?];
        let Lcn(table) = self.volume.space.table_start();
        let mirror = fixed.mirror.start.map_or(0, |Lcn(lcn)| lcn);
        self.disk
            .read_at(&mut bytes, ByteOffset(table * geometry.cluster()))?;
        self.disk
            .write_at(&bytes, ByteOffset(mirror * geometry.cluster()))?;
        Ok(())
    }
}
