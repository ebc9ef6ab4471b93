//! Passes foreign bytes through the index readers as the engine does, for the fuzz targets and the
//! tests with mutated films. Not part of the public interface.

use crate::live::{MAX_INIT_BYTES, MAX_UNIT_BYTES, Splitter, Unit, Unsplittable};
use crate::mux::TsMuxer;
use crate::{Container, Indexer, Locate, Sample, Samples, SeekPoint, Timeline};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Size of the sparse film in bytes. It is large enough that the guess at the index at its end
/// stays small beside [`MAX_HELD`].
const SPARSE_BYTES: u64 = 256 << 20;

/// Most bytes that reading an index or a search may hold, in addition to the bytes fed in one
/// round.
const MAX_HELD: usize = 3 << 20;

/// Most bytes of the sparse film that reading an index may request. The film is zeros except for
/// head and tail.
const MAX_FED: u64 = 64 << 20;

/// Most rounds of requests.
const MAX_ROUNDS: u32 = 20_000;

/// Most bytes that a reader of samples may hold: the largest sample, while it is read and once it
/// is ready, and the read-ahead.
const MAX_SAMPLES_HELD: usize = 36 << 20;

/// Bytes and samples after which reading samples stops. More would show nothing new.
const MAX_SAMPLES_FED: u64 = 4 << 20;
const MAX_SAMPLES: u32 = 2000;

/// Size in bytes of the pieces in which the sparse film is fed.
const BLOCK: u64 = 16 << 10;

/// Reads bytes as a complete film of a container. Then reads them as the head and the tail of a
/// large sparse film, cut at the position given by the last byte. Panics if a bound is broken.
/// Returns the timeline of the complete film if it is of that container.
pub fn film(container: Container, data: &[u8]) -> Option<Arc<Timeline>> {
    let head = &data[..data.len().min(Container::SNIFF_BYTES)];
    if Container::sniff(head) != container {
        return None;
    }
    let whole = Film { size: data.len() as u64, head: data, tail: &[] };
    let timeline = whole.play(container, |range| range);
    let cut = data.len() * usize::from(*data.last()?) / 255;
    let (head, tail) = data.split_at(cut);
    let sparse = Film { size: SPARSE_BYTES.max(data.len() as u64), head, tail };
    sparse.play(container, |range| range.start / BLOCK * BLOCK..range.end.next_multiple_of(BLOCK).min(sparse.size));
    Some(timeline)
}

/// Reads all samples of bytes as a film of a container, and muxes them. Panics if a bound or an
/// order is broken. Returns how many samples there were, if it is a film of that container.
pub fn samples(container: Container, data: &[u8]) -> Option<usize> {
    /// Most bytes that a muxer adds to a sample: tables, clock references and headers.
    const OVERHEAD: usize = 100 * 188;
    let head = &data[..data.len().min(Container::SNIFF_BYTES)];
    if Container::sniff(head) != container {
        return None;
    }
    let film = Film { size: data.len() as u64, head: data, tail: &[] };
    let timeline = film.index(container, &|range| range);
    let tracks: Vec<usize> = (0..timeline.tracks().len()).collect();
    let mut muxer = TsMuxer::new(&timeline, &tracks);
    let from = film.locate(&timeline, Duration::ZERO, &|range| range);
    let (mut count, mut stream) = (0, Vec::new());
    film.samples(&timeline, from, &|range| range, |sample| {
        count += 1;
        assert!(sample.dts_ns <= sample.pts_ns, "decoded after it is shown: {} {}", sample.dts_ns, sample.pts_ns);
        if let Some(muxer) = &mut muxer {
            stream.clear();
            muxer.write(&sample, &mut stream);
            assert!(stream.len().is_multiple_of(188) && stream.len() <= sample.data.len() * 2 + OVERHEAD);
        }
    });
    Some(count)
}

/// Splits bytes as a live stream, at once and in pieces of a size that the last byte gives. Panics
/// if both differ or a bound is broken. Returns how many restart points there were.
pub fn live_split(data: &[u8]) -> usize {
    let piece = usize::from(data.last().copied().unwrap_or_default()) + 1;
    let whole = Live::of(data, data.len().max(1));
    let pieces = Live::of(data, piece);
    assert_eq!(whole.failed, pieces.failed);
    // What no container is known for is passed on as it comes.
    if whole.known {
        assert!(whole.units == pieces.units, "in pieces of {piece}, the units differ");
    }
    whole.units.iter().filter(|unit| unit.restart).count()
}

