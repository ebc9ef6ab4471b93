//! Sample tables read side by side: one sample after the other, from any sample on.
//!
//! `tables` follows a few samples through one table after the other. A cursor instead has a place
//! in each table, reads all of them in windows, and expands no more than the sample at hand.

use super::bytes::Bytes;
use super::movie::{Table, Trak};
use crate::held::{Held, Stop};
use std::ops::Range;

/// Bytes of a table requested at once.
const WINDOW_BYTES: u64 = 64 << 10;

/// Most frames of uncompressed sound that are one sample, as in FFmpeg.
const PCM_FRAMES: u64 = 1024;

/// A sample by its tables. Times in ticks of the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dts: i64,
    pub(super) pts: i64,
    pub(super) duration: i64,
    pub(super) key: bool,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// A place in a table. Its window is released when the next one is requested.
#[derive(Clone, Debug)]
struct Place {
    table: Table,
    /// Index of the entry that is read next.
    index: u64,
    window: Range<u64>,
}

impl Place {
    fn new(table: &Table) -> Place {
        Place { table: table.clone(), index: 0, window: 0..0 }
    }

    /// Returns the window that begins at the next entry.
    fn first_window(&self) -> Range<u64> {
        let start =
            (self.table.entries.start + self.index.saturating_mul(self.table.width)).min(self.table.entries.end);
        start..self.table.entries.end.min(start + WINDOW_BYTES / 24 * 24)
    }

    /// Returns the entry at the place without passing it; `None` at the end of the table.
    fn peek<'a>(&mut self, held: &'a mut Held) -> Result<Option<Bytes<'a>>, Stop> {
        if self.index >= self.table.len() {
            return Ok(None);
        }
        let start = self.table.entries.start + self.index * self.table.width;
        let entry = start..start + self.table.width;
        if held.get(entry.clone()).is_none() {
            let window = self.first_window();
            held.forget(std::mem::replace(&mut self.window, window.clone()));
            return Err(Stop::need(window));
        }
        Ok(held.get(entry).map(Bytes))
    }

    /// Returns the next entry and passes it.
    fn take<'a>(&mut self, held: &'a mut Held) -> Result<Option<Bytes<'a>>, Stop> {
        if self.peek(held)?.is_none() {
            return Ok(None);
        }
        let start = self.table.entries.start + self.index * self.table.width;
        self.index += 1;
        Ok(held.get(start..start + self.table.width).map(Bytes))
    }
}

/// A table of runs: counts of samples and a value.
#[derive(Clone, Debug)]
struct Runs {
    place: Place,
    left: u64,
    value: u32,
}

impl Runs {
    fn new(table: &Table) -> Runs {
        Runs { place: Place::new(table), left: 0, value: 0 }
    }

    /// Returns how many samples the run at the place still has, and its value; `None` at the end.
    fn run(&mut self, held: &mut Held) -> Result<Option<(u64, u32)>, Stop> {
        while self.left == 0 {
            let Some(mut entry) = self.place.take(held)? else { return Ok(None) };
            (self.left, self.value) = entry.u32().zip(entry.u32()).map_or((0, 0), |(n, value)| (u64::from(n), value));
        }
        Ok(Some((self.left, self.value)))
    }

    /// Passes samples of the run at the place.
    fn pass(&mut self, count: u64) {
        self.left -= count.min(self.left);
    }
}

/// The times of the samples of a track.
#[derive(Clone, Debug)]
struct Times {
    durations: Runs,
    offsets: Runs,
    /// Number of the next sample in the table of durations, and in that of offsets.
    sample: u64,
    offset_sample: u64,
    dts: i64,
}

impl Times {
    fn new(trak: &Trak) -> Times {
        let (durations, offsets) = (Runs::new(&trak.times), Runs::new(&trak.offsets));
        Times { durations, offsets, sample: 0, offset_sample: 0, dts: 0 }
    }

