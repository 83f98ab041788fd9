//! An image with a file system in a file of the caller's, which no store knows.

use std::path::Path;

use volume::BuildReport;

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{Progress, ProgressFn};
use crate::target::Target;
use crate::volumes::{CreateVolume, checked};

impl Engine {
    /// Makes the image that the volume `request` would have, in the file `path`, whole or not at all. The
    /// name of the request stands in messages alone. No store is opened.
    ///
    /// # Errors
    /// `InvalidArgument` (name, options), `AlreadyExists` (the file), `NotFound` (its folder),
    /// `Unsupported`, `NoSpace`, `Interrupted`, `Io`.
    pub fn make_image(
        &self,
        path: &Path,
        request: &CreateVolume,
        progress: ProgressFn<'_>,
    ) -> Result<BuildReport> {
        let request = checked(request)?;
        let itself = ImageReference::File(path.to_owned());
        let target = Target {
            path,
            replace: false,
            source: &itself,
        };
        target.check()?;
        let report = |done: volume::Progress| {
            progress(Progress {
                done: blockio::ByteCount(done.bytes),
                total: request.spec.size(),
                files: Some(done.files),
            })
        };
        target.make(|storage| {
            let made = volume::fill_image(&request, storage, &report);
            made.map_err(|error| match error.kind() {
                volume::VolumeErrorKind::Interrupted => Error::Interrupted,
                _ => error.into(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::{Config, ErrorKind};

    fn request(options: &str) -> CreateVolume {
        CreateVolume {
            name: "data".to_owned(),
            options: vec![options.to_owned()],
            ..CreateVolume::default()
        }
    }

    #[test]
    fn an_image_is_made_whole_or_not_at_all_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(Config::with_root(folder.path().join("store")));
        let path = folder.path().join("data.vhdx");
        let go_on: ProgressFn<'_> = &|_| ControlFlow::Continue(());
        let stop: ProgressFn<'_> = &|_| ControlFlow::Break(());

        let stopped = engine.make_image(&path, &request("size=64M"), stop);
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);

        engine
            .make_image(&path, &request("size=64M"), go_on)
            .unwrap();
        let image = ImageReference::File(path.clone());
        let checked = engine.check_volume(&image, go_on);
        assert!(checked.is_ok(), "{checked:?}");

        let again = engine.make_image(&path, &request("size=64M"), go_on);
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
        // No store was made for it.
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
