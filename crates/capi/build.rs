//! What the linker and the compiler have to know: the name that programs look the shared library up
//! by, and the conditions that stand in the header alone.

use std::env;

/// The number in the name of the shared library: the same as `CONTAINERV_VOLUME_ABI`.
const ABI: u32 = 0;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Never set when compiled: cbindgen turns them into `#if` (see cbindgen.toml).
    println!("cargo::rustc-check-cfg=cfg(containerv_h, containerv_has_mount)");
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system == "linux" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcontainerv_volume.so.{ABI}");
    }
}
