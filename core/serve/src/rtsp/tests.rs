//! Payload formats, descriptions and sessions on a real film, the demo's clip.
#![allow(clippy::unwrap_used)]

use super::film::Film;
use super::outlet::Seed;
use super::pace::{EAGER, EVEN, Profile, QUICK, STEADY};
use super::payload::{Format, MAX_PAYLOAD_BYTES};
use super::range::Range;
use super::scale::{Scale, Walk};
use super::sdp::describe;
use super::session::{Output, Played, Session, Start};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use playswarm_media::{Indexer, Locate, Sample, Samples, SeekPoint, Timeline, Track, TrackKind, TrackSetup};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Clip {
    bytes: Vec<u8>,
    timeline: Arc<Timeline>,
}

fn clip() -> Clip {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cli/demo/clip.mp4")).unwrap();
    let mut indexer = Indexer::new("clip.mp4", bytes.len() as u64);
    while let Some(range) = indexer.needed().into_iter().next() {
        indexer.feed(range.start, &bytes[range.start as usize..range.end as usize]);
    }
    Clip { timeline: indexer.timeline().unwrap().clone(), bytes }
}

impl Clip {
    fn film(&self, transport_stream: bool) -> Arc<Film> {
        Arc::new(Film::new(0, &self.timeline, transport_stream).unwrap())
    }

    fn samples(&self, film: &Film, from: Duration) -> (SeekPoint, Vec<Sample>) {
        let point = Locate::new(&self.timeline, from).seek_point().unwrap();
        let tracks = film.tracks(0..film.formats.len());
        let mut samples = Samples::new(&self.timeline, &tracks, point).unwrap();
        let mut found = Vec::new();
        while samples.end().is_none() {
            found.extend(std::iter::from_fn(|| samples.next()));
            if let Some(range) = samples.needed().into_iter().next() {
                samples.feed(range.start, &self.bytes[range.start as usize..range.end as usize]);
            }
        }
        (point, found)
    }
}

impl Clip {
    /// Returns the keyframes that a scale shows.
    fn keyframes(&self, tracks: &[usize], from: Duration, scale: Scale) -> Vec<Sample> {
        let (mut walk, mut to, mut found) = (Walk::new(scale), Some(from), Vec::new());
        while let Some(time) = to {
            let point = Locate::new(&self.timeline, time).seek_point().unwrap();
            assert!(walk.found(point.time), "with a whole index each search finds a new keyframe");
            let mut samples = Samples::new(&self.timeline, tracks, point).unwrap();
            found.push(loop {
                if let Some(sample) = samples.next() {
                    break sample;
                }
                let range = samples.needed().remove(0);
                samples.feed(range.start, &self.bytes[range.start as usize..range.end as usize]);
            });
            to = walk.next(&self.timeline);
        }
        found
    }
}

/// A packet as a client reads it.
#[derive(Clone, Debug, PartialEq)]
struct Packet {
    stream: usize,
    at: Instant,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

#[derive(Debug, Default)]
struct Sent {
    played: Vec<Played>,
    packets: Vec<Packet>,
    reports: usize,
    goodbyes: usize,
    /// In the order of sending: P for an answer, R for a report, M for media.
    order: String,
}

const SEED: Seed = Seed { ssrc: 7, sequence: 65_530, timestamp: u32::MAX - 1000 };

/// A session with the virtual time and the source of its samples.
struct Play {
    clip: Clip,
    session: Session,
    now: Instant,
    source: std::vec::IntoIter<Sample>,
}

impl Play {
    fn new(profile: Profile, transport_stream: bool) -> Play {
        Play::over(false, profile, transport_stream)
    }

    fn over(is_udp: bool, profile: Profile, transport_stream: bool) -> Play {
        let (clip, now) = (clip(), Instant::now());
        let film = clip.film(transport_stream);
        let mut session = Session::new(film.clone(), profile, is_udp, now, 0);
        (0..film.formats.len()).rev().for_each(|stream| session.set_up(now, stream, SEED));
        Play { clip, session, now, source: Vec::new().into_iter() }
    }

