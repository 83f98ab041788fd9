//! Paths of this host as the Host Compute Service spells them. On Windows they are the same. Elsewhere the
//! service is one that somebody gave, such as a double of it, and knows paths as Wine spells them: all of
//! this host is drive Z.

use std::path::{Path, PathBuf};

use attach::{HostPath, PathError, Source};

/// The drive that a host without drives is.
const DRIVE: &str = "Z:";

/// A path of this host, as the service spells it; one that is spelled so already stays so.
fn for_service(path: &HostPath) -> Result<HostPath, PathError> {
    if path.is_windows() {
        return Ok(path.clone());
    }
    HostPath::parse(&format!("{DRIVE}{}", path.as_str().replace('/', "\\")))
}

/// A path of this host, however it is spelled.
pub(crate) fn of_host(path: &HostPath) -> PathBuf {
    let text = path.as_str();
    match text.strip_prefix(DRIVE) {
        Some(rest) if !cfg!(windows) => PathBuf::from(rest.replace('\\', "/")),
        _ => Path::new(text).to_owned(),
    }
}

/// A source with its paths as the service spells them.
///
/// # Errors
/// Paths that Windows has none for.
pub(crate) fn source_for_service(mut source: Source) -> Result<Source, PathError> {
    match &mut source {
        Source::Disk(disk) => {
            disk.path = for_service(&disk.path)?;
            for parent in &mut disk.parents {
                *parent = for_service(parent)?;
            }
        }
        Source::Directory { path, .. } | Source::File { path } => *path = for_service(path)?,
        Source::Temporary { image, .. } => *image = for_service(image)?,
        Source::Smb(_) => {}
    }
    Ok(source)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_this_host_is_one_of_drive_z_and_back() {
        let path = HostPath::parse("/srv/a b").unwrap();
        let told = for_service(&path).unwrap();
        assert_eq!(told.as_str(), "Z:\\srv\\a b");
        assert_eq!(for_service(&told).unwrap(), told);
        assert_eq!(of_host(&told), Path::new("/srv/a b"));
        assert_eq!(of_host(&path), Path::new("/srv/a b"));
    }
}