    /// Passes all samples before one.
    fn reach(&mut self, held: &mut Held, sample: u64) -> Result<(), Stop> {
        while self.sample < sample {
            let Some((left, delta)) = self.durations.run(held)? else { break };
            let count = left.min(sample - self.sample);
            self.pass(count, delta);
        }
        while self.offset_sample < sample {
            let Some((left, _)) = self.offsets.run(held)? else { break };
            let count = left.min(sample - self.offset_sample);
            self.offsets.pass(count);
            self.offset_sample += count;
        }
        Ok(())
    }

    fn pass(&mut self, count: u64, delta: u32) {
        self.durations.pass(count);
        self.sample += count;
        let ticks = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(i64::from(delta));
        self.dts = self.dts.saturating_add(ticks);
    }

    /// Goes back to an earlier sample of the run at the place.
    fn back(&mut self, count: u64) {
        self.durations.left += count;
        self.sample -= count;
        let ticks = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(i64::from(self.durations.value));
        self.dts = self.dts.saturating_sub(ticks);
    }

    /// Passes all samples that end before or at a decoding time.
    fn reach_time(&mut self, held: &mut Held, dts: i64) -> Result<(), Stop> {
        while self.dts < dts {
            let Some((left, delta)) = self.durations.run(held)? else { return Ok(()) };
            let whole = (dts - self.dts).checked_div(i64::from(delta)).unwrap_or(i64::MAX);
            let count = left.min(whole.unsigned_abs());
            self.pass(count, delta);
            if count < left {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns decoding time, presentation time and duration of the next sample; `None` at the end.
    fn next(&mut self, held: &mut Held) -> Result<Option<(i64, i64, i64)>, Stop> {
        let Some((_, duration)) = self.durations.run(held)? else { return Ok(None) };
        // Signed in version 1 only, but some files of version 0 have negative offsets.
        let offset = self.offsets.run(held)?.map_or(0, |(_, offset)| offset as i32);
        Ok(Some((self.dts, self.dts.saturating_add(i64::from(offset)), i64::from(duration))))
    }
}

/// The sample at which a cursor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// The last keyframe that is shown at or before a media time in ticks, else the first.
    Keyframe(i64),
    /// The first sample that ends after a media time in ticks.
    Time(i64),
}

/// A place in all tables of a track.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    aim: Option<Search>,
    times: Times,
    syncs: Option<Place>,
    /// The next keyframe at or after the next sample.
    sync: Option<u64>,
    chunks: Place,
    sizes: Place,
    places: Place,
    /// Samples of the run of chunks at the place: first chunk and samples per chunk.
    run: (u64, u64),
    /// The next chunk, and the samples left of the chunk that is being read.
    chunk: u64,
    left: u64,
    /// First sample of the run of chunks at the place.
    run_sample: u64,
    /// Offset in the file of the next sample.
    at: u64,
    sample: u64,
    count: u64,
    constant: u64,
    /// Frames of one sample, if they are uncompressed sound.
    frames: u64,
}

/// A search for the first sample.
#[derive(Clone, Debug)]
struct Search {
    aim: Aim,
    /// The times at the best sample so far.
    best: Option<Times>,
    found: bool,
    /// Whether the chunk of the sample was found, and samples in it before the sample.
    chunk_found: bool,
    before: u64,
}

impl Cursor {
    pub(super) fn new(trak: &Trak, aim: Aim) -> Cursor {
        let pcm = trak.about.codec.starts_with("pcm_") && trak.sizes.constant > 0 && trak.times.len() == 1;
        let bytes = pcm.then(|| pcm_bytes(trak)).flatten();
        Cursor {
            aim: Some(Search { aim, best: None, found: false, chunk_found: false, before: 0 }),
            times: Times::new(trak),
            syncs: trak.syncs.as_ref().map(Place::new),
            sync: None,
            chunks: Place::new(&trak.chunks),
            sizes: Place::new(&trak.sizes.table),
            places: Place::new(&trak.places),
            run: (0, 0),
            chunk: 0,
            left: 0,
            run_sample: 0,
            at: 0,
            sample: 0,
            count: trak.sizes.count,
            constant: bytes.unwrap_or(trak.sizes.constant),
            frames: if pcm { PCM_FRAMES } else { 1 },
        }
    }

