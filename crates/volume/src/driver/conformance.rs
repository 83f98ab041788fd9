//! The rules that hold for every kind of volume, run against each driver.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use vdisk::Access;

use super::*;
use crate::faults::{self, Mode};
use crate::filter::Filter;
use crate::lifecycle::HostSource;
use crate::name::VolumeName;
use crate::progress::ignore_progress;
use crate::secret::SecretState;
use crate::spec::VolumeSpec;
use crate::state::VolumeState;
use crate::{ClaimMode, ClaimRequest, Claimant, VolumeErrorKind, VolumeRef};

const PASSWORD: &str = "canary-5a1e";

/// A kind of volume to be made, in a place where a directory is at hand.
struct Case {
    kind: VolumeKind,
    options: String,
    password: Option<SecretString>,
}

fn cases(host: &Path) -> Vec<Case> {
    let source = host.display();
    let case = |kind, options: String| Case {
        kind,
        options,
        password: None,
    };
    vec![
        case(
            VolumeKind::Vhd,
            "size=3M,fs=none,format=vhd,persistent=false".to_owned(),
        ),
        case(
            VolumeKind::HostBind,
            format!("kind=bind,\"source={source}\",persistent=false"),
        ),
        Case {
            password: Some(SecretString::from(PASSWORD)),
            ..case(
                VolumeKind::SmbShare,
                "kind=smb,source=//srv/data,username=ann,persistent=false".to_owned(),
            )
        },
        case(
            VolumeKind::Tmpfs,
            "kind=tmpfs,size=1M,persistent=false".to_owned(),
        ),
    ]
}

fn name(text: &str) -> VolumeName {
    VolumeName::parse(text).unwrap()
}

fn request(case: &Case) -> CreateRequest {
    let spec = VolumeSpec::parse(&case.options).unwrap();
    assert_eq!(spec.kind(), case.kind);
    CreateRequest {
        password: case.password.clone(),
        ..CreateRequest::new(name("data"), spec)
    }
}

fn entries(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The store holds the volume whole, or nothing of it.
fn assert_whole_or_nothing(store: &Store, case: &Case) {
    let listed = store.list(&Filter::default()).unwrap();
    let folders = entries(&store.root().join("volumes"));
    let ids: BTreeSet<String> = listed.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(folders, ids, "{:?}", case.kind);
    assert_eq!(entries(&store.root().join("locks")), BTreeSet::new());
    let problems: Vec<_> = store.examine(false).unwrap();
    assert!(
        problems.iter().all(|finding| !finding.is_problem()),
        "{problems:?}"
    );
    if case.password.is_some() && !listed.is_empty() {
        let kept = store.secret(&name("data")).unwrap();
        assert_eq!(kept.expose_secret(), PASSWORD);
    }
}

fn each(check: impl Fn(&Path, &Case)) {
    let host = TempDir::new().unwrap();
    fs::write(host.path().join("file"), "of the host").unwrap();
    for case in cases(host.path()) {
        let folder = TempDir::new().unwrap();
        check(folder.path(), &case);
        assert!(host.path().join("file").is_file(), "the host lost a file");
    }
}

#[test]
fn a_volume_of_any_kind_is_made_found_listed_and_removed() {
    each(|root, case| {
        let store = Store::open(root).unwrap();
        let made = store.create(&request(case), &ignore_progress).unwrap();
        assert_eq!(made.record.state, VolumeState::Ready);
        assert_whole_or_nothing(&store, case);
        let again = store.create(&request(case), &ignore_progress).unwrap_err();
        assert_eq!(again.kind(), VolumeErrorKind::AlreadyExists);
        drop(store);
        let store = Store::open(root).unwrap();
        assert_eq!(store.get(&name("data")).unwrap(), made.record);
        let of_kind = |kind: &str| Filter::parse(&[format!("kind={kind}")]).unwrap();
        let found = store.list(&of_kind(case.kind.as_str())).unwrap();
        assert_eq!(found, std::slice::from_ref(&made.record));
        let other = if case.kind == VolumeKind::Vhd {
            "bind"
        } else {
            "vhd"
        };
        assert_eq!(store.list(&of_kind(other)).unwrap(), []);
        assert!(store.used_bytes(&made.record).unwrap().is_some());
        let details = store.inspect(&name("data")).unwrap();
        match (case.kind, &details.backing) {
            (VolumeKind::Vhd, BackingDetails::Image(image)) => assert!(image.path.is_file()),
            (VolumeKind::HostBind, BackingDetails::Host(HostSource::Directory))
            | (VolumeKind::SmbShare, BackingDetails::Share(SecretState::Kept))
            | (VolumeKind::Tmpfs, BackingDetails::Memory) => {}
            (kind, found) => panic!("{kind:?}: {found:?}"),
        }
        assert_eq!(details.layers.is_empty(), case.kind != VolumeKind::Vhd);
        let pruned = store
            .prune(&Filter::default().not_persistent_only())
            .unwrap();
        assert_eq!(pruned.removed.len(), 1);
        assert_whole_or_nothing(&store, case);
        assert_eq!(store.list(&Filter::default()).unwrap(), []);
    });
}

#[test]
fn what_needs_an_image_is_refused_by_a_volume_without_one() {
    each(|root, case| {
        if case.kind == VolumeKind::Vhd {
            return;
        }
        let store = Store::open(root).unwrap();
        store.create(&request(case), &ignore_progress).unwrap();
        let volume = name("data");
        let whole = VolumeRef::from(volume.clone());
        let snapshot = crate::SnapshotName::parse("one").unwrap();
        let errors = [
            store.open_disk(&whole, Access::ReadOnly).err(),
            store.open_disk(&whole, Access::ReadWrite).err(),
            store.open_image_file(&whole).err(),
            store.take_snapshot(&volume, &snapshot).err(),
            store.restore_snapshot(&volume, &snapshot).err(),
            store.flatten(&volume, &ignore_progress).err(),
            store.layers(&volume).err(),
        ];
        for (number, error) in errors.into_iter().enumerate() {
            let error = error.unwrap();
            let kind = error.kind();
            assert_eq!(kind, VolumeErrorKind::Unsupported, "{number}: {error}");
            assert!(error.to_string().contains("has no image"), "{error}");
        }
        assert_whole_or_nothing(&store, case);
    });
}

#[test]
fn what_is_no_image_may_have_many_writers_and_stays_while_anybody_has_it() {
    each(|root, case| {
        let store = Store::open(root).unwrap();
        store.create(&request(case), &ignore_progress).unwrap();
        let claimant = |machine: &str| Claimant {
            attachment: format!("of-{machine}"),
            holder: machine.to_owned(),
            owner: format!("machine {machine}"),
        };
        let wanted = [ClaimRequest {
            volume: name("data"),
            mode: ClaimMode::Writer,
        }];
        store.claim(&claimant("web"), &wanted).unwrap();
        let second = store.claim(&claimant("db"), &wanted);
        assert_eq!(
            second.is_ok(),
            case.kind != VolumeKind::Vhd,
            "{:?}",
            case.kind
        );
        let error = store.remove(&name("data"), true).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::InUse, "{error}");
        for machine in ["web", "db"] {
            store
                .release_claims(&format!("of-{machine}"), None)
                .unwrap();
        }
        store.remove(&name("data"), false).unwrap();
        assert_whole_or_nothing(&store, case);
    });
}

