//! A headless Chromium, driven through ChromeDriver by the WebDriver protocol (W3C).

use crate::process::Process;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// Longest wait for the browser's start, a page, or a script.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running browser with one window.
pub struct Browser {
    port: u16,
    session: String,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it. Needs the programs `chromium` and `chromedriver`.
    #[track_caller]
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", profile.path());
        let mut driver = Process::start("chromedriver", command);
        let port =
            driver.expect_line(0, PATIENCE, |line| line.strip_suffix('.')?.rsplit_once(" on port ")?.1.parse().ok());
        let folder = format!("--user-data-dir={}", profile.path().display());
        // Without the switches for background networking it looks up hosts on the internet.
        let switches = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--mute-audio",
            &folder,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": switches } } } });
        let answer = post(port, "/session", &wanted);
        let session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no browser: {answer}")).to_owned();
        Browser { port, session, _driver: driver, _profile: profile }
    }

    /// Opens a page and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        let answer = self.post("url", &json!({ "url": url }));
        assert!(answer.is_null(), "{url}: {answer}");
    }

    /// Runs the body of a function in the page and returns its value.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        post(self.port, &format!("/session/{}/{command}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // ChromeDriver closes the browser when it is told to, not when it is killed.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(stream, "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session)?;
            stream.read(&mut [0; 64])
        });
    }
}

/// Sends a command and returns the value that answers it.
fn post(port: u16, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}: {}\r\n\r\n{body}", body.len()).unwrap();
    let (mut from, mut length) = (BufReader::new(stream), 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text).unwrap();
    let answer: Value = serde_json::from_slice(&text).unwrap();
    answer["value"].clone()
}