    /// Returns the windows that the first sample is likely to need, to request them together.
    pub(super) fn windows(&self) -> Vec<Range<u64>> {
        let tables = [Some(&self.times.durations.place), Some(&self.times.offsets.place), self.syncs.as_ref()];
        let tables = tables.into_iter().chain([Some(&self.chunks), Some(&self.sizes), Some(&self.places)]).flatten();
        tables.map(Place::first_window).filter(|window| !window.is_empty()).collect()
    }

    /// Returns the next sample without passing it; `None` at the end of the tables.
    pub(super) fn peek(&mut self, held: &mut Held) -> Result<Option<Entry>, Stop> {
        if self.aim.is_some() {
            self.search(held)?;
        }
        if self.sample >= self.count || !self.enter_chunk(held)? {
            return Ok(None);
        }
        let Some((dts, pts, duration)) = self.times.next(held)? else { return Ok(None) };
        let frames = self.frames.min(self.left).min(self.count - self.sample);
        let size = match self.constant {
            0 => match self.size(held)? {
                Some(size) => size,
                None => return Ok(None),
            },
            size => size.saturating_mul(frames),
        };
        let key = match &mut self.syncs {
            None => true,
            Some(syncs) => {
                while self.sync.is_none_or(|sync| sync < self.sample) {
                    let Some(mut entry) = syncs.take(held)? else { break };
                    self.sync = entry.u32().map(|number| u64::from(number).saturating_sub(1));
                }
                self.sync == Some(self.sample)
            }
        };
        let duration = duration.saturating_mul(frames as i64);
        Ok(Some(Entry { dts, pts, duration, key, offset: self.at, size }))
    }

    /// Passes the sample that [`Cursor::peek`] returned.
    pub(super) fn pass(&mut self, held: &mut Held, entry: &Entry) -> Result<(), Stop> {
        let frames = self.frames.min(self.left).min(self.count - self.sample);
        self.sample += frames;
        self.left -= frames;
        self.at = self.at.saturating_add(entry.size);
        if self.constant == 0 {
            self.sizes.index += 1;
        }
        // The sample's own entries are here, so this needs no more.
        self.times.reach(held, self.sample)
    }

    /// Reads the size of the next sample.
    fn size(&mut self, held: &mut Held) -> Result<Option<u64>, Stop> {
        let width = self.sizes.table.width;
        let Some(mut entry) = self.sizes.peek(held)? else { return Ok(None) };
        Ok(match width {
            1 => entry.u8().map(u64::from),
            2 => entry.u16().map(u64::from),
            _ => entry.u32().map(u64::from),
        })
    }

    /// Enters the next chunk if the one before was read. Returns `false` at the end of the chunks.
    fn enter_chunk(&mut self, held: &mut Held) -> Result<bool, Stop> {
        while self.left == 0 {
            if self.chunk >= self.places.table.len() {
                return Ok(false);
            }
            // The run of chunks that the next chunk belongs to.
            while let Some(first) = self.next_run(held)? {
                if first > self.chunk {
                    break;
                }
                self.take_run(held)?;
            }
            self.places.index = self.chunk;
            let width = self.places.table.width;
            let Some(mut entry) = self.places.peek(held)? else { return Ok(false) };
            let at = if width == 4 { entry.u32().map(u64::from) } else { entry.u64() };
            self.at = at.unwrap_or(u64::MAX);
            self.left = self.run.1;
            self.chunk += 1;
        }
        Ok(true)
    }

    /// Returns the first chunk of the next run.
    fn next_run(&mut self, held: &mut Held) -> Result<Option<u64>, Stop> {
        let entry = self.chunks.peek(held)?;
        Ok(entry.and_then(|mut entry| entry.u32()).map(|first| u64::from(first).saturating_sub(1)))
    }

    /// Takes the next run, whose entry is available.
    fn take_run(&mut self, held: &mut Held) -> Result<(), Stop> {
        if let Some(mut entry) = self.chunks.take(held)?
            && let Some((first, each)) = entry.u32().zip(entry.u32())
        {
            self.run = (u64::from(first).saturating_sub(1), u64::from(each));
        }
        Ok(())
    }

