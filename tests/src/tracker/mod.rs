//! Trackers for tests, over HTTP (BEP 3, 23) and UDP (BEP 15): honest, or broken in one of the ways
//! in which trackers are.

mod form;

pub use form::Form;

use crate::bencode::{Ben, dict};
use crate::content::mix;
use crate::peers::fresh_ip;
use crate::place::Place;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The behaviour of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Returns every known peer.
    Honest,
    /// Returns at most this number of peers, drawn anew for each response, with an interval of half
    /// an hour, as public trackers do.
    Frugal(usize),
    /// Responds with meaningless bytes.
    Rubbish,
    /// Accepts the request and never responds.
    Hang,
    /// Refuses, with a sentence.
    Refuse,
    /// Responds honestly, in an odd form (HTTP only).
    Odd(Form),
    /// Responds with this HTTP status and a plain text.
    Status(u16),
    /// Responds with a redirect to `http://IP:PORT/announce` (HTTP only).
    Redirect(SocketAddr),
}

/// The warning of [`Form::Warned`].
pub const WARNING: &str = "your client is \x1b[31mtoo old";

/// The sentence of [`Mode::Refuse`].
pub const REFUSAL: &str = "this torrent is not registered here";

/// One received announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// The address on which the peer claims to listen.
    pub peer: SocketAddr,
    /// `started`, `completed`, `stopped` or empty.
    pub event: String,
}

#[derive(Default)]
struct State {
    peers: Mutex<Vec<SocketAddr>>,
    announces: Mutex<Vec<Announce>>,
    requests: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// A running tracker; it ends when dropped.
pub struct Tracker {
    /// The announce URL.
    pub url: String,
    /// Its listening address.
    pub addr: SocketAddr,
    state: Arc<State>,
}

impl Tracker {
    /// Starts an HTTP tracker on a loopback address of its own.
    pub fn http(mode: Mode) -> Tracker {
        Self::http_at(&Place::Here, SocketAddr::new(fresh_ip().into(), 6969), mode)
    }

    /// Starts an HTTP tracker at a place.
    pub fn http_at(place: &Place, on: SocketAddr, mode: Mode) -> Tracker {
        let listener = place.listen(on);
        let state = Arc::<State>::default();
        let shared = state.clone();
        std::thread::spawn(move || serve_http(&listener, mode, &shared));
        Tracker { url: format!("http://{on}/announce"), addr: on, state }
    }

    /// Starts a web server that returns these bytes for every request.
    pub fn serving_at(place: &Place, on: SocketAddr, bytes: Vec<u8>) -> Tracker {
        let listener = place.listen(on);
        let state = Arc::<State>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let _ = read_head(&stream);
                let _ = (&stream).write_all(&form::respond(Form::Plain, "200 OK", &bytes));
            }
        });
        Tracker { url: format!("http://{on}/film.torrent"), addr: on, state }
    }

    /// Starts a UDP tracker on a loopback address of its own.
    pub fn udp(mode: Mode) -> Tracker {
        Self::udp_at(&Place::Here, SocketAddr::new(fresh_ip().into(), 6969), mode)
    }

    /// Starts a UDP tracker at a place.
    pub fn udp_at(place: &Place, addr: SocketAddr, mode: Mode) -> Tracker {
        let socket = place.udp(addr);
        let state = Arc::<State>::default();
        let shared = state.clone();
        std::thread::spawn(move || serve_udp(&socket, mode, &shared));
        Tracker { url: format!("udp://{addr}/announce"), addr, state }
    }

    /// Adds a peer that it will return from now on, announced or not.
    pub fn add_peer(&self, peer: SocketAddr) {
        self.state.add(peer);
    }

    /// Returns the paths and queries of all HTTP requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Returns all announces so far.
    pub fn announces(&self) -> Vec<Announce> {
        self.state.announces.lock().unwrap().clone()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_millis(200)); // wakes accept()
    }
}

impl State {
    fn add(&self, peer: SocketAddr) {
        let mut peers = self.peers.lock().unwrap();
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }

