//! Serving the disk in an image to other programs of this machine, over NBD.
//!
//! Invariant: who serves a disk for writing has it alone, from before the first client until the last
//! change is durable and the image closed.

use blockio::Disk;
use nbd::{
    BindError, Endpoint, Export, ExportError, ServeError, Server, ServerOptions, StopHandle,
};
use vdisk::ImageDisk;

use crate::Engine;
use crate::compact::refuse_parent;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::volumes::volume_name;

pub use nbd::{Endpoint as ServeEndpoint, ServerEvent, StopHandle as ServeStop};

/// A disk to be served.
#[derive(Clone, Debug)]
pub struct ServeImage {
    /// The volume or image.
    pub image: ImageReference,
    /// Its format, where it is not to be found out.
    pub format: Option<vdisk::ImageFormat>,
    /// Whether clients may only read; then others may read it meanwhile.
    pub read_only: bool,
    /// Where clients connect.
    pub endpoint: Endpoint,
    /// The name of the export; clients that ask for none get it too.
    pub export: String,
    /// Clients at once; at least 1.
    pub connections: usize,
    /// Whether to end when the last client has left.
    pub once: bool,
}

/// A disk that is locked and listens, before it is served.
pub struct ServedImage {
    disk: Served,
    server: Server,
    request: ServeImage,
    /// What has to live until all is durable.
    kept: Option<Box<dyn std::any::Any + Send>>,
}

pub(crate) enum Served {
    ForReading(Box<dyn Disk>),
    ForWriting(Box<dyn ImageDisk>),
}

impl Engine {
    /// Opens and locks a disk and listens for clients, who wait until [`ServedImage::run`].
    ///
    /// # Errors
    /// `NotFound`, `InUse` (the disk, or the place to listen), `Damaged`, `Unsupported`,
    /// `InvalidArgument` (the place, the name), `Io`.
    pub fn serve(&self, request: ServeImage) -> Result<ServedImage> {
        let disk = self.open_served(&request.image, request.format, request.read_only)?;
        ServedImage::listen(disk, request)
    }

    pub(crate) fn open_served(
        &self,
        image: &ImageReference,
        format: Option<vdisk::ImageFormat>,
        read_only: bool,
    ) -> Result<Served> {
        Ok(match read_only {
            true => Served::ForReading(self.open_disk(image, format)?),
            false => Served::ForWriting(self.open_for_writing(image, format)?),
        })
    }

    fn open_for_writing(
        &self,
        image: &ImageReference,
        format: Option<vdisk::ImageFormat>,
    ) -> Result<Box<dyn ImageDisk>> {
        let format = self.format_of(image, format)?;
        match image {
            ImageReference::File(path) => {
                refuse_parent(path, "writing")?;
                let gate = self.gate(image)?;
                Ok(volume::open_image_for_writing(path, format, &*gate)?)
            }
            ImageReference::Volume(name) => {
                Ok(self.store()?.open_for_writing(&volume_name(name)?)?)
            }
        }
    }
}

impl ServedImage {
    /// Listens for clients of a disk that is open.
    pub(crate) fn listen(disk: Served, request: ServeImage) -> Result<Self> {
        let server = Server::bind(&request.endpoint).map_err(|source| Error::Serve {
            name: request.image.to_string(),
            source: source.into(),
        })?;
        Ok(Self {
            disk,
            server,
            request,
            kept: None,
        })
    }

    /// Has something live until the disk is closed.
    #[cfg_attr(
        not(unix),
        allow(dead_code, reason = "nothing is served in the background there")
    )]
    pub(crate) fn keeping(self, kept: impl Send + 'static) -> Self {
        Self {
            kept: Some(Box::new(kept)),
            ..self
        }
    }

    /// The address for clients, as `nbdinfo`, `qemu-img` and others take it.
    pub fn uri(&self) -> String {
        self.server.endpoint().uri(&self.request.export)
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        self.server.endpoint()
    }

    /// What ends [`ServedImage::run`], from any thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.server.stop_handle()
    }

    /// Serves the disk until it is stopped; then everything is durable and the image closed.
    ///
    /// # Errors
    /// `InvalidArgument` (the name of the export), `NoSpace` or `Io` where the last changes could not
    /// be made durable.
    pub fn run(self, observe: &(dyn Fn(ServerEvent) + Sync)) -> Result<()> {
        let name = self.request.image.to_string();
        let fail = |source: ServeFailure| Error::Serve {
            name: name.clone(),
            source,
        };
        let disk: &dyn Disk = match &self.disk {
            Served::ForReading(disk) => &**disk,
            Served::ForWriting(disk) => &**disk,
        };
        let export = Export::new(self.request.export.as_str(), disk)
            .map_err(|error| fail(error.into()))?
            .described(format!("{name}, served by cvol"));
        let options = ServerOptions {
            connections: self.request.connections,
            once: self.request.once,
        };
        let served = self.server.serve(&[export], options, observe);
        // Nobody connects to a disk that is being closed.
        drop(self.server);
        if let Served::ForWriting(disk) = self.disk {
            disk.close().map_err(Error::image("close", &name))?;
        }
        drop(self.kept);
        served.map_err(|error| fail(error.into()))
    }
}

/// Why a disk could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeFailure {
    /// Nobody can connect there.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The name of the export is none.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Serving ended by itself.
    #[error(transparent)]
    Serve(#[from] ServeError),
}