    /// Moves to the first sample.
    fn search(&mut self, held: &mut Held) -> Result<(), Stop> {
        let Some(mut search) = self.aim.take() else { return Ok(()) };
        let result = self.search_with(held, &mut search);
        if result.is_err() {
            self.aim = Some(search);
        }
        result
    }

    fn search_with(&mut self, held: &mut Held, search: &mut Search) -> Result<(), Stop> {
        if !search.found {
            match (search.aim, &mut self.syncs) {
                (Aim::Keyframe(until), Some(syncs)) => {
                    self.sync = find_keyframe(held, syncs, &mut self.times, &mut search.best, until)?;
                    if let Some(best) = search.best.take() {
                        (self.sync, self.times) = (Some(best.sample), best);
                    }
                }
                (Aim::Keyframe(until) | Aim::Time(until), _) => self.times.reach_time(held, until)?,
            }
            self.sample = self.times.sample;
            search.found = true;
        }
        // Offsets may be a shorter table.
        self.times.reach(held, self.sample)?;
        if !search.chunk_found {
            search.before = self.find_chunk(held)?;
            search.chunk_found = true;
            // Frames are grouped from the start of the chunk, wherever the reading begins.
            let into = search.before % self.frames;
            search.before -= into;
            self.sample -= into;
            self.times.back(into);
            self.sizes.index = self.sample - search.before;
        }
        if !self.enter_chunk(held)? {
            return Ok(());
        }
        // Sizes of samples before it in its chunk.
        if self.constant > 0 {
            self.at = self.at.saturating_add(search.before.saturating_mul(self.constant));
            self.left -= search.before.min(self.left);
            search.before = 0;
        }
        while search.before > 0 {
            let Some(size) = self.size(held)? else { break };
            self.at = self.at.saturating_add(size);
            self.sizes.index += 1;
            self.left -= 1.min(self.left);
            search.before -= 1;
        }
        Ok(())
    }

    /// Finds the chunk of the next sample. Returns the number of samples in it before that one.
    fn find_chunk(&mut self, held: &mut Held) -> Result<u64, Stop> {
        loop {
            let next = self.next_run(held)?;
            let chunks = next.unwrap_or(self.places.table.len()).saturating_sub(self.run.0);
            let samples = chunks.saturating_mul(self.run.1);
            let into = self.sample - self.run_sample;
            if into < samples {
                self.chunk = self.run.0 + into / self.run.1;
                return Ok(into % self.run.1);
            }
            if next.is_none() {
                self.chunk = self.places.table.len();
                return Ok(0);
            }
            self.run_sample += samples;
            self.take_run(held)?;
        }
    }
}

/// Finds the last keyframe that is shown at or before a time, else the first. `best` keeps the
/// times at it. Returns the number of the first keyframe after it.
fn find_keyframe(
    held: &mut Held,
    syncs: &mut Place,
    times: &mut Times,
    best: &mut Option<Times>,
    until: i64,
) -> Result<Option<u64>, Stop> {
    while let Some(mut entry) = syncs.peek(held)? {
        // Numbers count from 1 here; some writers have a 0 for the first.
        let number = u64::from(entry.u32().unwrap_or_default()).saturating_sub(1);
        times.reach(held, number)?;
        let Some((_, pts, _)) = times.next(held)? else { break };
        if best.is_some() && pts > until {
            return Ok(Some(number));
        }
        syncs.index += 1;
        *best = Some(times.clone());
    }
    Ok(None)
}

/// Returns the bytes of one frame of uncompressed sound, whose table of sizes may say 1.
fn pcm_bytes(trak: &Trak) -> Option<u64> {
    let bits: u64 =
        trak.about.codec.trim_start_matches(|c: char| !c.is_ascii_digit()).split(['l', 'b']).next()?.parse().ok()?;
    let channels = u64::from(trak.about.audio?.0);
    Some(bits / 8 * channels).filter(|bytes| *bytes > 0)
}
