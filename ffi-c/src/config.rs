//! `playswarm_config`: settings by key and value or as JSON. The keys are those of the Rust
//! interface.

use crate::boundary::{ErrorOut, Out, call, call_plain, text};
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle, add_text, c_text};
use crate::status::give_json;
use engine::Config;
use parking_lot::Mutex;
use std::ffi::c_char;

/// Settings of a session. docs/CLI.md and Rust's `Config` list the keys. A session copies them when
/// it is created.
pub struct playswarm_config {
    _private: (),
}

impl Handle for playswarm_config {
    type Object = Mutex<Config>;
    const NAME: &'static str = "config";
}

/// Creates settings with one reference; every setting has its default. Callable from any thread.
///
/// # Safety
/// `config` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_new(
    config: *mut *mut playswarm_config,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_config_new", error, || {
        // SAFETY: `config` is NULL or valid for writes.
        unsafe { Out::handle(config) }?.give(Mutex::default());
        Ok(())
    })
}

/// Creates settings from a JSON object (UTF-8). Keys that are absent have their defaults. Callable
/// from any thread.
///
/// Errors: PLAYSWARM_BAD_CONFIG for unknown keys and for values of the wrong type.
///
/// # Safety
/// `json` must end with a zero byte. `config` must be valid for writes. `error` must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_from_json(
    json: *const c_char,
    config: *mut *mut playswarm_config,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_config_from_json", error, || {
        // SAFETY: `config` is NULL or valid for writes.
        let config = unsafe { Out::handle(config) }?;
        // SAFETY: `json` is NULL or ends with a zero byte.
        config.give(Mutex::new(Config::from_json(unsafe { text(json, "JSON") }?)?));
        Ok(())
    })
}

/// Changes one setting. Examples: "dir" to "/var/films", "dht" to "false", "peers" to
/// "10.0.0.1:6881,10.0.0.2:6881", "advanced.picker.seed" to "7". Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_CONFIG for an unknown key and for a value of the wrong type. Nothing
/// changes in that case. playswarm_session_new checks whether the settings are consistent.
///
/// # Safety
/// `key` and `value` must end with a zero byte. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_set(
    config: *mut playswarm_config,
    key: *const c_char,
    value: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_config_set", error, || {
        // SAFETY: `key` is NULL or ends with a zero byte; `value` is NULL or ends with a zero byte.
        handles::get(config)?.lock().set(unsafe { text(key, "key") }?, unsafe { text(value, "value") }?)
    })
}

/// Returns all settings as a JSON object. Free it with playswarm_string_free. Callable from any
/// thread.
///
/// # Safety
/// `json` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_to_json(
    config: *const playswarm_config,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_config_to_json", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        let text = handles::get(config)?.lock().to_json()?;
        json.set(add_text(c_text(&text)));
        Ok(())
    })
}

/// Returns every numeric setting with its valid values as a JSON array of objects: "name" (a key of
/// playswarm_config_set), "value", "least" and "most". Seeds are absent, since they may be any
/// number. Free it with playswarm_string_free. Callable from any thread.
///
/// # Safety
/// `json` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_ranges_json(
    config: *const playswarm_config,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_config_ranges_json", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        give_json(json, serde_json::to_string(&handles::get(config)?.lock().ranges()))
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_config_ref(config: *mut playswarm_config) -> playswarm_code {
    call_plain("playswarm_config_ref", || handles::retain(config))
}

/// Releases a reference. The last release frees the settings; sessions keep their own copies. NULL
/// is allowed. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_config_unref(config: *mut playswarm_config) -> playswarm_code {
    call_plain("playswarm_config_unref", || handles::release(config))
}
