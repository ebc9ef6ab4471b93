//! The committed header equals the generated one, and its tables equal the engine's.
#![allow(clippy::unwrap_used)]

use engine::ErrorKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn header_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/playswarm.h")
}

fn generated() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let bindings =
        cbindgen::Builder::new().with_config(config).with_src(crate_dir.join("src/lib.rs")).generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_committed_header_is_what_the_code_says() {
    let generated = generated();
    if std::env::var_os("PLAYSWARM_UPDATE").is_some() {
        std::fs::write(header_file(), &generated).unwrap();
    }
    let committed = std::fs::read_to_string(header_file()).unwrap_or_default();
    let drift = committed.lines().zip(generated.lines()).position(|(a, b)| a != b);
    assert!(
        committed == generated,
        "include/playswarm.h is not what ffi-c/src says, from line {:?} on; \
         write it anew with: PLAYSWARM_UPDATE=1 cargo test -p playswarm-c --test header",
        drift.map(|line| line + 1)
    );
}

/// Returns the constants of the C enum, by number.
fn codes_of(header: &str) -> BTreeMap<i32, String> {
    let start = header.find("enum playswarm_code").unwrap();
    let end = start + header[start..].find('}').unwrap();
    let values = header[start..end].lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "));
    values.map(|(name, number)| (number.parse().unwrap(), name.to_owned())).collect()
}

#[test]
fn each_kind_of_error_has_its_code_and_no_code_is_without_a_kind() {
    let codes = codes_of(&std::fs::read_to_string(header_file()).unwrap());
    let mut kinds: BTreeMap<i32, String> = BTreeMap::from([(0, "PLAYSWARM_OK".into())]);
    kinds.extend(ErrorKind::all().map(|k| (k.number(), format!("PLAYSWARM_{}", k.name().to_uppercase()))));
    assert_eq!(codes, kinds);
    for (number, name) in codes {
        let c_name = playswarm_c::playswarm_code_name(number);
        // SAFETY: a code's name is a string that is never freed.
        let c_name = unsafe { std::ffi::CStr::from_ptr(c_name) }.to_str().unwrap();
        assert_eq!(format!("PLAYSWARM_{}", c_name.to_uppercase()), name);
        assert!(!playswarm_c::playswarm_code_description(number).is_null());
    }
    for number in [-1, 17, i32::MAX, i32::MIN] {
        assert!(playswarm_c::playswarm_code_name(number).is_null());
        assert!(playswarm_c::playswarm_code_description(number).is_null());
    }
}
