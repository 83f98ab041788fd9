//! What passes the border, and what does not.

use std::ffi::{CStr, c_int};
use std::ptr;

use super::*;
use crate::image::containerv_volume_create_vhd;
use crate::layers::*;
use crate::options::*;
use crate::plan::*;
use crate::session::*;
use crate::settings::*;
use crate::volumes::*;

fn last() -> (containerv_volume_code, String) {
    // SAFETY: the text lives until the next call of this thread.
    let text = unsafe { CStr::from_ptr(last_text()) };
    (last_code(), text.to_str().unwrap().to_owned())
}

#[test]
fn an_error_is_kept_until_the_next_call() {
    assert_eq!(call("f", || Err(Failure::argument("no\0way"))), -1);
    assert_eq!(
        last(),
        (
            containerv_volume_code::CV_VOLUME_INVALID_ARGUMENT,
            "no?way".to_owned()
        )
    );
    assert_eq!(quiet(1, || 2), 2);
    assert_eq!(last().1, "no?way");
    assert_eq!(call("f", || Ok(())), 0);
    assert_eq!(
        last(),
        (containerv_volume_code::CV_VOLUME_OK, String::new())
    );
}

#[test]
fn errors_of_one_thread_are_not_those_of_another() {
    assert_eq!(call("f", || Err(Failure::argument("here"))), -1);
    let there = std::thread::spawn(last).join().unwrap();
    assert_eq!(there.1, "");
    assert_eq!(last().1, "here");
}

#[test]
fn a_panic_in_any_function_becomes_its_error() {
    let nothing: *mut u8 = ptr::null_mut();
    let mut count: c_int = 0;
    let mut list = ptr::null_mut();
    let mut texts = ptr::null_mut();
    let mut snapshots = ptr::null_mut();
    hook::set(true);
    // SAFETY: the hook panics before any argument is looked at.
    let answers = unsafe {
        [
            containerv_volume_create(c"a".as_ptr(), 1),
            containerv_volume_create_fs(c"a".as_ptr(), 1, ptr::null()),
            containerv_volume_create_in(nothing.cast(), c"a".as_ptr(), ptr::null()),
            containerv_volume_delete(c"a".as_ptr()),
            containerv_volume_delete_in(nothing.cast(), c"a".as_ptr(), 0),
            containerv_volume_list(&raw mut list, &raw mut count),
            containerv_volume_list_in(nothing.cast(), ptr::null(), &raw mut list, &raw mut count),
            containerv_volume_inspect(c"a".as_ptr(), nothing.cast()),
            containerv_volume_inspect_in(nothing.cast(), c"a".as_ptr(), nothing.cast()),
            containerv_volume_create_vhd(c"a".as_ptr(), ptr::null(), 1, ptr::null()),
            containerv_volume_snapshot_create(nothing.cast(), c"a".as_ptr(), c"b".as_ptr()),
            containerv_volume_snapshot_restore(nothing.cast(), c"a".as_ptr(), c"b".as_ptr()),
            containerv_volume_snapshot_delete(nothing.cast(), c"a".as_ptr(), c"b".as_ptr()),
            containerv_volume_snapshot_list(
                nothing.cast(),
                c"a".as_ptr(),
                &raw mut snapshots,
                &raw mut count,
            ),
            containerv_volume_clone(nothing.cast(), c"a".as_ptr(), c"b".as_ptr(), ptr::null()),
            containerv_volume_resize(nothing.cast(), c"a".as_ptr(), 1),
            containerv_volume_compact(nothing.cast(), c"a".as_ptr(), ptr::null_mut()),
            containerv_volume_options_adopt(nothing.cast(), nothing.cast()),
            containerv_volume_options_delete(nothing.cast()),
            containerv_volume_options_check(nothing.cast()),
            containerv_volume_options_add(nothing.cast(), ptr::null()),
            containerv_volume_options_add_mount(nothing.cast(), ptr::null(), ptr::null()),
            containerv_volume_attach_smb_share(
                nothing.cast(),
                c"//s/d".as_ptr(),
                c"/d".as_ptr(),
                ptr::null(),
                ptr::null(),
            ),
            containerv_volume_prepare(nothing.cast()),
            containerv_volume_release(nothing.cast()),
            containerv_volume_plan(nothing.cast(), 0, ptr::null(), &raw mut texts),
            containerv_volume_guest_script(nothing.cast(), 0, &raw mut texts),
            containerv_volume_guest_input(nothing.cast(), 0, 1, &raw mut texts),
            containerv_volume_setup(nothing.cast(), ptr::null(), ptr::null_mut()),
            containerv_volume_cleanup(nothing.cast(), ptr::null(), 0, 0),
            containerv_volume_attachments(nothing.cast(), ptr::null(), &raw mut texts),
            containerv_volume_set_log(None, ptr::null_mut(), 1),
            containerv_volume_manager_close(nothing.cast()),
            containerv_volume_set_root(ptr::null()),
        ]
    };
    // SAFETY: as above.
    let addresses = unsafe {
        [
            containerv_volume_options_new(nothing.cast()).is_null(),
            containerv_volume_manager_open(ptr::null()).is_null(),
        ]
    };
    // SAFETY: as above.
    unsafe {
        containerv_options_add_volume(
            nothing.cast(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
        );
        assert_eq!(last().0, containerv_volume_code::CV_VOLUME_INTERNAL);
        containerv_options_set_mounts(nothing.cast(), ptr::null(), 0);
        assert_eq!(last().0, containerv_volume_code::CV_VOLUME_INTERNAL);
        containerv_options_set_volume_driver(nothing.cast(), ptr::null());
    }
    hook::set(false);
    assert_eq!(answers, [-1; 34]);
    assert_eq!(addresses, [true; 2]);
    assert_eq!(
        last(),
        (
            containerv_volume_code::CV_VOLUME_INTERNAL,
            "a fault of the library: the hook".to_owned()
        )
    );
}

#[test]
fn a_panic_that_gives_back_is_nobodys_error() {
    assert_eq!(quiet(1, || -> i32 { panic!("inside") }), 1);
}
