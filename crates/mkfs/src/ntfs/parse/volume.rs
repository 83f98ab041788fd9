//! A volume: its geometry and its master file table, from which everything else is found.

use blockio::{ByteOffset, Disk};
use zerocopy::FromBytes;

use super::super::format::VolumeInformation;
use super::super::upcase::{UPCASE_SIZE, Upcase};
use super::attribute::{BodyView, kind};
use super::error::{ParseError, Structure};
use super::file::File;
use super::geometry::VolumeGeometry;
use super::list::list_entries;
use super::record::Record;
use super::stream::StreamMap;
use super::value::Value;
use super::{MAX_ATTRIBUTE_LIST_BYTES, attribute};

/// Bytes of a boot sector that are looked at.
const BOOT_BYTES: usize = 512;
/// Volume flag: changed, and not taken off in order.
const VOLUME_DIRTY: u16 = 0x0001;
/// Longest label, in bytes.
const MAX_LABEL_BYTES: u64 = 256;

/// What `$Volume` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeState {
    /// Version of NTFS: 3 and 1 since Windows XP.
    pub version: (u8, u8),
    /// Flags of the volume.
    pub flags: u16,
    /// Its label.
    pub label: Vec<u16>,
}

impl VolumeState {
    /// Whether the volume was not taken off in order.
    pub fn is_dirty(&self) -> bool {
        self.flags & VOLUME_DIRTY != 0
    }
}

/// An NTFS volume at rest.
pub struct NtfsVolume<'d> {
    disk: &'d dyn Disk,
    geometry: VolumeGeometry,
    mft: Value,
    upcase: Upcase,
}

impl std::fmt::Debug for NtfsVolume<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NtfsVolume")
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

impl<'d> NtfsVolume<'d> {
    /// Opens the volume on `disk`, which is the partition alone.
    ///
    /// # Errors
    /// `Damaged` where the boot sector, the record of `$MFT` or `$UpCase` cannot be read, `Disk`.
    pub fn open(disk: &'d dyn Disk) -> Result<Self, ParseError> {
        let geometry = Self::read_geometry(disk, 0)?;
        let first = Self::read_first_record(disk, &geometry, geometry.mft.0)?;
        let mut volume = Self::with_table(disk, geometry, &first)?;
        volume.upcase = volume.read_upcase()?;
        Ok(volume)
    }

    /// Reads the boot sector, or its copy, at a position in bytes.
    pub(in crate::ntfs) fn read_geometry(
        disk: &dyn Disk,
        position: u64,
    ) -> Result<VolumeGeometry, ParseError> {
        let mut bytes = [0; BOOT_BYTES];
        read_within(disk, &mut bytes, position)?;
        VolumeGeometry::parse(&bytes).map_err(|error| error.at(position))
    }

    /// Reads record 0 from a cluster: the table's own first, or that of its copy.
    pub(in crate::ntfs) fn read_first_record(
        disk: &dyn Disk,
        geometry: &VolumeGeometry,
        cluster: u64,
    ) -> Result<Record, ParseError> {
        let size = usize::try_from(geometry.record).unwrap_or(0);
        let mut bytes = vec![0; size];
        let position = cluster.checked_mul(geometry.cluster).ok_or_else(|| {
            ParseError::damaged(Structure::BootSector, "a table lies outside the volume")
        })?;
        read_within(disk, &mut bytes, position)?;
        Record::parse(0, bytes)
    }

    /// The volume whose table the record 0 given describes; with the upper-case table of Windows.
    pub(in crate::ntfs) fn with_table(
        disk: &'d dyn Disk,
        geometry: VolumeGeometry,
        first: &Record,
    ) -> Result<Self, ParseError> {
        let of_table = |error: ParseError| error.of_record(0);
        let missing = || ParseError::damaged(Structure::Record, "the table has no clusters");
        let data = first
            .view()
            .find(kind::DATA, "")?
            .ok_or_else(missing)
            .map_err(of_table)?;
        let BodyView::NonResident(body) = data.body else {
            return Err(of_table(missing()));
        };
        let map = StreamMap::first(&data, &body, geometry.clusters).map_err(of_table)?;
        let mut volume = Self {
            disk,
            geometry,
            mft: Value::Stream(map),
            upcase: Upcase::new(),
        };
        volume.add_parts_of_table(first).map_err(of_table)?;
        Ok(volume)
    }

    /// Adds the parts of the table that extension records describe; each of them lies in a part
    /// that is known by then.
    fn add_parts_of_table(&mut self, first: &Record) -> Result<(), ParseError> {
        let Some(list) = first.view().find(kind::ATTRIBUTE_LIST, "")? else {
            return Ok(());
        };
        let list = self.value_of_one(&list)?;
        let bytes = list.read_all(self, MAX_ATTRIBUTE_LIST_BYTES)?;
        for entry in list_entries(&bytes)? {
            let is_more = entry.kind == kind::DATA && entry.name.is_empty() && entry.first_vcn > 0;
            if !is_more {
                continue;
            }
            let record = self.read_record(entry.record.record())?;
            let clusters = self.geometry.clusters;
            for attribute in record.view().attributes() {
                let attribute = attribute?;
                if let (BodyView::NonResident(body), Value::Stream(map)) =
                    (attribute.body, &mut self.mft)
                    && attribute.kind == kind::DATA
                    && attribute.instance == entry.instance
                {
                    map.append(&body, clusters)?;
                }
            }
        }
        Ok(())
    }

