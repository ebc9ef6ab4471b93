//! Real proxies: microsocks (SOCKS5) and tinyproxy (HTTP with CONNECT), and private name tables for
//! them and for the program under test.

use crate::place::Place;
use crate::process::Process;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The name tables of a program that runs in a network of namespaces.
pub struct Names {
    folder: tempfile::TempDir,
}

impl Names {
    /// Creates tables with these hosts, and a name server for all other names.
    pub fn new(hosts: &[(&str, std::net::IpAddr)], server: std::net::IpAddr) -> Names {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = hosts.iter().map(|(name, ip)| format!("{ip} {name}\n")).collect();
        std::fs::write(folder.path().join("hosts"), format!("127.0.0.1 localhost\n{lines}")).unwrap();
        let resolver = format!("nameserver {server}\noptions timeout:1 attempts:1\n");
        std::fs::write(folder.path().join("resolv.conf"), resolver).unwrap();
        Names { folder }
    }

    /// Returns a script that runs a program with these tables, and is given its arguments. The
    /// program has the script's process id.
    pub fn wrapped(&self, program: &Path) -> PathBuf {
        let at = self.folder.path().display();
        let name = program.file_name().unwrap().to_str().unwrap();
        let script = self.folder.path().join(format!("{name}.sh"));
        let text = format!(
            "#!/bin/sh\nexec unshare -m sh -c 'mount --bind {at}/hosts /etc/hosts && \
             mount --bind {at}/resolv.conf /etc/resolv.conf && exec {} \"$@\"' sh \"$@\"\n",
            program.display()
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        script
    }
}

/// A running proxy; it ends when dropped.
pub struct Proxy {
    /// Its address.
    pub addr: SocketAddr,
    process: Process,
    _folder: Option<tempfile::TempDir>,
}

impl Proxy {
    /// Starts microsocks, which asks for the user and password if they are given.
    #[track_caller]
    pub fn socks(place: &Place, addr: SocketAddr, names: &Names, user: Option<(&str, &str)>) -> Proxy {
        let mut command = place.command(names.wrapped(&found("microsocks")));
        command.args(["-i", &addr.ip().to_string(), "-p", &addr.port().to_string()]);
        if let Some((user, password)) = user {
            command.args(["-u", user, "-P", password]);
        }
        Proxy::start("microsocks", place, addr, command, None)
    }

    /// Starts tinyproxy, which allows CONNECT to these ports only, or to all if there are none.
    #[track_caller]
    pub fn http(place: &Place, addr: SocketAddr, names: &Names, ports: &[u16]) -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let allowed: String = ports.iter().map(|port| format!("ConnectPort {port}\n")).collect();
        let config = format!(
            "Listen {}\nPort {}\nTimeout 60\nMaxClients 100\nLogLevel Warning\n{allowed}",
            addr.ip(),
            addr.port()
        );
        let path = folder.path().join("tinyproxy.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = place.command(names.wrapped(&found("tinyproxy")));
        command.arg("-d").arg("-c").arg(&path);
        Proxy::start("tinyproxy", place, addr, command, Some(folder))
    }

    #[track_caller]
    fn start(
        name: &str,
        place: &Place,
        addr: SocketAddr,
        command: Command,
        folder: Option<tempfile::TempDir>,
    ) -> Proxy {
        let process = Process::start(name, command);
        crate::wait_for(name, Duration::from_secs(20), || place.connect(addr, Duration::from_secs(1)).ok());
        Proxy { addr, process, _folder: folder }
    }

    /// Kills the proxy, with all its connections.
    pub fn kill(&mut self) {
        self.process.kill9();
    }
}

fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is installed"))
}
