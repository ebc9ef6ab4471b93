//! `playswarm_config`: settings by key and value or as JSON, the keys of Rust's.

use crate::border::{Out, call, call_plain, text};
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle, add_text, c_text};
use engine::Config;
use parking_lot::Mutex;
use std::ffi::c_char;

/// Settings of a session: the keys of docs/CLI.md and of Rust's `Config`. A session copies them when it is made.
pub struct playswarm_config {
    _private: (),
}

impl Handle for playswarm_config {
    type Object = Mutex<Config>;
    const NAME: &'static str = "config";
}

/// Makes settings that all have their defaults, with one reference. From any thread.
///
/// # Safety
/// `config` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_new(
    config: *mut *mut playswarm_config,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_config_new", error, || {
            Out::handle(config)?.give(Mutex::default());
            Ok(())
        })
    }
}

/// Makes settings from a JSON object (UTF-8); what it leaves out has its default. From any thread.
///
/// PLAYSWARM_BAD_CONFIG for keys that there are not and values that are not of their kind.
///
/// # Safety
/// `json` ends with a zero byte; `config` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_from_json(
    json: *const c_char,
    config: *mut *mut playswarm_config,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_config_from_json", error, || {
            let config = Out::handle(config)?;
            config.give(Mutex::new(Config::from_json(text(json, "JSON")?)?));
            Ok(())
        })
    }
}

/// Changes one setting: "dir" to "/var/films", "dht" to "false", "peers" to "10.0.0.1:6881,10.0.0.2:6881",
/// "picker.seed" to "7". From any thread.
///
/// PLAYSWARM_BAD_CONFIG for a key that there is not and a value that is not of its kind; nothing is changed then.
/// Whether the settings fit each other is looked at by playswarm_session_new.
///
/// # Safety
/// `key` and `value` end with a zero byte; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_set(
    config: *mut playswarm_config,
    key: *const c_char,
    value: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_config_set", error, || {
            handles::get(config)?.lock().set(text(key, "key")?, text(value, "value")?)
        })
    }
}

/// All settings as a JSON object, to be freed with playswarm_string_free. From any thread.
///
/// # Safety
/// `json` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_config_to_json(
    config: *const playswarm_config,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_config_to_json", error, || {
            let json = Out::new(json, "JSON")?;
            let text = handles::get(config)?.lock().to_json()?;
            json.set(add_text(c_text(&text)));
            Ok(())
        })
    }
}

/// Takes one more reference. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_config_ref(config: *mut playswarm_config) -> playswarm_code {
    call_plain("playswarm_config_ref", || handles::retain(config))
}

/// Gives a reference back; the last one frees the settings, which no session needs any more. NULL is no mistake. From any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_config_unref(config: *mut playswarm_config) -> playswarm_code {
    call_plain("playswarm_config_unref", || handles::release(config))
}
