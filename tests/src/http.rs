//! A small HTTP/1.1 client that sends what a player sends and nothing else. It can also misbehave:
//! read slowly, or disconnect in the middle. Connections are opened at a [`Place`], so a request
//! can come from a host of the shaped network.

use crate::place::Place;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest connection attempt or single read before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A parsed `http://…` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Address to connect to.
    pub addr: SocketAddr,
    /// Path and query.
    pub path: String,
}

impl Url {
    /// Parses `http://IP:PORT/path`.
    pub fn parse(url: &str) -> Option<Url> {
        let rest = url.strip_prefix("http://")?;
        let (addr, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some(Url { addr: addr.parse().ok()?, path: if path.is_empty() { "/".into() } else { path.into() } })
    }

    /// Returns the URL of another path on the same server.
    pub fn at(&self, path: &str) -> Url {
        Url { addr: self.addr, path: path.into() }
    }
}

/// A response whose status and headers were read, and whose body is still unread.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Sized(BufReader<TcpStream>, u64),
    Chunked(BufReader<TcpStream>, u64),
    Done,
}

impl Response {
    /// Returns a header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body as text.
    pub fn text(mut self) -> io::Result<String> {
        let mut text = String::new();
        self.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match &mut self.body {
            Body::Done => Ok(0),
            Body::Sized(_, 0) => Ok(0),
            Body::Sized(from, left) => {
                let take = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let got = from.read(&mut buffer[..take])?;
                if got == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ended early"));
                }
                *left -= got as u64;
                Ok(got)
            }
            Body::Chunked(from, left) => {
                if *left == 0 {
                    let size = line(from)?;
                    *left = u64::from_str_radix(size.trim(), 16).map_err(|_| bad("a chunk size"))?;
                    if *left == 0 {
                        self.body = Body::Done;
                        return Ok(0);
                    }
                }
                let take = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let got = from.read(&mut buffer[..take])?;
                *left -= got as u64;
                if *left == 0 {
                    line(from)?;
                }
                Ok(got)
            }
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is malformed"))
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(65_536).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Sends a request and reads the response's head.
pub fn request(place: &Place, method: &str, url: &Url, headers: &[(&str, &str)]) -> io::Result<Response> {
    let stream = place.connect(url.addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut head = format!("{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", url.path, url.addr);
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    (&stream).write_all(head.as_bytes())?;
    let mut from = BufReader::with_capacity(1 << 16, stream);
    let first = line(&mut from)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad("the status line"))?;
    let mut headers = Vec::new();
    loop {
        let header = line(&mut from)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or_else(|| bad("a header"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let body = if method == "HEAD" || matches!(status, 204 | 304) {
        Body::Done
    } else if find("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        Body::Chunked(from, 0)
    } else {
        let length = find("content-length").map_or(Ok(0), str::parse).map_err(|_| bad("the content length"))?;
        Body::Sized(from, length)
    };
    Ok(Response { status, headers, body })
}

/// Requests the bytes from `from` on with GET; to the end of the file without `length`.
pub fn get_range(place: &Place, url: &Url, from: u64, length: Option<u64>) -> io::Result<Response> {
    let range = match length {
        Some(length) => format!("bytes={from}-{}", from + length - 1),
        None => format!("bytes={from}-"),
    };
    request(place, "GET", url, &[("Range", &range)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve(answer: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            while line(&mut reader).is_ok_and(|line| !line.is_empty()) {}
            (&stream).write_all(answer.as_bytes()).unwrap();
        });
        Url::parse(&format!("http://{addr}/x?y")).unwrap()
    }

    #[test]
    fn bodies_are_read_by_length_and_by_chunks() {
        let url = serve("HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabcd");
        let answer = get_range(&Place::Here, &url, 0, Some(3)).unwrap();
        assert_eq!((answer.status, answer.header("x-a")), (206, Some("b")));
        assert_eq!(answer.text().unwrap(), "abc");
        let url = serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        assert_eq!(request(&Place::Here, "GET", &url, &[]).unwrap().text().unwrap(), "abcde");
    }

    #[test]
    fn a_body_that_ends_early_is_an_error() {
        let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        let error = request(&Place::Here, "GET", &url, &[]).unwrap().text().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
