//! A TUN device: a network link whose other end is a file. The only part of the harness that needs
//! `unsafe`, for the ioctl that creates it.
#![allow(unsafe_code)]

use super::packet::Packet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::time::Duration;

/// `TUNSETIFF` of linux/if_tun.h: `_IOW('T', 202, int)`.
const TUNSETIFF: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 202);
/// `IFF_TUN | IFF_NO_PI`: IP packets without a header before them.
const FLAGS: i16 = 0x0001 | 0x1000;
/// Longest packet in bytes; the devices' MTU is 1500.
const LONGEST: usize = 2048;

/// `struct ifreq` of linux/if.h as TUNSETIFF reads it: 16 bytes of name, then a union of 24 bytes
/// that begins with flags.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Our end of the link.
pub(super) struct Tun(File);

impl Tun {
    /// Creates the device in the network namespace of the calling thread. It is removed when this
    /// is dropped.
    pub(super) fn open(name: &str) -> io::Result<Tun> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
        let mut request = InterfaceRequest { name: [0; 16], flags: FLAGS, rest: [0; 22] };
        assert!(name.len() < request.name.len(), "the kernel's names are short");
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: TUNSETIFF reads a `struct ifreq` through its argument and writes at most the name
        // back into it (the kernel copies `sizeof(struct ifreq)` = 40 bytes). `InterfaceRequest` is
        // that struct: repr(C), 40 bytes, all initialised, and exclusively borrowed for the time of
        // the call. The opcode is the one of the kernel's header.
        unsafe {
            let set = rustix::ioctl::Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request);
            rustix::ioctl::ioctl(&file, set)?;
        }
        Ok(Tun(file))
    }

    /// Returns the next packet that the host sends, if one arrives in time.
    pub(super) fn receive(&self, limit: Duration) -> Option<Packet> {
        let timeout = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
        let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
        if poll(&mut ready, Some(&timeout)).unwrap_or(0) == 0 {
            return None;
        }
        let mut bytes = vec![0; LONGEST];
        let length = (&self.0).read(&mut bytes).ok()?;
        bytes.truncate(length);
        Some(Packet(bytes))
    }

    /// Passes a packet to the host. Packets refused by a host that is being removed are lost, as on
    /// any network.
    pub(super) fn send(&self, packet: &Packet) {
        let _ = (&self.0).write(&packet.0);
    }
}