/// A stream that was split.
struct Live {
    units: Vec<Unit>,
    known: bool,
    failed: Option<Unsplittable>,
}

impl Live {
    fn of(data: &[u8], piece: usize) -> Live {
        let (mut splitter, mut units, mut passed) = (Splitter::new(None), Vec::new(), 0);
        let mut failed = None;
        for (n, part) in data.chunks(piece).chain([&[][..]]).enumerate() {
            let last = n * piece >= data.len();
            let result = if last { splitter.finish() } else { splitter.push(part) };
            failed = failed.or(result.err());
            assert_eq!(failed, result.err(), "an error is final");
            assert!(splitter.held_bytes() <= 2 * MAX_INIT_BYTES + part.len(), "it holds {}", splitter.held_bytes());
            while let Some(unit) = splitter.poll() {
                assert!((1..=MAX_UNIT_BYTES).contains(&unit.bytes.len()));
                assert!(unit.init.as_ref().is_none_or(|init| init.len() <= MAX_INIT_BYTES && unit.restart));
                passed += unit.bytes.len();
                units.push(unit);
            }
        }
        assert!(passed <= data.len(), "more comes out than went in");
        assert!(failed.is_some() || splitter.held_bytes() == 0, "an end leaves nothing behind");
        let first = units.iter().find(|unit| unit.restart);
        assert!(first.is_none_or(|unit| unit.init.is_some()), "the first restart point has init bytes");
        Live { units, known: splitter.extension().is_some(), failed }
    }
}

/// A film of zeros except for its head and tail.
struct Film<'a> {
    size: u64,
    head: &'a [u8],
    tail: &'a [u8],
}

impl Film<'_> {
    fn bytes(&self, range: &Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        for (at, part) in [(0, self.head), (self.size - self.tail.len() as u64, self.tail)] {
            let (start, end) = (range.start.max(at), range.end.min(at + part.len() as u64));
            if start < end {
                bytes[(start - range.start) as usize..(end - range.start) as usize]
                    .copy_from_slice(&part[(start - at) as usize..(end - at) as usize]);
            }
        }
        bytes
    }

    /// Reads the index, then searches for three times and reads the first samples from there.
    fn play(&self, container: Container, cut: impl Fn(Range<u64>) -> Range<u64>) -> Arc<Timeline> {
        let timeline = self.index(container, &cut);
        for time in [Duration::ZERO, timeline.duration() / 3, timeline.duration() * 2] {
            let point = self.locate(&timeline, time, &cut);
            self.samples(&timeline, point, &cut, |_| ());
        }
        timeline
    }

    fn index(&self, container: Container, cut: &impl Fn(Range<u64>) -> Range<u64>) -> Arc<Timeline> {
        let mut indexer = Indexer::new(&format!("film.{}", ending(container)), self.size);
        self.feed(&mut indexer, Indexer::needed, Indexer::feed, Indexer::held_bytes, cut);
        let timeline = Arc::clone(indexer.timeline().expect("nothing more is needed"));
        check_timeline(&timeline);
        timeline
    }

    fn locate(&self, timeline: &Arc<Timeline>, time: Duration, cut: &impl Fn(Range<u64>) -> Range<u64>) -> SeekPoint {
        let mut locate = Locate::new(timeline, time);
        self.feed(&mut locate, Locate::needed, Locate::feed, Locate::held_bytes, cut);
        let point = locate.seek_point().expect("nothing more is needed");
        check_landing(timeline, &point);
        point
    }

    /// Reads the first samples of all tracks from a position on.
    fn samples(
        &self,
        timeline: &Arc<Timeline>,
        from: SeekPoint,
        cut: &impl Fn(Range<u64>) -> Range<u64>,
        mut take: impl FnMut(Sample),
    ) {
        let tracks: Vec<usize> = (0..timeline.tracks().len()).collect();
        let Some(mut samples) = Samples::new(timeline, &tracks, from) else { return };
        let (mut fed, mut read, mut rounds) = (0, 0, 0);
        while samples.end().is_none() && fed < MAX_SAMPLES_FED {
            while let Some(sample) = samples.next() {
                assert!(sample.track < tracks.len());
                assert!(sample.data.len() as u64 <= self.size && sample.offset <= self.size);
                take(sample);
                read += 1;
                if read >= MAX_SAMPLES {
                    return;
                }
            }
            let needed = samples.needed();
            assert_eq!(needed.is_empty(), samples.end().is_some(), "neither needs nor ends");
            rounds += 1;
            assert!(rounds <= MAX_ROUNDS, "it asked {rounds} times");
            for range in needed {
                assert!(range.start < range.end && range.end <= self.size, "it asked for {range:?} of {}", self.size);
                fed += range.end - range.start;
                let range = cut(range);
                samples.feed(range.start, &self.bytes(&range));
                assert!(samples.held_bytes() <= MAX_SAMPLES_HELD, "it holds {} bytes", samples.held_bytes());
            }
        }
    }

    fn feed<T>(
        &self,
        to: &mut T,
        needed: fn(&T) -> Vec<Range<u64>>,
        feed: fn(&mut T, u64, &[u8]),
        held: fn(&T) -> usize,
        cut: &impl Fn(Range<u64>) -> Range<u64>,
    ) {
        let (mut fed, mut rounds) = (0, 0);
        loop {
            let needed = needed(to);
            if needed.is_empty() {
                return;
            }
            rounds += 1;
            assert!(rounds <= MAX_ROUNDS, "it asked {rounds} times");
            for range in needed {
                assert!(range.start < range.end && range.end <= self.size, "it asked for {range:?} of {}", self.size);
                fed += range.end - range.start;
                assert!(fed <= MAX_FED.max(self.size.min(MAX_FED) * 4), "it asked for {fed} bytes");
                let range = cut(range);
                feed(to, range.start, &self.bytes(&range));
                assert!(held(to) <= MAX_HELD, "it holds {} bytes", held(to));
            }
        }
    }
}

