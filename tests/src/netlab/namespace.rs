//! Creates and removes the network namespaces of the hosts with iproute2. Their names contain our
//! process id. Several test processes therefore do not collide, and the leftovers of a killed one
//! are recognised and removed.

use super::tun::Tun;
use crate::place::Place;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// First bytes of the hosts' second addresses, which count as addresses of the Internet.
pub(super) const PUBLIC: &str = "45.77.0";
/// Prefix of every name.
const OURS: &str = "pswt";

/// Returns a prefix for the hosts of one network: `pswtPID-N-`.
pub(super) fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{OURS}{}-{}-", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Removes the hosts of test processes that have exited.
pub(super) fn remove_stale() {
    let Ok(entries) = std::fs::read_dir("/var/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let owner = name.strip_prefix(OURS).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            remove(name);
        }
    }
}

/// Creates a host with its device, addresses and routes.
pub(super) fn create(name: &str, address: Ipv4Addr, number: u8) -> Tun {
    ip(&["netns", "add", name]);
    let tun =
        Place::Namespace(name.into()).run(|| Tun::open("cable0")).unwrap_or_else(|e| panic!("no TUN device: {e}"));
    let inside = |arguments: &str| {
        let mut all = vec!["-n", name];
        all.extend(arguments.split(' '));
        ip(&all);
    };
    inside("link set lo up");
    inside("link set cable0 up mtu 1500 txqueuelen 1000");
    inside(&format!("addr add {address}/24 dev cable0"));
    inside(&format!("addr add {PUBLIC}.{number}/24 dev cable0"));
    inside(&format!("-6 addr add fd77::{number:x}/64 dev cable0 nodad"));
    // Packets to other destinations are lost in the network, not refused by the host, as with a
    // real router.
    inside("route add default dev cable0");
    tun
}

/// Adds a second interface, whose cable is unplugged: the system drops what is sent from it.
pub(super) fn add_interface(name: &str, interface: &str, address: &str) {
    ip(&["-n", name, "tuntap", "add", "dev", interface, "mode", "tun"]);
    ip(&["-n", name, "link", "set", interface, "up"]);
    ip(&["-n", name, "addr", "add", address, "dev", interface]);
}

/// Returns the number of packets that the system dropped at an interface.
pub(super) fn dropped(name: &str, interface: &str) -> u64 {
    let output = Command::new("ip").args(["-n", name, "-s", "-j", "link", "show", interface]).output().unwrap();
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    links[0]["stats64"]["tx"]["dropped"].as_u64().expect("iproute2 counts dropped packets")
}

/// Removes a host, after killing the processes that still run in it.
pub(super) fn remove(name: &str) {
    if let Ok(pids) = Command::new("ip").args(["netns", "pids", name]).output() {
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw)
                && pid != rustix::process::getpid()
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
