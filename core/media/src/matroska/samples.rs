//! Samples of a Matroska film: the frames of its blocks, in the order of the file.

use super::blocks::{BLOCK_HEAD, Block, Blocks};
use super::ebml::vint;
use super::lacing::frames;
use super::tracks::{self, Coding};
use crate::bisect::Short;
use crate::codec::audio;
use crate::held::{Held, Stop};
use crate::samples::order::{self, Order};
use crate::samples::{Demux, MAX_SAMPLE_BYTES, Plan, READ_AHEAD_BYTES, Sample, Source, Starts, TrackSetup};
use crate::timeline::TrackKind;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Bytes requested at once if the main track is not read, which most of the file belongs to.
const SPARSE_BYTES: u64 = 16 << 10;

/// What the index knows of the samples of a film.
#[derive(Debug)]
pub(super) struct Film {
    film: Arc<tracks::Film>,
    /// The file's own timestamp of the film's start, in microseconds.
    origin_us: i64,
    setups: Vec<TrackSetup>,
}

impl Film {
    pub(super) fn new(film: Arc<tracks::Film>, origin_us: i64) -> Arc<Film> {
        let timescale = u32::try_from(1_000_000_000 / film.scale.max(1)).unwrap_or(1).max(1);
        let setup = |entry: &tracks::Entry| TrackSetup { config: entry.config.clone(), timescale, in_band: None };
        let setups = film.tracks.iter().map(setup).collect();
        Arc::new(Film { film, origin_us, setups })
    }
}

impl Source for Film {
    fn setups(&self) -> &[TrackSetup] {
        &self.setups
    }

    fn demux(self: Arc<Self>, starts: Starts) -> Box<dyn Demux> {
        let main = self.film.main().map(|entry| entry.number);
        let order = |(entry, setup): (&tracks::Entry, &TrackSetup)| {
            let frame_ns = entry.frame_ns.and_then(|ns| i64::try_from(ns).ok());
            Order::new(order::depth(&entry.track.codec, setup), frame_ns)
        };
        let whole = starts.tracks().any(|index| self.film.tracks.get(index).map(|entry| entry.number) == main);
        Box::new(Reader {
            blocks: Blocks::new(Arc::clone(&self.film), starts.from.from),
            orders: self.film.tracks.iter().zip(&self.setups).map(order).collect(),
            ahead: if whole { READ_AHEAD_BYTES } else { SPARSE_BYTES },
            film: self,
            starts,
            block: None,
            ready: VecDeque::new(),
        })
    }
}

/// A reader of the chosen tracks.
#[derive(Debug)]
struct Reader {
    film: Arc<Film>,
    starts: Starts,
    blocks: Blocks,
    /// The order of pictures of each track.
    orders: Vec<Order>,
    /// Bytes requested at once.
    ahead: u64,
    /// The block whose bytes are needed.
    block: Option<Block>,
    /// The frames of the last block.
    ready: VecDeque<Sample>,
}

impl Reader {
    /// Requests the bytes from an offset on, and releases all before it.
    fn need(&self, held: &mut Held, from: u64, until: u64) -> Stop {
        held.forget_before(from.min(self.blocks.read_up_to()));
        held.wish(from..from.saturating_add(self.ahead).max(until));
        Stop::need(from..until)
    }

    /// Whether the bytes of a block are needed.
    fn takes(&mut self, index: usize, block: &Block) -> Result<bool, Stop> {
        let Some(entry) = self.film.film.tracks.get(index) else { return Ok(false) };
        if entry.coding == Coding::Opaque || !self.starts.tracks().any(|track| track == index) {
            return Ok(false);
        }
        let pts_ns = block.us.saturating_sub(self.film.origin_us).saturating_mul(1000);
        let plan = Plan { track: index, pts_ns, dts_ns: pts_ns, duration_ns: 0, key: block.key, offset: block.offset };
        // The duration of others, which decides this, is known by their bytes alone.
        if entry.track.kind == TrackKind::Video { self.starts.take(&plan) } else { Ok(true) }
    }

    /// Splits a block into samples. A damaged one has none.
    fn split(&mut self, index: usize, block: &Block, bytes: &[u8]) -> Result<(), Stop> {
        let film = Arc::clone(&self.film);
        let (Some(entry), Some(setup)) = (film.film.tracks.get(index), film.setups.get(index)) else { return Ok(()) };
        let Coding::Stripped(prefix) = &entry.coding else { return Ok(()) };
        let Some((frames, data)) = laced(bytes) else { return Ok(()) };
        let video = entry.track.kind == TrackKind::Video;
        let whole_ns = block.duration_us.map(|us| us.saturating_mul(1000) / frames.len() as i64);
        let frame_ns = whole_ns.or(entry.frame_ns.and_then(|ns| i64::try_from(ns).ok()));
        let rate = entry.track.audio.map(|(_, rate)| rate);
        let mut pts_ns = block.us.saturating_sub(film.origin_us).saturating_mul(1000);
        for frame in frames {
            let data = [prefix, data.get(frame).unwrap_or_default()].concat();
            let own = || audio::frame_ns(&entry.track.codec, &setup.config, rate, &data);
            let duration_ns = frame_ns.or_else(own).unwrap_or_default();
            let dts_ns = self.orders.get_mut(index).map_or(pts_ns, |order| order.dts(pts_ns));
            let key = block.key || !video;
            let plan = Plan { track: index, pts_ns, dts_ns, duration_ns, key, offset: block.offset };
            if video || self.starts.take(&plan)? {
                self.ready.push_back(plan.with(data));
            }
            pts_ns = pts_ns.saturating_add(duration_ns);
        }
        Ok(())
    }
}

/// Returns the ranges of the frames in a block, and the data that they lie in.
fn laced(block: &[u8]) -> Option<(Vec<Range<usize>>, &[u8])> {
    let (_, length) = vint(block)?;
    let (&[_, _, flags], data) = block.get(length..)?.split_first_chunk()?;
    Some((frames(data, flags)?, data))
}

impl Demux for Reader {
    fn next(&mut self, held: &mut Held) -> Result<Option<Sample>, Stop> {
        loop {
            if let Some(sample) = self.ready.pop_front() {
                return Ok(Some(sample));
            }
            let block = match self.block.take() {
                Some(block) => block,
                None => match self.blocks.next(held) {
                    Ok(block) => block,
                    Err(Short::Nothing) => return Ok(None),
                    Err(Short::Lost) => return Err(Stop::failed("has no clusters after damage")),
                    Err(Short::Need(range)) => return Err(self.need(held, range.start, range.end)),
                },
            };
            let Some(index) = self.film.film.tracks.iter().position(|entry| entry.number == block.track) else {
                continue;
            };
            let size = block.end.saturating_sub(block.offset);
            if size > MAX_SAMPLE_BYTES + BLOCK_HEAD || !self.takes(index, &block)? {
                continue;
            }
            let Some(bytes) = held.get(block.offset..block.end).map(<[u8]>::to_vec) else {
                self.block = Some(block);
                return Err(self.need(held, block.offset, block.end));
            };
            self.split(index, &block, &bytes)?;
        }
    }
}
