//! Names the library for the dynamic linker: programs linked with it look for `libplayswarm.so.0`, whatever its file
//! was called when they were linked. The number is that of the ABI (see `PLAYSWARM_ABI_VERSION`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libplayswarm.so.0");
}