    /// The sizes of the volume.
    pub fn geometry(&self) -> &VolumeGeometry {
        &self.geometry
    }

    /// The disk it lies on.
    pub fn disk(&self) -> &'d dyn Disk {
        self.disk
    }

    /// The table by which its names are compared.
    pub fn upcase(&self) -> &Upcase {
        &self.upcase
    }

    /// The volume, its names compared by another table.
    #[must_use]
    pub fn with_upcase(mut self, upcase: Upcase) -> Self {
        self.upcase = upcase;
        self
    }

    /// The master file table.
    pub fn mft(&self) -> &Value {
        &self.mft
    }

    /// Records that the table has room for.
    pub fn record_count(&self) -> u64 {
        let described = self.mft.map().map_or(0, |map| {
            map.clusters().saturating_mul(self.geometry.cluster)
        });
        self.mft.size().min(described) / self.geometry.record
    }

    /// Fills `buf` from a position of the volume in bytes.
    ///
    /// # Errors
    /// `Damaged` where the disk ends before, `Disk`.
    pub fn read(&self, buf: &mut [u8], position: u64) -> Result<(), ParseError> {
        read_within(self.disk, buf, position)
    }

    /// Reads a record by its number; whether it is in use, the record says.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn read_record(&self, number: u64) -> Result<Record, ParseError> {
        let outside = || {
            ParseError::damaged(Structure::Record, "it lies outside the table").of_record(number)
        };
        if number >= self.record_count() {
            return Err(outside());
        }
        let mut bytes = vec![0; usize::try_from(self.geometry.record).map_err(|_| outside())?];
        self.mft
            .read_exact_at(self, &mut bytes, number * self.geometry.record)
            .map_err(|error| error.of_record(number))?;
        Record::parse(number, bytes)
    }

    /// Reads a file: its base record, and the extension records that its attribute list names.
    ///
    /// # Errors
    /// `Damaged`, also where the record is an extension record itself or not in use; `Disk`.
    pub fn read_file(&self, number: u64) -> Result<File, ParseError> {
        File::read(self, self.read_record(number)?)
    }

    /// The value of an attribute that one record describes whole.
    pub(super) fn value_of_one(
        &self,
        attribute: &attribute::AttributeView<'_>,
    ) -> Result<Value, ParseError> {
        Ok(match attribute.body {
            BodyView::Resident { value, .. } => Value::Resident(value.to_vec()),
            BodyView::NonResident(body) => {
                Value::Stream(StreamMap::first(attribute, &body, self.geometry.clusters)?)
            }
        })
    }

    /// Reads the volume's own table of upper-case letters.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn read_upcase(&self) -> Result<Upcase, ParseError> {
        const UPCASE: u64 = 10;
        let damaged = |reason: &str| ParseError::damaged(Structure::Upcase, reason);
        let value = self
            .read_file(UPCASE)?
            .value(self, kind::DATA, "")?
            .ok_or_else(|| damaged("it has no data"))?;
        let bytes = value.read_all(self, UPCASE_SIZE)?;
        Upcase::from_bytes(&bytes).ok_or_else(|| damaged("it has not one entry for each letter"))
    }

    /// What `$Volume` says.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn state(&self) -> Result<VolumeState, ParseError> {
        const VOLUME: u64 = 3;
        let missing = || {
            ParseError::damaged(Structure::VolumeInformation, "it does not say its version")
                .of_record(VOLUME)
        };
        let file = self.read_file(VOLUME)?;
        let information = file
            .value(self, kind::VOLUME_INFORMATION, "")?
            .ok_or_else(missing)?
            .read_all(self, MAX_LABEL_BYTES)?;
        let (information, _) =
            VolumeInformation::ref_from_prefix(&information).map_err(|_| missing())?;
        let label = match file.value(self, kind::VOLUME_NAME, "")? {
            Some(label) => label.read_all(self, MAX_LABEL_BYTES)?,
            None => Vec::new(),
        };
        Ok(VolumeState {
            version: (information.major, information.minor),
            flags: information.flags.get(),
            label: attribute::units(&label),
        })
    }
}

fn read_within(disk: &dyn Disk, buf: &mut [u8], position: u64) -> Result<(), ParseError> {
    let end = u64::try_from(buf.len())
        .ok()
        .and_then(|length| position.checked_add(length));
    if end.is_none_or(|end| end > disk.size().get()) {
        return Err(
            ParseError::damaged(Structure::Stream, "it lies past the end of the disk").at(position),
        );
    }
    Ok(disk.read_at(buf, ByteOffset(position))?)
}
