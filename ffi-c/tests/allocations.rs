//! Reads through the C interface allocate nothing. The test has its own process, in which the
//! allocator counts for the reading thread.
#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use playswarm_c::{
    PLAYSWARM_ABI_VERSION, PLAYSWARM_SEEK_SET, playswarm_code, playswarm_config_from_json, playswarm_config_unref,
    playswarm_session_new, playswarm_session_open_file, playswarm_session_unref, playswarm_stream_cancel,
    playswarm_stream_read, playswarm_stream_reset, playswarm_stream_seek, playswarm_stream_unref,
    playswarm_torrent_recheck, playswarm_torrent_stream, playswarm_torrent_unref,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::CString;
use std::ptr::null_mut;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: it is the system's, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const OK: playswarm_code = playswarm_code::PLAYSWARM_OK;

#[test]
fn a_read_allocates_nothing() {
    let world = World::new(2_000_000);
    let dir = world.fresh("here");
    std::fs::copy(&world.film, dir.join("film.mkv")).unwrap();
    let json = format!(
        r#"{{"dir":"{}","listen":"127.0.0.1:0","dht":false,"lsd":false,"pex":false,"trackers":false,"port_map":false}}"#,
        dir.display()
    );
    let (json, torrent) = (CString::new(json).unwrap(), CString::new(world.torrent.to_str().unwrap()).unwrap());
    let none = null_mut();
    let (mut config, mut session, mut handle, mut stream) = (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: handles and places of ours.
    unsafe {
        assert_eq!(playswarm_config_from_json(json.as_ptr(), &raw mut config, none), OK);
        assert_eq!(playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &raw mut session, none), OK);
        let open = playswarm_session_open_file(session, torrent.as_ptr(), 0, null_mut(), &raw mut handle, none);
        assert_eq!(open, OK);
        assert_eq!(playswarm_torrent_recheck(handle, null_mut(), null_mut(), none), OK);
        assert_eq!(playswarm_torrent_stream(handle, 0, &raw mut stream, none), OK);
    }
    let mut buffer = vec![0u8; 4096];
    let mut read = |wanted: playswarm_code| {
        let mut n = 0;
        // SAFETY: the buffer is as long as it is said to be.
        let code = unsafe { playswarm_stream_read(stream, buffer.as_mut_ptr().cast(), buffer.len(), &raw mut n, none) };
        assert_eq!(code, wanted);
        n
    };
    let seek = |to: i64| {
        // SAFETY: NULL for outputs that are not needed.
        assert_eq!(unsafe { playswarm_stream_seek(stream, to, PLAYSWARM_SEEK_SET, null_mut(), none) }, OK);
    };
    // The first pass loads the pieces into memory and initialises everything.
    while read(OK) > 0 {}
    seek(0);
    let (mut reads, before) = (0, COUNT.get());
    while read(OK) > 0 {
        reads += 1;
    }
    let allocated = COUNT.get() - before;
    assert!(reads > 400, "{reads}");
    assert_eq!(allocated, 0, "in {reads} reads");

    // A read that ends at once allocates nothing, either.
    assert_eq!(playswarm_stream_cancel(stream), OK);
    let before = COUNT.get();
    read(playswarm_code::PLAYSWARM_CANCELLED);
    assert_eq!(COUNT.get() - before, 0);
    assert_eq!(playswarm_stream_reset(stream), OK);

    playswarm_stream_unref(stream);
    playswarm_torrent_unref(handle);
    playswarm_config_unref(config);
    playswarm_session_unref(session);
}