fn ending(container: Container) -> &'static str {
    match container {
        Container::Mp4 => "mp4",
        Container::Matroska => "mkv",
        Container::MpegTs => "ts",
        Container::Mp3 => "mp3",
        Container::Flac => "flac",
        Container::Ogg => "ogg",
        Container::Avi => "avi",
        Container::Asf => "wmv",
        Container::Flv => "flv",
        Container::RealMedia => "rm",
        Container::MpegPs => "mpg",
        Container::Wav => "wav",
        Container::Aiff => "aiff",
        Container::Dv => "dv",
        Container::Other => "bin",
    }
}

fn check_timeline(timeline: &Timeline) {
    let size = timeline.size();
    for pair in timeline.keyframes().windows(2) {
        assert!(pair[0].time < pair[1].time && pair[0].from <= pair[1].from, "{pair:?} are not in order");
    }
    assert!(timeline.keyframes().iter().all(|k| k.from <= k.offset && k.offset < size), "a keyframe is past the end");
    let mut last = (0, Duration::ZERO);
    for n in 0..=8 {
        let (time, byte) = (timeline.duration() / 8 * n, size / 8 * u64::from(n));
        let next = (timeline.byte_at(time), timeline.time_at(byte));
        assert!(last.0 <= next.0 && next.0 <= size && last.1 <= next.1, "{last:?}, then {next:?}");
        last = next;
        let bytes = timeline.byte_range(time..time + Duration::from_secs(10));
        assert!(bytes.start <= bytes.end && bytes.end <= size, "{bytes:?} of {size}");
        assert!(timeline.bytes_per_s(time).is_none_or(|rate| rate.is_finite() && rate > 0.0));
    }
}

fn check_landing(timeline: &Timeline, seek_point: &SeekPoint) {
    let size = timeline.size();
    let in_order = seek_point.from <= seek_point.offset && seek_point.from <= seek_point.until;
    assert!(in_order && seek_point.offset <= size && seek_point.until <= size, "{seek_point:?} of {size}");
}
