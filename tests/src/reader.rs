//! Readers of the stream: one that checks every byte, and one that models a player and counts its
//! stalls.

use crate::content::Content;
use crate::http::{self, Url};
use crate::place::Place;
use crate::playswarm::Playswarm;
use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

/// A reader over HTTP that compares each byte with the original.
#[derive(Clone)]
pub struct CheckedReader {
    place: Place,
    url: Url,
    content: Content,
}

/// The timing of a read.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Time from the request to the first byte of the body.
    pub first_byte: Duration,
    /// Time from the request to the last byte.
    pub whole: Duration,
}

impl CheckedReader {
    /// Creates a reader of the URL that the program printed.
    #[track_caller]
    pub fn new(playswarm: &Playswarm, content: Content) -> CheckedReader {
        CheckedReader { place: playswarm.place.clone(), url: playswarm.url(), content }
    }

    /// Creates a reader of a file by its number.
    #[track_caller]
    pub fn of_file(playswarm: &Playswarm, file: usize, content: Content) -> CheckedReader {
        let url = playswarm.url().at(&format!("/stream/{file}"));
        CheckedReader { place: playswarm.place.clone(), url, content }
    }

    /// Reads a range and checks it.
    #[track_caller]
    pub fn read(&self, from: u64, length: u64) -> Timing {
        self.try_read(from, length).unwrap_or_else(|e| panic!("reading {length} bytes from {from} on: {e}"))
    }

    /// Reads a range. Returns an error if the connection fails; panics if a byte is wrong.
    #[track_caller]
    pub fn try_read(&self, from: u64, length: u64) -> io::Result<Timing> {
        let length = length.min(self.content.length - from);
        let start = Instant::now();
        let mut answer = http::get_range(&self.place, &self.url, from, Some(length))?;
        assert_eq!(answer.status, 206, "status code of a range");
        let mut first_byte = None;
        let mut buffer = vec![0; 1 << 16];
        let mut at = from;
        loop {
            let got = answer.read(&mut buffer)?;
            if got == 0 {
                break;
            }
            first_byte.get_or_insert_with(|| start.elapsed());
            if let Some(wrong) = self.content.first_difference(at, &buffer[..got]) {
                panic!("byte {wrong} differs from the torrent's");
            }
            at += got as u64;
        }
        assert_eq!(at, from + length, "end of the received range");
        Ok(Timing { first_byte: first_byte.unwrap_or_default(), whole: start.elapsed() })
    }

    /// Reads the whole file and checks it.
    #[track_caller]
    pub fn read_all(&self) -> Timing {
        self.read(0, self.content.length)
    }
}

/// The playback as seen by a viewer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Playback {
    /// Time from the request until enough was buffered to begin.
    pub start: Duration,
    /// Number of stalls.
    pub stalls: u32,
    /// Total duration of the stalls.
    pub stalled: Duration,
}

/// A model of a player. It begins with `buffer_s` seconds buffered and consumes at the film's rate.
/// When the buffer is empty, it stops until a second is buffered again. It reads at most
/// [`READ_AHEAD_S`] ahead.
pub struct Player {
    /// Bytes per second of film.
    pub bytes_per_s: u64,
    /// Seconds buffered before it begins.
    pub buffer_s: f64,
}

/// Seconds that players read ahead before they pause the connection.
const READ_AHEAD_S: f64 = 20.0;
/// Shortest stall that counts. A player's own output buffer hides shorter ones.
const NOTICED: Duration = Duration::from_millis(40);

impl Player {
    /// Plays `seconds` of the film from byte `from` on, checking each byte.
    #[track_caller]
    pub fn play(&self, reader: &CheckedReader, from: u64, seconds: f64) -> Playback {
        let session = self.watch(reader, from, seconds);
        session.end.unwrap_or_else(|e| panic!("{e}"));
        session.playback
    }

    /// As [`Self::play`], for a viewer whose session may fail: returns the playback until then.
    /// Panics only for a wrong byte.
    #[track_caller]
    pub fn watch(&self, reader: &CheckedReader, from: u64, seconds: f64) -> Session {
        let rate = self.bytes_per_s as f64;
        let length = ((seconds * rate) as u64).min(reader.content.length - from);
        let asked = Instant::now();
        let mut model = Model::new(self.buffer_s);
        let mut session = Session { asked, ..Session::new() };
        let mut got = 0u64;
        session.end = http::get_range(&reader.place, &reader.url, from, Some(length)).and_then(|mut answer| {
            let mut buffer = vec![0; 1 << 15];
            while got < length {
                let n = answer
                    .read(&mut buffer)
                    .and_then(|n| if n > 0 { Ok(n) } else { Err(ErrorKind::UnexpectedEof.into()) });
                let n = n.map_err(|e| io::Error::new(e.kind(), format!("after {got} of {length} bytes: {e}")))?;
                if let Some(wrong) = reader.content.first_difference(from + got, &buffer[..n]) {
                    panic!("byte {wrong} differs from the torrent's");
                }
                session.first_byte.get_or_insert_with(|| asked.elapsed());
                got += n as u64;
                let (before, now) = (model.playback, asked.elapsed().as_secs_f64());
                session.ahead_s = model.received(now, got as f64 / rate, got == length);
                session.note(before, model.playback, now, got);
                if session.ahead_s > READ_AHEAD_S {
                    std::thread::sleep(Duration::from_secs_f64(session.ahead_s - READ_AHEAD_S));
                }
            }
            Ok(())
        });
        if session.end.is_err() {
            let (before, now) = (model.playback, asked.elapsed().as_secs_f64());
            model.gave_up(now);
            session.note(before, model.playback, now, got);
        }
        session.began = model.began;
        session.shown_s = got as f64 / rate;
        session.playback = model.playback;
        session
    }
}