    /// Records an announce and returns the other peers in compact form.
    fn announced(&self, announce: Announce) -> Vec<u8> {
        let peer = announce.peer;
        let stopped = announce.event == "stopped";
        self.announces.lock().unwrap().push(announce);
        let others = self.peers.lock().unwrap().iter().copied().filter(|p| *p != peer).collect::<Vec<_>>();
        if stopped {
            self.peers.lock().unwrap().retain(|p| *p != peer);
        } else if peer.port() != 0 {
            self.add(peer);
        }
        let compact = others.iter().filter_map(|peer| match peer.ip() {
            IpAddr::V4(ip) => Some([&ip.octets()[..], &peer.port().to_be_bytes()].concat()),
            IpAddr::V6(_) => None,
        });
        compact.flatten().collect()
    }

    /// As [`Self::announced`], but returns at most `most` peers, drawn by the number of the
    /// announce.
    fn drawn(&self, announce: Announce, most: usize) -> Vec<u8> {
        let all = self.announced(announce);
        let number = self.announces.lock().unwrap().len() as u64;
        let mut peers = all.chunks_exact(COMPACT).collect::<Vec<_>>();
        let drawn = most.min(peers.len());
        for i in 0..drawn {
            let other = i + (mix(number << 16 | i as u64) % (peers.len() - i) as u64) as usize;
            peers.swap(i, other);
        }
        peers[..drawn].concat()
    }
}

/// Length in bytes of a peer in compact form.
const COMPACT: usize = 6;

fn serve_http(listener: &TcpListener, mode: Mode, state: &Arc<State>) {
    let mut hanging = Vec::new();
    for stream in listener.incoming().flatten() {
        if state.stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(request) = read_head(&stream) else { continue };
        let from = stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |addr| addr.ip());
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        state.requests.lock().unwrap().push(path);
        let plain = |status: &str, body: &[u8]| form::respond(Form::Plain, status, body);
        let answer = match (mode, parse_announce(&request, from)) {
            (Mode::Hang, _) => {
                hanging.push(stream); // open, and silent
                continue;
            }
            (Mode::Rubbish, _) => plain("200 OK", b"<html>\xff\x00 d8:intervali-1e5:peers999999999:"),
            (Mode::Status(status), _) => plain(&format!("{status} No"), b"go \x1b[31maway"),
            (Mode::Redirect(to), _) => format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{to}/announce\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .into_bytes(),
            (_, None) => plain("200 OK", &dict([("failure reason", "this is no announce".into())]).encode()),
            (Mode::Refuse, Some(announce)) => {
                state.announced(announce);
                plain("200 OK", &dict([("failure reason", REFUSAL.into())]).encode())
            }
            (Mode::Odd(form), Some(announce)) => {
                form::respond(form, "200 OK", &form::body(form, state.announced(announce)))
            }
            (Mode::Honest, Some(announce)) => plain("200 OK", &answer_http(5, 2, state.announced(announce))),
            (Mode::Frugal(most), Some(announce)) => {
                plain("200 OK", &answer_http(1800, 60, state.drawn(announce, most)))
            }
        };
        let _ = (&stream).write_all(&answer);
    }
}

/// Reads a request's head and returns its first line.
fn read_head(stream: &TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    Ok(request)
}

/// Builds the response to an announce: seconds until the next, and peers in compact form.
fn answer_http(interval: i64, least: i64, peers: Vec<u8>) -> Vec<u8> {
    dict([("interval", Ben::Int(interval)), ("min interval", Ben::Int(least)), ("peers", peers.into())]).encode()
}

/// Parses `GET /announce?… HTTP/1.1`.
fn parse_announce(request: &str, from: IpAddr) -> Option<Announce> {
    let query = request.split(' ').nth(1)?.split_once('?')?.1;
    let field =
        |wanted: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted);
    let info_hash = percent_decode(field("info_hash")?.1)?.try_into().ok()?;
    let port = field("port")?.1.parse().ok()?;
    let event = field("event").map_or("", |(_, event)| event).to_owned();
    Some(Announce { info_hash, peer: SocketAddr::new(from, port), event })
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    Some(bytes)
}

/// The constant that begins a connect request (BEP 15).
const UDP_MAGIC: u64 = 0x0417_2710_1980;