#[test]
fn a_create_of_any_kind_that_dies_or_fails_at_any_step_leaves_nothing() {
    each(|root, case| {
        for mode in [Mode::Fail, Mode::Die] {
            let mut steps = 0;
            loop {
                let store = Store::open(root).unwrap();
                faults::arm(mode, steps);
                let result = store.create(&request(case), &ignore_progress);
                drop(store);
                let is_done = !faults::disarm();
                let store = Store::open(root).unwrap();
                assert_whole_or_nothing(&store, case);
                if is_done {
                    result.unwrap();
                    store.remove(&name("data"), false).unwrap();
                    break;
                }
                result.unwrap_err();
                assert_eq!(store.list(&Filter::default()).unwrap(), []);
                steps += 1;
            }
            assert!(steps >= 5, "{:?}: {steps}", case.kind);
        }
    });
}

#[test]
fn a_removal_of_any_kind_that_dies_at_any_step_is_completed() {
    each(|root, case| {
        let mut steps = 0;
        loop {
            let store = Store::open(root).unwrap();
            if store.get(&name("data")).is_err() {
                store.create(&request(case), &ignore_progress).unwrap();
            }
            faults::arm(Mode::Die, steps);
            let result = store.remove(&name("data"), false);
            drop(store);
            let is_done = !faults::disarm();
            let store = Store::open(root).unwrap();
            assert_whole_or_nothing(&store, case);
            if is_done {
                result.unwrap();
                break;
            }
            steps += 1;
        }
        assert!(steps >= 3, "{:?}: {steps}", case.kind);
    });
}

#[test]
fn a_lost_database_is_made_again_with_volumes_of_every_kind() {
    each(|root, case| {
        let store = Store::open(root).unwrap();
        let made = store
            .create(&request(case), &ignore_progress)
            .unwrap()
            .record;
        drop(store);
        for file in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = fs::remove_file(root.join(file));
        }
        let store = Store::open(root).unwrap();
        assert_eq!(store.get(&name("data")).unwrap(), made);
        assert_whole_or_nothing(&store, case);
    });
}

#[test]
fn what_a_kind_cannot_have_is_refused_before_anything_is_made() {
    each(|root, case| {
        let store = Store::open(root).unwrap();
        let mut wrong = request(case);
        wrong.password = match case.kind {
            VolumeKind::SmbShare => None,
            _ => Some(SecretString::from(PASSWORD)),
        };
        let error = store.create(&wrong, &ignore_progress).unwrap_err();
        assert!(matches!(error, VolumeError::Secret(_)), "{error}");
        assert!(!error.to_string().contains(PASSWORD));
        if case.kind != VolumeKind::Vhd {
            let mut filled = request(case);
            filled.from = Some(crate::FillFrom::Directory(root.to_owned()));
            let error = store.create(&filled, &ignore_progress).unwrap_err();
            assert_eq!(error.kind(), VolumeErrorKind::Unsupported);
        }
        assert_whole_or_nothing(&store, case);
    });
}

#[test]
fn a_source_of_the_host_that_is_missing_or_no_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let make = |source: &Path| {
        let options = format!("kind=bind,source={}", source.display());
        let spec = VolumeSpec::parse(&options).unwrap();
        store.create(&CreateRequest::new(name("data"), spec), &ignore_progress)
    };
    let missing = folder.path().join("missing");
    assert_eq!(
        make(&missing).unwrap_err().kind(),
        VolumeErrorKind::NotFound
    );
    #[cfg(unix)]
    {
        let device = make(Path::new("/dev/null")).unwrap_err();
        assert_eq!(device.kind(), VolumeErrorKind::InvalidArgument);
    }
    fs::write(&missing, "").unwrap();
    make(&missing).unwrap();
    fs::remove_file(&missing).unwrap();
    let details = store.inspect(&name("data")).unwrap();
    assert!(matches!(
        details.backing,
        BackingDetails::Host(HostSource::Missing)
    ));
    store.remove(&name("data"), false).unwrap();
}
