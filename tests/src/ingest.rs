//! Servers that take pushed streams, for tests with real encoders: the sessions of the protocols
//! over real sockets, without an engine.

use playswarm_proto::ingest::{self, Kind, Refusal, Request};
use playswarm_proto::rtmp::{self, Publish};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a refused client may go on sending before it loses its answer.
const LINGER: Duration = Duration::from_secs(2);

/// Which streams a server takes.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Password, token or stream key. Without one, all streams are taken.
    pub secret: Option<String>,
    /// Refusal of all streams that have it.
    pub refusal: Option<Refusal>,
}

impl Rules {
    fn check(&self, secret: Option<&str>) -> Result<(), Refusal> {
        if self.secret.is_some() && self.secret.as_deref() != secret {
            return Err(Refusal::unauthorized());
        }
        self.refusal.clone().map_or(Ok(()), Err)
    }
}

/// What a client asked for and sent. `R` is its request.
#[derive(Clone, Debug)]
pub struct Pushed<R> {
    /// Its request.
    pub request: R,
    /// Status of the refusal, if it was refused.
    pub refused: Option<u16>,
    /// What it sent of its stream.
    pub bytes: Vec<u8>,
    /// Whether the stream ended as the protocol wants it.
    pub has_ended: bool,
}

type Log<R> = Arc<Mutex<Vec<Pushed<R>>>>;

/// A server of one protocol on a port of this machine.
pub struct Server<R> {
    /// Where it listens.
    pub address: SocketAddr,
    log: Log<R>,
}

impl<R: Clone + Send + 'static> Server<R> {
    fn start<S: Session<R> + Send + 'static>(session: impl Fn() -> S + Send + 'static) -> Server<R> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { address: listener.local_addr().unwrap(), log: Log::default() };
        let log = server.log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (session, log) = (session(), log.clone());
                std::thread::spawn(move || serve(stream, session, &log));
            }
        });
        server
    }

    /// Returns all requests so far.
    pub fn log(&self) -> Vec<Pushed<R>> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until this number of requests have ended or were refused, and returns all.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<Pushed<R>> {
        crate::wait_for("the end of the pushed stream", Duration::from_secs(60), || {
            let log = self.log();
            let is_done = |pushed: &&Pushed<R>| pushed.has_ended || pushed.refused.is_some();
            (log.iter().filter(is_done).count() >= count).then_some(log)
        })
    }
}

/// Starts a server for streams over HTTP and Icecast's protocol.
pub fn http(rules: Rules) -> Server<Request> {
    Server::start(move || Http { session: ingest::Session::new(), rules: rules.clone(), current: 0 })
}

/// Starts a server for streams over RTMP.
pub fn rtmp(rules: Rules) -> Server<Publish> {
    Server::start(move || Rtmp { session: rtmp::Session::new(), rules: rules.clone(), current: 0 })
}

/// A session of either protocol.
trait Session<R> {
    /// Handles all events of these bytes. Returns what is to be sent.
    fn handle(&mut self, bytes: &[u8], log: &Log<R>) -> Vec<u8>;
    /// Notes that the client sends no more. Returns what is to be sent.
    fn end(&mut self, log: &Log<R>) -> Vec<u8>;
    fn is_closed(&self) -> bool;
}

fn serve<R>(mut stream: TcpStream, mut session: impl Session<R>, log: &Log<R>) {
    let mut buffer = vec![0; 64 << 10];
    while !session.is_closed() {
        let read = stream.read(&mut buffer).unwrap_or(0);
        let output = match read {
            0 => session.end(log),
            _ => session.handle(&buffer[..read], log),
        };
        if stream.write_all(&output).is_err() || read == 0 {
            return;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(LINGER));
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// Returns the event. Shows the reason why a client's bytes could not be understood.
fn shown<E>(event: Result<Option<E>, impl std::fmt::Display>) -> Option<E> {
    event.unwrap_or_else(|e| {
        eprintln!("a client was not understood: {e}");
        None
    })
}

/// Enters a request, and returns its place.
fn enter<R>(log: &Log<R>, request: R, refused: Option<u16>) -> usize {
    let mut log = log.lock().unwrap();
    log.push(Pushed { request, refused, bytes: Vec::new(), has_ended: false });
    log.len() - 1
}

struct Http {
    session: ingest::Session,
    rules: Rules,
    /// Place of the current request in the log.
    current: usize,
}

impl Session<Request> for Http {
    fn handle(&mut self, bytes: &[u8], log: &Log<Request>) -> Vec<u8> {
        self.session.feed(bytes);
        while let Some(event) = shown(self.session.next_event()) {
            match event {
                ingest::Event::Request(request) => {
                    let secret = request.credentials.as_ref().map(|credentials| credentials.secret.as_str());
                    let answer = self.rules.check(secret);
                    let is_title = matches!(request.kind, Kind::Metadata(_));
                    self.current = enter(log, *request, answer.as_ref().err().map(|refusal| refusal.status));
                    match answer {
                        Ok(()) => self.session.accept(),
                        Err(refusal) => self.session.refuse(&refusal),
                    }
                    log.lock().unwrap()[self.current].has_ended = is_title;
                }
                ingest::Event::Data(bytes) => log.lock().unwrap()[self.current].bytes.extend_from_slice(&bytes),
                ingest::Event::End => log.lock().unwrap()[self.current].has_ended = true,
            }
        }
        self.session.take_output().to_vec()
    }

    fn end(&mut self, log: &Log<Request>) -> Vec<u8> {
        let is_complete = self.session.end_of_input();
        if let Some(pushed) = log.lock().unwrap().get_mut(self.current) {
            pushed.has_ended |= is_complete;
        }
        self.session.take_output().to_vec()
    }

    fn is_closed(&self) -> bool {
        self.session.is_closed()
    }
}

struct Rtmp {
    session: rtmp::Session,
    rules: Rules,
    current: usize,
}

impl Session<Publish> for Rtmp {
    fn handle(&mut self, bytes: &[u8], log: &Log<Publish>) -> Vec<u8> {
        self.session.feed(bytes);
        while let Some(event) = shown(self.session.next_event()) {
            match event {
                rtmp::Event::Publish(publish) => {
                    let answer = self.rules.check(Some(&publish.key));
                    self.current = enter(log, publish, answer.as_ref().err().map(|refusal| refusal.status));
                    match answer {
                        Ok(()) => self.session.accept(),
                        Err(refusal) => self.session.refuse(&refusal),
                    }
                }
                rtmp::Event::Data(bytes) => log.lock().unwrap()[self.current].bytes.extend_from_slice(&bytes),
                rtmp::Event::End => log.lock().unwrap()[self.current].has_ended = true,
            }
        }
        self.session.take_output().to_vec()
    }

    fn end(&mut self, log: &Log<Publish>) -> Vec<u8> {
        // Some encoders only close the connection.
        if let Some(pushed) = log.lock().unwrap().get_mut(self.current) {
            pushed.has_ended = true;
        }
        Vec::new()
    }

    fn is_closed(&self) -> bool {
        self.session.is_closed()
    }
}