fn serve_udp(socket: &UdpSocket, mode: Mode, state: &Arc<State>) {
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    let mut buffer = [0; 2048];
    while !state.stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer_udp(&buffer[..length], from, mode, state) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn answer_udp(request: &[u8], from: SocketAddr, mode: Mode, state: &State) -> Option<Vec<u8>> {
    let number = |at: usize| Some(u32::from_be_bytes(request.get(at..at + 4)?.try_into().ok()?));
    let connect = u64::from_be_bytes(request.get(..8)?.try_into().ok()?) == UDP_MAGIC && number(8)? == 0;
    let transaction = request.get(12..16)?;
    match mode {
        Mode::Hang => return None,
        Mode::Rubbish => return Some(vec![0xff; 7]),
        _ => {}
    }
    if connect {
        return Some([&0u32.to_be_bytes(), transaction, &7777u64.to_be_bytes()].concat());
    }
    if number(8)? != 1 {
        return None;
    }
    let event = ["", "completed", "started", "stopped"].get(number(80)? as usize)?;
    let port = u16::from_be_bytes(request.get(96..98)?.try_into().ok()?);
    let announce = Announce {
        info_hash: request.get(16..36)?.try_into().ok()?,
        peer: SocketAddr::new(from.ip(), port),
        event: (*event).into(),
    };
    let peers = match mode {
        Mode::Frugal(most) => state.drawn(announce, most),
        _ => state.announced(announce),
    };
    if mode == Mode::Refuse {
        return Some([&3u32.to_be_bytes(), transaction, REFUSAL.as_bytes()].concat());
    }
    let head = [1u32, 0, 5, 0, (peers.len() / COMPACT) as u32].map(u32::to_be_bytes);
    Some([&head[0], transaction, &head[2], &head[3], &head[4], &peers].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{self, Url};
    use std::collections::BTreeSet;
    use std::io::Read;

    #[test]
    fn an_announcer_gets_only_the_other_peers() {
        let tracker = Tracker::http(Mode::Honest);
        tracker.add_peer("10.0.0.1:258".parse().unwrap());
        let url =
            Url::parse(&format!("{}?info_hash={}&port=7000&event=started", tracker.url, "%41".repeat(20))).unwrap();
        for _ in 0..2 {
            let body = http::request(&Place::Here, "GET", &url, &[]).unwrap().text().unwrap();
            assert!(body.ends_with("5:peers6:\n\0\0\u{1}\u{1}\u{2}e"), "{body:?}");
        }
        let announces = tracker.announces();
        assert_eq!(announces.len(), 2);
        assert_eq!((announces[0].info_hash, announces[0].peer.port()), ([0x41; 20], 7000));
    }

    #[test]
    fn a_frugal_tracker_names_other_peers_each_time() {
        let tracker = Tracker::http(Mode::Frugal(5));
        for i in 1..=100 {
            tracker.add_peer(SocketAddr::new(Ipv4Addr::new(10, 0, 0, i).into(), 6881));
        }
        let url = Url::parse(&format!("{}?info_hash={}&port=7000", tracker.url, "%41".repeat(20))).unwrap();
        let ask = || {
            let mut body = Vec::new();
            http::request(&Place::Here, "GET", &url, &[]).unwrap().read_to_end(&mut body).unwrap();
            let at = body.windows(10).position(|w| w == b"5:peers30:").expect("five peers") + 10;
            let peers = body[at..at + 30].chunks(6).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
            assert_eq!(peers.len(), 5, "none is named twice");
            peers
        };
        assert_ne!(ask(), ask());
    }

    #[test]
    fn a_udp_announce_gives_compact_peers() {
        let tracker = Tracker::udp(Mode::Honest);
        tracker.add_peer("10.0.0.1:258".parse().unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let ask = |message: &[u8]| {
            socket.send_to(message, tracker.addr).unwrap();
            let mut buffer = [0; 200];
            let length = socket.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        };
        let hello = ask(&[&UDP_MAGIC.to_be_bytes()[..], &0u32.to_be_bytes(), b"abcd"].concat());
        assert_eq!(&hello[..8], b"\0\0\0\0abcd");
        let mut announce = [&hello[8..16], &1u32.to_be_bytes(), b"efgh", &[7; 20]].concat();
        announce.resize(96, 0);
        announce.extend(6881u16.to_be_bytes());
        let answer = ask(&announce);
        assert_eq!(&answer[..8], b"\0\0\0\x01efgh");
        assert_eq!(&answer[20..], [10, 0, 0, 1, 1, 2]);
        assert_eq!(tracker.announces()[0].info_hash, [7; 20]);
    }
}