    fn play(&mut self, start: Option<f64>) -> Start {
        let start = start.map(Duration::from_secs_f64);
        let range = Some(Range { start, end: None }).filter(|range| range.start.is_some());
        let start = self.session.play(self.now, range, 1.0, Scale::NORMAL);
        if let Start::Jump(to) = start {
            let (point, samples) = self.clip.samples(&self.session.film().clone(), to);
            self.session.landed(point);
            self.source = samples.into_iter();
        }
        start
    }

    /// Plays at a scale.
    fn scaled(&mut self, range: Option<Range>, scale: &str) -> Start {
        let scale = Scale::parse(scale).unwrap();
        let start = self.session.play(self.now, range, 1.0, scale);
        let Start::Jump(to) = start else { return start };
        let film = self.session.film().clone();
        let tracks = self.session.tracks();
        self.source = match scale.is_by_keyframes() {
            false => {
                self.clip.samples(&film, to).1.into_iter().filter(|sample| tracks.contains(&sample.track)).collect()
            }
            true => self.clip.keyframes(&tracks, to, scale),
        }
        .into_iter();
        self.session.landed(Locate::new(&self.clip.timeline, to).seek_point().unwrap());
        start
    }

    /// Runs for some seconds of virtual time.
    fn run(&mut self, seconds: f64) -> Sent {
        let end = self.now + Duration::from_secs_f64(seconds);
        let mut sent = Sent::default();
        loop {
            while self.session.wants_sample() {
                match self.source.next() {
                    Some(sample) => self.session.offer(sample),
                    None => self.session.end(),
                }
            }
            match self.session.poll(self.now) {
                Some(output) => sent.take(self.now, output),
                None if self.session.wants_sample() => {}
                None => match self.session.next_timeout(self.now).filter(|at| *at < end) {
                    Some(at) => {
                        assert!(at > self.now, "a timeout in the past would be a busy loop");
                        self.now = at;
                    }
                    None => {
                        self.now = end;
                        return sent;
                    }
                },
            }
        }
    }
}

impl Sent {
    fn take(&mut self, at: Instant, output: Output) {
        match output {
            Output::Played(played) => {
                self.played.push(played);
                self.order.push('P');
            }
            Output::Send { is_rtcp: true, packet, .. } => {
                // The goodbye comes last.
                let ends = packet[packet.len() - 7] == 203;
                *if ends { &mut self.goodbyes } else { &mut self.reports } += 1;
                self.order.push('R');
            }
            Output::Send { stream, packet, .. } => {
                let read = rtp_types::RtpPacket::parse(&packet).unwrap();
                assert!(read.payload().len() <= MAX_PAYLOAD_BYTES);
                self.packets.push(Packet {
                    stream,
                    at,
                    sequence: read.sequence_number(),
                    timestamp: read.timestamp(),
                    marker: read.marker_bit(),
                    payload: read.payload().to_vec(),
                });
                self.order.push('M');
            }
        }
    }

    fn of(&self, stream: usize) -> Vec<&Packet> {
        self.packets.iter().filter(|packet| packet.stream == stream).collect()
    }

