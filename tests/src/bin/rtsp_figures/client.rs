//! A bare client that plays the first video track.

use std::io::{BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Longest wait for a server.
const LONG: Duration = Duration::from_secs(30);
/// As FFmpeg, for the pace that it gets.
const USER_AGENT: &str = "Lavf59.27.100";

/// What a server sent.
pub(crate) enum Unit {
    /// The head of an answer, and its body.
    Answer(String),
    /// A packet on this channel.
    Packet(u8),
}

pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    url: String,
    cseq: u32,
    session: String,
    /// The socket for RTP, where it is not interleaved. Its buffer is the system's.
    pub(crate) media: Option<UdpSocket>,
}

impl Client {
    /// Connects and sets up the track.
    pub(crate) fn open(url: &str, udp: bool) -> Client {
        let host = url.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
        let socket = TcpStream::connect(host).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let media = udp.then(|| UdpSocket::bind("127.0.0.1:0").unwrap());
        let (reader, session) = (BufReader::new(socket), String::new());
        let mut client = Client { reader, url: url.to_owned(), cseq: 0, session, media };
        let description = client.ask("DESCRIBE", url, "Accept: application/sdp\r\n");
        let media_part = description
            .split("\nm=")
            .find(|part| part.starts_with("video"))
            .unwrap_or_else(|| panic!("no video: {description}"));
        let control = media_part.lines().find_map(|line| line.strip_prefix("a=control:")).unwrap().trim();
        let base = header(&description, "Content-Base").unwrap_or(url).trim_end_matches('/').to_owned();
        let track = if control.starts_with("rtsp://") { control.to_owned() } else { format!("{base}/{control}") };
        let transport = match &client.media {
            Some(media) => {
                let port = media.local_addr().unwrap().port();
                format!("Transport: RTP/AVP;unicast;client_port={port}-{}\r\n", port ^ 1)
            }
            None => "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n".to_owned(),
        };
        let answer = client.ask("SETUP", &track, &transport);
        let session = header(&answer, "Session").unwrap_or_else(|| panic!("no session: {answer}"));
        client.session = session.split(';').next().unwrap().to_owned();
        client
    }

    fn send(&mut self, method: &str, url: &str, headers: &str) {
        self.cseq += 1;
        let session = match self.session.as_str() {
            "" => String::new(),
            session => format!("Session: {session}\r\n"),
        };
        let agent = format!("User-Agent: {USER_AGENT}\r\n");
        let text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{agent}{session}{headers}\r\n", self.cseq);
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Sends a request, and returns the answer. Media before it is dropped.
    pub(crate) fn ask(&mut self, method: &str, url: &str, headers: &str) -> String {
        self.send(method, url, headers);
        loop {
            if let Unit::Answer(answer) = self.unit() {
                assert!(answer.starts_with("RTSP/1.0 200"), "{method} {url}: {answer}");
                return answer;
            }
        }
    }

    /// Pauses and plays from a time on. Returns the times from PLAY to its answer and to the first
    /// packet of media.
    pub(crate) fn play(&mut self, at: f64) -> (Duration, Duration) {
        let url = self.url.clone();
        self.ask("PAUSE", &url, "");
        if let Some(media) = &self.media {
            // What comes now is from before the jump.
            media.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            while media.recv(&mut [0; 2048]).is_ok() {}
            media.set_read_timeout(Some(LONG)).unwrap();
        }
        let start = Instant::now();
        self.ask("PLAY", &url, &format!("Range: npt={at:.3}-\r\n"));
        let answer = start.elapsed();
        match &self.media {
            Some(media) => drop(media.recv(&mut [0; 2048]).unwrap()),
            None => while !matches!(self.unit(), Unit::Packet(0)) {},
        }
        (answer, start.elapsed())
    }

    /// Plays from the start.
    pub(crate) fn start(&mut self) {
        let url = self.url.clone();
        self.ask("PLAY", &url, "Range: npt=0.000-\r\n");
    }

    /// Keeps a session over UDP alive.
    pub(crate) fn keep_alive(&mut self) {
        let url = self.url.clone();
        self.ask("GET_PARAMETER", &url, "");
    }

    pub(crate) fn unit(&mut self) -> Unit {
        let mut first = [0; 4];
        self.reader.read_exact(&mut first).unwrap();
        if first[0] == b'$' {
            let mut packet = vec![0; usize::from(u16::from_be_bytes([first[2], first[3]]))];
            self.reader.read_exact(&mut packet).unwrap();
            return Unit::Packet(first[1]);
        }
        let mut head = first.to_vec();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.reader.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut body = vec![0; header(&head, "Content-Length").map_or(0, |length| length.parse().unwrap())];
        self.reader.read_exact(&mut body).unwrap();
        Unit::Answer(head + &String::from_utf8_lossy(&body))
    }
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = answer.lines().skip(1).map_while(|line| line.split_once(':'));
    headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
