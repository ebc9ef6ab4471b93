//! The interface or address from which a session sends, and the sockets that are bound to it.
//!
//! A source address alone does not choose the way of a packet: the routes do, by its destination.
//! Sockets are therefore bound to the interface as well, where the system permits that.

use super::source::{default_sources, is_here};
use super::tcp_socket;
use crate::error::{Error, Result};
use librqbit_utp::BindDevice;
use network_interface::{NetworkInterface, NetworkInterfaceConfig};
use playswarm_proto::AddressClass;
use reqwest::ClientBuilder;
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpStream, UdpSocket};

/// The user's choice. Empty, it leaves everything to the system.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Source address of all sockets of its family. Other families are not used, except for
    /// destinations on this machine.
    address: Option<IpAddr>,
    device: Option<BindDevice>,
    /// Addresses of the chosen interface at which others reach this machine.
    addresses: Vec<IpAddr>,
    /// Whether the user chose an interface, rather than an address to listen at.
    is_interface: bool,
}

impl Chosen {
    /// Reads the settings: `interface` is the name of an interface or one of its addresses. Without
    /// it, an address to listen at is the choice.
    ///
    /// # Errors
    ///
    /// Returns [`Error::BadConfig`] if there is no such interface, or sockets cannot be bound to it.
    pub(super) fn new(interface: Option<&str>, listen: Option<SocketAddr>) -> Result<Chosen> {
        let listen = listen.map(|listen| listen.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
        let Some(name) = interface else {
            let device = listen.filter(|ip| !ip.is_loopback()).and_then(|ip| device_of(&interfaces(), ip));
            return Ok(Chosen { address: listen, device, ..Chosen::default() });
        };
        let all = interfaces();
        let bad = |why: String| Error::BadConfig { name: "interface".to_owned(), why };
        if let Ok(ip) = name.parse::<IpAddr>() {
            if !all.iter().any(|nic| nic.addr.iter().any(|addr| addr.ip() == ip)) {
                return Err(bad(format!("no interface has the address {ip}; those that exist are {}", listed(&all))));
            }
            let device = device_of(&all, ip);
            return Ok(Chosen { address: Some(ip), device, addresses: vec![ip], is_interface: true });
        }
        if !all.iter().any(|nic| nic.name == name) {
            return Err(bad(format!("there is no interface of this name; those that exist are {}", listed(&all))));
        }
        let refused = |e: String| {
            bad(format!(
                "this system does not bind sockets to an interface ({e}); give the interface's address instead"
            ))
        };
        let device = usable(name).map_err(refused)?;
        let of_device = all.iter().filter(|nic| nic.name == name).flat_map(|nic| nic.addr.iter().map(|addr| addr.ip()));
        // An address of one link cannot be dialled without the name of the link.
        let addresses = of_device.filter(|ip| AddressClass::of(*ip) != AddressClass::LinkLocal).collect();
        Ok(Chosen { address: None, device: Some(device), addresses, is_interface: true })
    }

    pub(super) fn is_some(&self) -> bool {
        self.is_interface || self.address.is_some_and(|ip| !ip.is_loopback())
    }

    /// Returns whether the chosen address is one of this machine alone.
    pub(super) fn is_loopback(&self) -> bool {
        self.address.is_some_and(|ip| ip.is_loopback())
    }

    /// Returns the addresses of the chosen interface; `None` if none was chosen.
    pub(super) fn addresses(&self) -> Option<&[IpAddr]> {
        self.is_interface.then_some(&self.addresses)
    }

    pub(super) fn device(&self) -> Option<&BindDevice> {
        self.device.as_ref()
    }

    /// Returns the address to which the DHT node is bound. It cannot be bound to an interface, so
    /// that `None` is returned if the system's routes lead elsewhere.
    pub(super) fn dht_address(&self) -> Option<Ipv4Addr> {
        if self.is_interface {
            return self
                .addresses
                .iter()
                .find_map(|ip| as_v4(*ip))
                .filter(|ip| default_sources().any(|source| source == *ip));
        }
        match self.address.filter(|ip| !ip.is_loopback()) {
            Some(ip) => as_v4(ip),
            None => Some(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Returns whether the chosen address has the family of another.
    pub(super) fn reaches(&self, to: IpAddr) -> bool {
        let to = to.to_canonical();
        let same = |ip: IpAddr| ip.is_loopback() || ip.is_ipv4() == to.is_ipv4();
        to.is_loopback() || self.address.is_none_or(same)
    }

    /// Binds a socket that will send to an address. `port` is its own port.
    fn bind(&self, socket: &Socket, to: IpAddr) -> io::Result<()> {
        let source = self.address.filter(|ip| ip.is_ipv4() == to.is_ipv4() && ip.is_loopback() == to.is_loopback());
        if let Some(device) = self.device.as_ref().filter(|_| !is_here(to)) {
            device.bind_sref(socket, to.is_ipv6()).map_err(io::Error::other)?;
        }
        if let Some(ip) = source {
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        Ok(())
    }

    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = tcp_socket(to)?;
        self.bind(&SockRef::from(&socket), to.ip())?;
        socket.connect(to).await
    }

    pub(super) fn udp(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
        if to.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        self.bind(&socket, to.ip())?;
        if socket.local_addr()?.as_socket().is_none_or(|local| local.port() == 0) {
            let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            socket.bind(&SocketAddr::new(any, 0).into())?;
        }
        UdpSocket::from_std(socket.into())
    }

    pub(super) fn client(&self, mut builder: ClientBuilder) -> ClientBuilder {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        if let Some(device) = &self.device {
            builder = builder.interface(device.name());
        }
        if let Some(ip) = self.address.filter(|ip| !ip.is_loopback()) {
            builder = builder.local_address(ip);
        }
        builder
    }
}

fn as_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(ip) = ip { Some(ip) } else { None }
}

fn interfaces() -> Vec<NetworkInterface> {
    NetworkInterface::show().unwrap_or_default()
}

fn listed(all: &[NetworkInterface]) -> String {
    let mut names: Vec<&str> = all.iter().map(|nic| nic.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Returns the interface that has an address; `None` for the loopback interface, or if sockets cannot be bound
/// to it.
fn device_of(all: &[NetworkInterface], ip: IpAddr) -> Option<BindDevice> {
    let nic = all.iter().find(|nic| nic.addr.iter().any(|addr| addr.ip() == ip))?;
    // Some hosts have public addresses on the loopback interface, which do not leave by it.
    if nic.addr.iter().any(|addr| addr.ip().is_loopback()) {
        return None;
    }
    usable(&nic.name).inspect_err(|e| tracing::debug!(interface = nic.name, "sockets are not bound to it: {e}")).ok()
}

/// Returns an interface to which sockets can be bound.
fn usable(name: &str) -> Result<BindDevice, String> {
    let device = BindDevice::new_from_name(name).map_err(|e| e.to_string())?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).map_err(|e| e.to_string())?;
    device.bind_sref(&socket, false).map_err(|e| e.to_string())?;
    Ok(device)
}