    fn span(&self) -> Duration {
        self.packets.last().unwrap().at - self.packets.first().unwrap().at
    }
}

fn follow(packets: &[&Packet], mut sequence: u16) -> u16 {
    for packet in packets {
        assert_eq!(packet.sequence, sequence);
        sequence = sequence.wrapping_add(1);
    }
    sequence
}

/// Returns the NAL units of H.264 packets, put together as RFC 6184 says.
fn units(packets: &[&Packet]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for packet in packets {
        match packet.payload[0] & 0x1f {
            28 => {
                let (indicator, header, body) = (packet.payload[0], packet.payload[1], &packet.payload[2..]);
                if header & 0x80 != 0 {
                    found.push(vec![indicator & 0xe0 | header & 0x1f]);
                }
                found.last_mut().unwrap().extend_from_slice(body);
            }
            _ => found.push(packet.payload.clone()),
        }
    }
    found
}

#[test]
fn every_picture_and_sound_of_a_film_arrives_whole_and_at_its_time() {
    let mut play = Play::new(EAGER, false);
    assert_eq!(play.play(Some(0.0)), Start::Jump(Duration::ZERO));
    let sent = play.run(120.0);
    let film = play.session.film().clone();
    let (_, samples) = play.clip.samples(&film, Duration::ZERO);
    let tracks = [film_track(&play, 0), film_track(&play, 1)];
    assert_eq!(samples.iter().filter(|sample| sample.pts_ns < 0).count(), 1, "the priming of the sound");
    let of = |stream: usize| {
        samples.iter().filter(move |sample| sample.track == tracks[stream] && (stream == 0 || sample.pts_ns >= 0))
    };
    let sets = play.clip.timeline.setups()[film_track(&play, 0)].parameter_sets("h264").unwrap();
    let expected: Vec<Vec<u8>> = of(0).flat_map(|sample| sets.units(&sample.data).map(<[u8]>::to_vec)).collect();
    assert_eq!(units(&sent.of(0)), expected);
    let pictures: Vec<u32> = sent.of(0).iter().filter(|packet| packet.marker).map(|packet| packet.timestamp).collect();
    let base = sent.played[0].streams[0].2;
    let times: Vec<u32> = of(0).map(|sample| base.wrapping_add((sample.pts_ns as f64 * 9e-5).round() as u32)).collect();
    assert_eq!(pictures, times);
    // Access unit headers are two bytes of length and two of size and index.
    let sound: Vec<u8> = sent.of(1).iter().flat_map(|packet| packet.payload[4..].to_vec()).collect();
    assert_eq!(sound, of(1).flat_map(|sample| sample.data.clone()).collect::<Vec<u8>>());
    follow(&sent.of(0), SEED.sequence);
    follow(&sent.of(1), SEED.sequence);
    assert_eq!(sent.goodbyes, 2);
    assert!(sent.order.starts_with("PRRM") && sent.order.ends_with("RR"), "an answer, reports, media, goodbyes");
}

fn film_track(play: &Play, stream: usize) -> usize {
    play.session.film().formats[stream].track.unwrap()
}

#[test]
fn ffmpeg_gets_a_burst_and_gstreamer_none() {
    for (profile, least, most) in [(EAGER, 9.0, 12.0), (EVEN, 0.0, 0.7), (STEADY, 0.0, 0.9)] {
        let mut play = Play::new(profile, false);
        play.play(None);
        let sent = play.run(0.2);
        let base = sent.played[0].streams[0].2;
        let ahead = f64::from(sent.of(0).last().unwrap().timestamp.wrapping_sub(base)) / 90_000.0;
        assert!((least..most).contains(&ahead), "{}: {ahead} s", profile.name);
    }
}

#[test]
fn a_film_takes_its_duration_to_send_after_the_burst() {
    let mut play = Play::new(EVEN, false);
    play.play(None);
    let sent = play.run(120.0);
    let duration = play.clip.timeline.duration();
    assert!(sent.span() + Duration::from_secs(1) > duration && sent.span() < duration + Duration::from_secs(1));
}

#[test]
fn a_jump_lands_on_its_keyframe_and_no_sequence_number_is_lost() {
    let mut play = Play::new(EAGER, false);
    play.play(Some(0.0));
    let first = play.run(0.5);
    // PAUSE, then PLAY, as FFmpeg does it.
    play.session.pause(play.now);
    let rest = play.run(0.1);
    assert_eq!(play.play(Some(20.5)), Start::Jump(Duration::from_millis(20_500)));
    let second = play.run(60.0);
    let landed = play.clip.timeline.keyframe_at(Duration::from_millis(20_500)).0.unwrap().time;
    assert_eq!(second.played[0].start, landed);
    let next = follow(&rest.of(0), follow(&first.of(0), SEED.sequence));
    assert_eq!(second.played[0].streams[0].1, next);
    follow(&second.of(0), next);
    let base = second.played[0].streams[0].2;
    assert_eq!(second.of(0)[0].timestamp, base, "the first picture has the time of the answer");
    let before = first.of(0).iter().map(|packet| base.wrapping_sub(packet.timestamp)).max().unwrap();
    assert!(before < 90_000 * 60, "timestamps rise at a jump");
    // A player decodes all from the keyframe up to the time asked for, so it comes at once.
    let asked = base.wrapping_add(((20.5 - landed.as_secs_f64()) * 90_000.0) as u32);
    let shown = second.of(0).into_iter().find(|packet| packet.timestamp >= asked).unwrap();
    assert!(shown.at - second.packets[0].at < Duration::from_millis(10));
}

#[test]
fn a_jump_over_udp_ends_the_picture_in_work() {
    let mut halves = 0;
    for wait in 1..200 {
        let mut play = Play::over(true, QUICK, false);
        play.play(Some(0.0));
        let before = play.run(0.001 * f64::from(wait));
        play.play(Some(20.5));
        let after = play.run(1.0);
        let next = after.played[0].streams[0].1;
        let all: Vec<&Packet> = before.of(0).into_iter().chain(after.of(0)).collect();
        follow(&all, SEED.sequence);
        let old: Vec<&&Packet> = all.iter().filter(|packet| next.wrapping_sub(packet.sequence) as i16 > 0).collect();
        assert!(old.last().is_none_or(|packet| packet.marker), "a player would decode half a picture");
        halves += usize::from(before.of(0).last().is_some_and(|packet| !packet.marker));
    }
    assert!(halves > 0, "no jump came within a picture");
}

#[test]
fn a_pause_loses_nothing_and_sends_nothing() {
    let mut play = Play::new(EVEN, false);
    play.play(Some(5.0));
    let first = play.run(2.0);
    play.session.pause(play.now);
    let rest = play.run(600.0);
    assert!(rest.packets.len() < 60 && rest.reports == 0, "only the picture in work");
    assert_eq!(play.play(None), Start::Continue);
    let second = play.run(120.0);
    let all: Vec<&Packet> = [&first, &rest, &second].into_iter().flat_map(|sent| sent.of(0)).collect();
    follow(&all, SEED.sequence);
    let (_, samples) = play.clip.samples(&play.session.film().clone(), Duration::from_secs(5));
    let pictures = samples.iter().filter(|sample| sample.track == film_track(&play, 0)).count();
    assert_eq!(all.iter().filter(|packet| packet.marker).count(), pictures);
}

#[test]
fn play_waits_for_the_first_sample_but_not_for_ever() {
    let mut play = Play::new(STEADY, false);
    assert_eq!(play.session.play(play.now, None, 1.0, Scale::NORMAL), Start::Jump(Duration::ZERO));
    assert_eq!(play.session.poll(play.now), None);
    let later = play.now + Duration::from_secs(8);
    assert_eq!(play.session.next_timeout(play.now), Some(later));
    assert!(matches!(play.session.poll(later), Some(Output::Played(_))));
}

#[test]
fn another_request_releases_a_play_that_waits() {
    let mut play = Play::new(STEADY, false);
    play.session.play(play.now, Some(Range { start: Some(Duration::from_secs(4)), end: None }), 1.0, Scale::NORMAL);
    play.session.release(play.now);
    let Some(Output::Played(played)) = play.session.poll(play.now) else { panic!("no answer") };
    assert_eq!(played.start, Duration::from_secs(4));
}

#[test]
fn a_time_past_the_end_is_the_end() {
    let mut play = Play::new(EAGER, false);
    assert_eq!(play.play(Some(1e6)), Start::Continue);
    let sent = play.run(1.0);
    assert_eq!((sent.order.as_str(), sent.goodbyes), ("PRRRR", 2));
    assert_eq!(sent.played[0].start, play.clip.timeline.duration());
    // It can be played again.
    assert_eq!(play.play(None), Start::Jump(Duration::ZERO));
    assert!(play.run(1.0).packets.len() > 100);
}

#[test]
fn the_end_is_said_again_where_a_datagram_may_be_lost() {
    for (is_udp, times) in [(false, 1), (true, 4)] {
        let mut play = Play::over(is_udp, Profile::of("Lavf59.27.100", is_udp), false);
        play.play(Some(35.0));
        let sent = play.run(60.0);
        assert_eq!(sent.goodbyes, times * play.session.film().formats.len());
    }
}

#[test]
fn a_range_ends_where_it_says() {
    let mut play = Play::new(EAGER, false);
    let range = Range { start: Some(Duration::ZERO), end: Some(Duration::from_secs(3)) };
    play.session.play(play.now, Some(range), 1.0, Scale::NORMAL);
    let (_, samples) = play.clip.samples(&play.session.film().clone(), Duration::ZERO);
    play.source = samples.into_iter();
    let sent = play.run(30.0);
    assert_eq!(sent.goodbyes, 2);
    let base = sent.played[0].streams[0].2;
    let last = sent.of(0).iter().map(|packet| packet.timestamp.wrapping_sub(base)).max().unwrap();
    assert!((2 * 90_000..4 * 90_000).contains(&last), "{last}");
}

/// Returns the times of pictures in seconds, as a client computes them from an answer to PLAY.
fn times(sent: &Sent) -> Vec<f64> {
    let base = sent.played.last().unwrap().streams[0].2;
    let last = sent.packets.iter().filter(|packet| packet.stream == 0 && packet.marker);
    last.map(|packet| f64::from(packet.timestamp.wrapping_sub(base) as i32) / 90_000.0).collect()
}

fn from(start: f64, end: Option<f64>) -> Option<Range> {
    Some(Range { start: Some(Duration::from_secs_f64(start)), end: end.map(Duration::from_secs_f64) })
}

#[test]
fn at_twice_the_pace_all_pictures_come_in_half_the_time_and_no_sound() {
    let mut play = Play::new(EVEN, false);
    play.play(Some(0.0));
    let film_s = play.clip.timeline.duration().as_secs_f64();
    let normal = times(&play.run(120.0));
    let mut play = Play::new(EVEN, false);
    assert_eq!(play.scaled(from(0.0, None), "2"), Start::Jump(Duration::ZERO));
    let sent = play.run(120.0);
    assert!(sent.of(1).is_empty() && sent.goodbyes == 2);
    let halved: Vec<f64> = normal.iter().map(|time| time / 2.0).collect();
    assert!(times(&sent).iter().zip(&halved).all(|(a, b)| (a - b).abs() < 2e-5) && halved.len() == times(&sent).len());
    let span = sent.span().as_secs_f64();
    assert!((film_s / 2.0 - 0.5..film_s / 2.0 + 0.5).contains(&span), "{span}");
    follow(&sent.of(0), SEED.sequence);
}

#[test]
fn fast_forward_shows_keyframes_at_its_pace() {
    // The clip has a keyframe each two seconds up to 34. At most five pictures come in a second.
    let all: Vec<f64> = (0..18).map(|n| f64::from(n) * 2.0).collect();
    for (scale, factor, expected) in [("4", 4.0, &all[..]), ("64", 64.0, &[0.0, 12.0, 24.0, 34.0])] {
        let mut play = Play::new(EVEN, false);
        play.scaled(from(0.0, None), scale);
        let sent = play.run(60.0);
        let shown: Vec<f64> = times(&sent).iter().map(|time| (time * factor).round()).collect();
        assert_eq!(shown, expected, "{scale}");
        let span = sent.span().as_secs_f64() - expected.last().unwrap() / factor;
        assert!(span.abs() < 0.5, "{scale}: {span}");
        assert!(sent.of(1).is_empty());
    }
}

#[test]
fn a_film_runs_backward_and_forward_again_and_its_timestamps_rise() {
    let mut play = Play::new(EVEN, false);
    play.play(Some(10.0));
    let before = play.run(3.0);
    // Without a range it turns where it is.
    assert!(matches!(play.scaled(None, "-4"), Start::Jump(at) if (12.5..13.1).contains(&at.as_secs_f64())));
    let back = play.run(60.0);
    let shown: Vec<f64> = times(&back).iter().map(|time| 12.0 - (time * 4.0).round()).collect();
    assert_eq!(shown, [12.0, 10.0, 8.0, 6.0, 4.0, 2.0, 0.0]);
    assert_eq!(back.goodbyes, 2, "the film's beginning is the end");
    let span = back.span().as_secs_f64();
    assert!((2.8..3.2).contains(&span), "{span}");
    play.play(Some(0.0));
    let after = play.run(2.0);
    let next = follow(&back.of(0), follow(&before.of(0), SEED.sequence));
    follow(&after.of(0), next);
    let base = before.played[0].streams[0].2;
    let since = |packet: &&Packet| packet.timestamp.wrapping_sub(base) as i32;
    let [end, begin] = [before.of(0).iter().map(since).max(), back.of(0).iter().map(since).min()].map(Option::unwrap);
    assert!(begin > end, "{begin} {end}");
    let [end, begin] = [back.of(0).iter().map(since).max(), after.of(0).iter().map(since).min()].map(Option::unwrap);
    assert!(begin > end, "{begin} {end}");
    assert!(after.of(1).len() > 10, "sound comes back");
}

#[test]
fn a_backward_range_ends_where_it_says() {
    let mut play = Play::new(EAGER, false);
    play.scaled(from(1e6, Some(29.0)), "-1");
    let sent = play.run(30.0);
    let shown: Vec<f64> = times(&sent).iter().map(|time| 34.0 - time.round()).collect();
    assert_eq!((shown, sent.goodbyes), (vec![34.0, 32.0, 30.0], 2));
}

#[test]
fn a_transport_stream_and_sound_alone_have_their_own_pace() {
    assert!(!Play::new(STEADY, true).session.can_scale());
    let (clip, now) = (clip(), Instant::now());
    let mut session = Session::new(clip.film(false), STEADY, false, now, 0);
    session.set_up(now, 1, SEED);
    assert!(!session.can_scale());
    session.set_up(now, 0, SEED);
    assert!(session.can_scale());
}

#[test]
fn a_transport_stream_has_whole_packets_and_null_packets_while_the_swarm_is_slow() {
    let mut play = Play::new(STEADY, true);
    assert_eq!(play.session.film().formats[0].payload_type, 33);
    play.play(None);
    let sent = play.run(3.0);
    for packet in &sent.packets {
        assert_eq!(packet.payload.len() % 188, 0);
        assert!(packet.payload.chunks(188).all(|packet| packet[0] == 0x47));
    }
    follow(&sent.of(0), SEED.sequence);
    let pids = |sent: &Sent| {
        let all = sent.packets.iter().flat_map(|packet| packet.payload.chunks(188).map(<[u8]>::to_vec));
        all.map(|packet| u16::from_be_bytes([packet[1] & 0x1f, packet[2]])).collect::<Vec<u16>>()
    };
    assert!(pids(&sent).starts_with(&[0]), "tables come first");
    // The swarm stalls: no sample comes, and the source has not ended.
    let (mut now, mut nulls) = (play.now, Sent::default());
    let end = now + Duration::from_secs(10);
    while now < end {
        match play.session.poll(now) {
            Some(output) => nulls.take(now, output),
            None => now = play.session.next_timeout(now).unwrap(),
        }
    }
    let silent = nulls.packets.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(silent < Duration::from_secs(1), "VLC gives up after two seconds: {silent:?}");
    assert!(pids(&nulls).ends_with(&[0x1fff]));
}

#[test]
fn a_description_is_what_another_implementation_reads() {
    let (clip, server) = (clip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    let film = clip.film(false);
    let text = describe(1, "clip", server, Some(clip.timeline.duration()), &film.formats);
    let read = sdp_types::Session::parse(text.as_bytes()).unwrap();
    assert_eq!(read.medias.len(), 2);
    assert!(read.get_first_attribute_value("range").unwrap().unwrap().starts_with("npt=0-36"));
    let rtpmap = |n: usize| read.medias[n].get_first_attribute_value("rtpmap").unwrap().unwrap().to_owned();
    assert_eq!((rtpmap(0).as_str(), rtpmap(1).starts_with("97 mpeg4-generic/")), ("96 H264/90000", true));
    let video = read.medias[0].get_first_attribute_value("fmtp").unwrap().unwrap();
    assert!(video.contains("packetization-mode=1") && video.contains("sprop-parameter-sets=Z"), "{video}");
    assert!(read.medias[1].get_first_attribute_value("fmtp").unwrap().unwrap().contains("mode=AAC-hbr"));
}

fn format(codec: &str, kind: TrackKind, config: &[u8]) -> Option<Format> {
    let mut track = Track::default();
    (track.kind, track.codec, track.audio) = (kind, codec.into(), Some((2, 48_000)));
    let mut setup = TrackSetup::default();
    setup.config = config.to_vec();
    Format::of(0, &track, &setup, 96)
}

fn payloads(codec: &str, kind: TrackKind, data: &[u8], key: bool) -> Vec<(bool, Vec<u8>)> {
    let mut sample = Sample::default();
    (sample.data, sample.key) = (data.to_vec(), key);
    let payloads = format(codec, kind, &[]).unwrap().split(&sample);
    assert!(payloads.iter().all(|payload| payload.data.len() <= MAX_PAYLOAD_BYTES));
    payloads.into_iter().map(|payload| (payload.marker, payload.data)).collect()
}

#[test]
fn long_units_of_h265_are_fragmented_and_put_together_again() {
    let long: Vec<u8> = [0x26, 0x01].into_iter().chain((0..5000).map(|n| (n % 251) as u8 | 1)).collect();
    let stream = [&[0, 0, 0, 1, 0x40, 0x01, 9][..], &[0, 0, 1], &long].concat();
    let found = payloads("hevc", TrackKind::Video, &stream, true);
    assert_eq!(found[0], (false, vec![0x40, 0x01, 9]));
    let mut unit = vec![found[1].1[2] << 1 & 0x7e, found[1].1[1]];
    for (n, (marker, data)) in found[1..].iter().enumerate() {
        assert_eq!((data[0] >> 1, data[2] >> 7 == 1, data[2] >> 6 & 1 == 1), (49, n == 0, *marker));
        unit.extend_from_slice(&data[3..]);
    }
    assert_eq!(unit, long);
}

#[test]
fn frames_of_sound_carry_their_headers() {
    let ac3 = payloads("ac3", TrackKind::Audio, &[7; 2000], true);
    assert_eq!((ac3.len(), &ac3[0].1[..2], &ac3[1].1[..2], ac3[1].0), (2, &[1, 2][..], &[3, 2][..], true));
    assert_eq!(payloads("ac3", TrackKind::Audio, &[7; 100], true)[0].1[..2], [0, 1]);
    let mp3 = payloads("mp3", TrackKind::Audio, &[7; 1500], true);
    assert_eq!((&mp3[0].1[..4], &mp3[1].1[..4]), (&[0; 4][..], &[0, 0, 5, 0x74][..]));
    assert_eq!(payloads("opus", TrackKind::Audio, &[1, 2, 3], true), [(false, vec![1, 2, 3])]);
}

#[test]
fn pictures_of_vp8_and_vp9_carry_their_descriptors() {
    let first = |codec: &str, key: bool| {
        let found = payloads(codec, TrackKind::Video, &[7; 3000], key);
        found.iter().map(|(marker, data)| (*marker, data[0])).collect::<Vec<_>>()
    };
    assert_eq!(first("vp8", true), [(false, 0x10), (false, 0), (true, 0)]);
    assert_eq!(first("vp9", true), [(false, 0x08), (false, 0), (true, 0x04)]);
    assert_eq!(first("vp9", false), [(false, 0x48), (false, 0x40), (true, 0x44)]);
}

#[test]
fn uncompressed_sound_is_sent_from_the_highest_byte_on_and_at_its_time() {
    let of = |codec: &str, data: &[u8]| {
        let mut sample = Sample::default();
        sample.data = data.to_vec();
        let format = format(codec, TrackKind::Audio, &[]).unwrap();
        (format.encoding.clone(), format.split(&sample))
    };
    let (encoding, payloads) = of("pcm_s16le", &[0x34, 0x12, 0x78, 0x56, 9]);
    assert_eq!((encoding.as_str(), &payloads[0].data[..]), ("L16/48000/2", &[0x12, 0x34, 0x56, 0x78][..]));
    assert_eq!(of("pcm_u8", &[0x80, 0xff]).1[0].data, [0, 0, 0x7f, 0]);
    assert_eq!(of("pcm_s16be", &[1, 2, 3, 4]).1[0].data, [1, 2, 3, 4]);
    let (encoding, payloads) = of("pcm_s24le", &[7; 6 * 1000]);
    // 233 frames of six bytes fit.
    assert_eq!((encoding.as_str(), payloads.len(), payloads[1].data.len()), ("L24/48000/2", 5, 1398));
    assert_eq!(payloads.iter().map(|p| p.after_ns).collect::<Vec<_>>()[..2], [0, 233 * 1_000_000_000 / 48_000]);
    assert!(format("pcm_f32le", TrackKind::Audio, &[]).is_none());
}

#[test]
fn vorbis_has_its_headers_in_the_description_and_long_packets_in_fragments() {
    assert!(format("vorbis", TrackKind::Audio, &[]).is_none());
    let config = [&[2, 3, 131][..], &[1; 3], &[3; 131], &[5; 200]].concat();
    let format = format("vorbis", TrackKind::Audio, &config).unwrap();
    assert_eq!(format.encoding, "VORBIS/48000/2");
    let text = format.parameters.clone().unwrap();
    let packed = BASE64.decode(text.strip_prefix("configuration=").unwrap()).unwrap();
    // One configuration, its identification and length, two lengths of headers; 131 takes two bytes.
    assert_eq!(packed[..13], [0, 0, 0, 1, 0, 0, 1, 1, 78, 2, 3, 0x81, 3]);
    assert_eq!(packed[13..], [vec![1; 3], vec![3; 131], vec![5; 200]].concat());
    let mut sample = Sample::default();
    sample.data = vec![9; 3000];
    let heads: Vec<_> = format.split(&sample).iter().map(|p| p.data[..6].to_vec()).collect();
    assert_eq!(heads, [[0, 0, 1, 0x40, 5, 114], [0, 0, 1, 0x80, 5, 114], [0, 0, 1, 0xc0, 0, 212]]);
    sample.data = vec![9; 300];
    assert_eq!(format.split(&sample)[0].data[..6], [0, 0, 1, 1, 1, 44]);
}

#[test]
fn obus_of_av1_are_sent_without_sizes_and_put_together_again() {
    let frame: Vec<u8> = (0..3000).map(|n| n as u8).collect();
    // A temporal delimiter, a sequence header, a frame with an extension header, and padding.
    let unit = [&[0x12, 0, 0x0a, 2, 7, 8, 0x36, 0x20, 0xb8, 0x17], &frame[..], &[0x7a, 1, 0]].concat();
    let config = [0x81, 0x28, 0x80, 0, 0x0a, 2, 7, 8];
    let format = format("av1", TrackKind::Video, &config).unwrap();
    assert_eq!(format.parameters.as_deref(), Some("profile=1;level-idx=8;tier=1"));
    let mut sample = Sample::default();
    (sample.data, sample.key) = (unit.clone(), true);
    let payloads = format.split(&sample);
    // One element each. The first packet begins a sequence; those of the frame continue one another.
    let heads: Vec<_> = payloads.iter().map(|payload| (payload.marker, payload.data[0])).collect();
    assert_eq!(heads, [(false, 0x18), (false, 0x50), (false, 0xd0), (true, 0x90)]);
    assert_eq!(payloads[0].data[1..], [0x08, 7, 8]);
    let joined: Vec<u8> = payloads[1..].iter().flat_map(|payload| payload.data[1..].to_vec()).collect();
    assert_eq!(joined, [&[0x34, 0x20], &frame[..]].concat());
    // A keyframe without a sequence header gets that of the configuration, another picture none.
    sample.data = unit[6..].to_vec();
    assert_eq!(format.split(&sample)[0].data, [0x18, 0x08, 7, 8]);
    sample.key = false;
    assert_eq!(format.split(&sample)[0].data[..2], [0x50, 0x34]);
    sample.data = vec![0x32, 0xff, 0xff];
    assert!(format.split(&sample).is_empty(), "a size past the end");
}

#[test]
fn pictures_of_mpeg_4_have_their_headers_in_the_description() {
    let format = format("mpeg4", TrackKind::Video, &[0, 0, 1, 0xb0, 0xf5, 0, 0, 1]).unwrap();
    assert_eq!(format.parameters.as_deref(), Some("profile-level-id=245;config=000001B0F5000001"));
    let found = payloads("mpeg4", TrackKind::Video, &[7; 3000], true);
    assert_eq!(
        found.iter().map(|(marker, data)| (*marker, data.len())).collect::<Vec<_>>(),
        [(false, 1400), (false, 1400), (true, 200)]
    );
}

#[test]
fn codecs_without_a_common_format_have_none() {
    for (codec, kind) in [("eac3", TrackKind::Audio), ("dts", TrackKind::Audio), ("mpeg2video", TrackKind::Video)] {
        assert!(format(codec, kind, &[]).is_none(), "{codec}");
    }
    assert!(format("aac", TrackKind::Audio, &[]).is_none(), "samples with ADTS headers");
    assert!(format("h264", TrackKind::Video, &[9, 9]).is_none(), "a configuration that cannot be read");
}
