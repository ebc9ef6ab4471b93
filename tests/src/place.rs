//! The place where a process runs and a socket is opened: this machine, or a host of a shaped
//! network (a network namespace).

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A place where processes run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The machine's own network.
    #[default]
    Here,
    /// The network namespace of this name, as created by `ip netns`.
    Namespace(String),
}

impl Place {
    fn path(name: &str) -> PathBuf {
        PathBuf::from("/var/run/netns").join(name)
    }

    /// Returns a command that will run there. `nsenter` replaces itself, so the child's id is the
    /// program's own.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Place::Here => Command::new(program),
            Place::Namespace(name) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", Self::path(name).display())).arg("--").arg(program);
                command
            }
        }
    }

    /// Runs a closure there on a separate thread. The namespace is a property of the thread, and
    /// the objects that it opens (sockets, TUN devices) stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Place::Namespace(name) = self else { return work() };
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(Self::path(name)).expect("the host exists while its network does");
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter a namespace");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Opens a TCP connection from there.
    pub fn connect(&self, to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        self.run(|| TcpStream::connect_timeout(&to, limit))
    }

    /// Opens a TCP listener there.
    pub fn listen(&self, on: SocketAddr) -> TcpListener {
        self.run(|| TcpListener::bind(on)).unwrap_or_else(|e| panic!("cannot listen on {on}: {e}"))
    }

    /// Opens a UDP socket there.
    pub fn udp(&self, on: SocketAddr) -> UdpSocket {
        self.run(|| UdpSocket::bind(on)).unwrap_or_else(|e| panic!("cannot bind {on}: {e}"))
    }
}