/// A viewer's session, complete or cut short.
#[derive(Debug)]
pub struct Session {
    /// Time of the request.
    pub asked: Instant,
    /// Time from the request to the first byte of the body.
    pub first_byte: Option<Duration>,
    /// Whether the picture ever began.
    pub began: bool,
    /// The playback. A stall that lasts at the end counts until then.
    pub playback: Playback,
    /// Each stall: its end and its length in seconds since the request, and the byte with which it
    /// ended.
    pub stalls: Vec<(f64, f64, u64)>,
    /// Seconds of film that were received.
    pub shown_s: f64,
    /// Seconds of film buffered when the last byte arrived.
    pub ahead_s: f64,
    /// The result of the session.
    pub end: io::Result<()>,
}

impl Session {
    fn new() -> Session {
        Session {
            asked: Instant::now(),
            first_byte: None,
            began: false,
            playback: Playback::default(),
            stalls: Vec::new(),
            shown_s: 0.0,
            ahead_s: 0.0,
            end: Ok(()),
        }
    }

    fn note(&mut self, before: Playback, after: Playback, now: f64, at: u64) {
        if after.stalls > before.stalls {
            self.stalls.push((now, (after.stalled - before.stalled).as_secs_f64(), at));
        }
    }
}

/// The player's clock. All times are in seconds and are passed in.
struct Model {
    buffer_s: f64,
    /// Seconds of film received.
    received: f64,
    /// Seconds of film shown up to `since`.
    shown: f64,
    /// Time at which the picture last started or stopped.
    since: f64,
    running: bool,
    began: bool,
    playback: Playback,
}

impl Model {
    fn new(buffer_s: f64) -> Model {
        let playback = Playback::default();
        Model { buffer_s, received: 0.0, shown: 0.0, since: 0.0, running: false, began: false, playback }
    }

    /// Records that `received` seconds of film have arrived at `now`, and with `done` that this is
    /// all. Returns the seconds buffered ahead.
    fn received(&mut self, now: f64, received: f64, done: bool) -> f64 {
        self.run_dry(now);
        self.received = received;
        if !self.running {
            let wanted = if self.began { 1.0 } else { self.buffer_s };
            if received - self.shown < wanted && !done {
                return 0.0;
            }
            if self.began {
                self.stood_still(now);
            } else {
                self.playback.start = Duration::from_secs_f64((now - self.since).max(0.0));
            }
            (self.since, self.running, self.began) = (now, true, true);
        }
        received - (self.shown + now - self.since)
    }

    /// Records that nothing more arrives. A stalled picture counts as stalled until `now`.
    fn gave_up(&mut self, now: f64) {
        self.run_dry(now);
        if self.began && !self.running {
            self.stood_still(now);
            self.since = now;
        }
    }

    /// Stops the picture once all received film was shown.
    fn run_dry(&mut self, now: f64) {
        let dry = self.since + (self.received - self.shown);
        if self.running && now > dry {
            (self.shown, self.since, self.running) = (self.received, dry, false);
        }
    }

    fn stood_still(&mut self, now: f64) {
        let still = Duration::from_secs_f64((now - self.since).max(0.0));
        if still > NOTICED {
            self.playback.stalls += 1;
            self.playback.stalled += still;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_never_stalls() {
        let mut model = Model::new(2.0);
        for i in 1..100 {
            model.received(f64::from(i) * 0.9, f64::from(i), false);
        }
        assert_eq!(model.playback.stalls, 0);
        assert!((model.playback.start.as_secs_f64() - 1.8).abs() < 0.01);
    }

    #[test]
    fn a_gap_longer_than_the_buffer_is_one_stall_of_the_difference() {
        let mut model = Model::new(2.0);
        model.received(1.0, 2.0, false); // begins at 1 s, dry at 3 s
        model.received(5.0, 2.5, false); // half a second is not enough to go on
        assert_eq!(model.playback.stalls, 0, "the stall has not ended yet");
        model.received(6.0, 4.0, false);
        assert_eq!(model.playback.stalls, 1);
        assert!((model.playback.stalled.as_secs_f64() - 3.0).abs() < 0.01);
    }

    #[test]
    fn a_picture_that_never_goes_on_is_a_stall_too() {
        let mut model = Model::new(2.0);
        model.gave_up(7.0);
        assert_eq!(model.playback.stalls, 0, "playback has not begun yet");
        model.received(7.0, 2.0, false);
        model.gave_up(13.0);
        assert_eq!(model.playback.stalls, 1);
        assert!((model.playback.stalled.as_secs_f64() - 4.0).abs() < 0.01);
    }
}
