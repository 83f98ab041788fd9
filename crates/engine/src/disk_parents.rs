//! The files that a differencing image stands on, for a hypervisor that opens them itself.

use std::path::PathBuf;

use attach::{HostPath, Source};
use volume::plain_path;

use crate::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::image::ImageReference;
use crate::mount_words::MountWords;
use crate::mounts::MountFailure;

impl Engine {
    /// Adds to a disk the files that it stands on. One that is of another host, or not there, has none that
    /// could be known; one that somebody writes just now is a machine's that was given access to them.
    ///
    /// # Errors
    /// Where one of them is missing, is another than the image was made on, or may not be opened.
    pub(crate) fn find_parents(&self, source: &mut Source, words: &MountWords) -> Result<()> {
        let Source::Disk(disk) = source else {
            return Ok(());
        };
        let image = match words.kind.as_str() {
            "volume" => ImageReference::Volume(words.source.clone()),
            _ if disk.path.is_windows() != cfg!(windows) => return Ok(()),
            _ => ImageReference::File(PathBuf::from(disk.path.as_str())),
        };
        let described = match self.describe_image(&image, None) {
            Ok(described) => described,
            Err(error) if matches!(error.kind(), ErrorKind::InUse | ErrorKind::NotFound) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Some(error) = described.chain_error {
            return Err(error);
        }
        for link in described.chain {
            if let Some(reason) = link.mismatch {
                return Err(Error::InvalidRequest {
                    message: format!("{image} stands on {}: {reason}", link.name),
                });
            }
            let path = match &image {
                // Layers are named by where they are in the store.
                ImageReference::Volume(_) => {
                    let parts = link.name.split('/');
                    let root = self.store()?.root().to_owned();
                    parts.fold(root, |path, part| path.join(part))
                }
                ImageReference::File(_) => PathBuf::from(&link.name),
            };
            let path = std::path::absolute(&path).map_err(Error::host("find", &path))?;
            let path = HostPath::parse(&plain_path(path).display().to_string());
            disk.parents.push(path.map_err(MountFailure::Path)?);
        }
        Ok(())
    }
}
