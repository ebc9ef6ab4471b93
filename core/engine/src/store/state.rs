//! The store's state, behind one lock that is held briefly, and never across an await or a disk
//! operation.

use super::cache::Cache;
use super::files::Source;
use super::load::Loaded;
use super::piece_buffer::PieceBuffer;
use super::whole::Stage;
use super::write::Queue;
use playswarm_logic::evict::{Held, Reader};
use playswarm_logic::{Bits, Layout, PieceIndex};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

pub(super) struct State {
    pub(super) layout: Layout,
    /// Pieces that are verified and in memory, or claimed to be in files.
    pub(super) have: Bits,
    /// Pieces recorded as in our files.
    pub(super) on_disk: Bits,
    /// Pieces that seem to be in files of other programs.
    pub(super) theirs: Bits,
    /// Pieces of `have` that are unverified until they are hashed: peers are not told of them.
    pub(super) unproven: Bits,
    /// Pieces on disk that were hashed, or written by us, since `trusted_since`.
    pub(super) trusted: Bits,
    pub(super) trusted_since: Instant,
    /// Bytes of `on_disk`.
    pub(super) disk_bytes: u64,
    /// Bytes of pieces being written now.
    pub(super) writing_bytes: u64,
    /// Pieces that are incomplete or being hashed.
    pub(super) piece_buffers: HashMap<u32, Arc<PieceBuffer>>,
    pub(super) cache: Cache,
    /// Tasks that wait for each piece that is being read from disk.
    pub(super) loads: HashMap<u32, Vec<oneshot::Sender<Loaded>>>,
    /// Bytes of pieces being read from disk now.
    pub(super) loading_bytes: u64,
    pub(super) queue: Queue,
    pub(super) readers: Vec<Reader>,
    /// Last use of each piece; empty without a disk limit, as nothing else needs it.
    last_use: Vec<u64>,
    /// Whether this file system cannot punch holes.
    pub(super) cannot_punch: bool,
    /// Pieces that were written since the last sync.
    pub(super) unsynced: Vec<u32>,
    /// Whether the next sync is scheduled.
    pub(super) sync_due: bool,
    /// Files that are being checked, as one of their pieces was wrong.
    pub(super) suspects: HashSet<(usize, Source)>,
    /// Pieces whose last blocks are zeros of pad files, and the first of these blocks.
    pub(super) tails: BTreeMap<PieceIndex, u32>,
    /// Pieces that were wrong with these zeros.
    pub(super) doubted: HashSet<u32>,
    /// Whether the whole torrent is wanted. Other programs' files are then checked, and copied
    /// where ours would be incomplete.
    pub(super) gathering: bool,
    /// How far the hash of the whole file is checked.
    pub(super) whole: Stage,
    pub(super) closed: bool,
}

/// The claims about files when a store is opened.
pub(super) struct Claims {
    /// Pieces in our files.
    pub(super) ours: Bits,
    /// Pieces in files of other programs, without those in `ours`.
    pub(super) theirs: Bits,
    /// Pieces of both that are unverified.
    pub(super) unproven: Bits,
}

impl State {
    pub(super) fn new(layout: Layout, claims: Claims, bounded: bool) -> State {
        let pieces = layout.pieces();
        let Claims { ours, theirs, unproven } = claims;
        let disk_bytes = ours.iter_ones().map(|p| u64::from(layout.bytes_of(PieceIndex(p)))).sum();
        let mut have = ours.clone();
        theirs.iter_ones().for_each(|piece| {
            have.set(piece, true);
        });
        State {
            layout,
            have,
            trusted: Bits::new(pieces),
            trusted_since: Instant::now(),
            on_disk: ours,
            theirs,
            unproven,
            disk_bytes,
            writing_bytes: 0,
            piece_buffers: HashMap::new(),
            cache: Cache::default(),
            loads: HashMap::new(),
            loading_bytes: 0,
            queue: Queue::default(),
            readers: Vec::new(),
            last_use: if bounded { vec![0; pieces as usize] } else { Vec::new() },
            cannot_punch: false,
            unsynced: Vec::new(),
            sync_due: false,
            suspects: HashSet::new(),
            tails: BTreeMap::new(),
            doubted: HashSet::new(),
            gathering: false,
            whole: Stage::Unneeded,
            closed: false,
        }
    }

    /// Whether no piece may be shown yet, since only the whole file proves them.
    pub(super) fn is_sealed(&self) -> bool {
        self.whole.is_sealed()
    }

    /// Returns the owner of the files that contain the piece.
    pub(super) fn source_of(&self, piece: u32) -> Option<Source> {
        let (ours, theirs) = (self.on_disk.get(piece), self.theirs.get(piece));
        if ours { Some(Source::Ours) } else { theirs.then_some(Source::Theirs) }
    }

    /// Returns the pieces that are claimed to be in files of that owner.
    pub(super) fn claims_of(&self, source: Source) -> &Bits {
        match source {
            Source::Ours => &self.on_disk,
            Source::Theirs => &self.theirs,
        }
    }

    pub(super) fn bytes_of(&self, piece: u32) -> u64 {
        u64::from(self.layout.bytes_of(PieceIndex(piece)))
    }

    /// Marks the piece as used now.
    pub(super) fn touch(&mut self, piece: u32) {
        let now = self.cache.tick();
        if let Some(last_use) = self.last_use.get_mut(piece as usize) {
            *last_use = now;
        }
    }

    pub(super) fn set_on_disk(&mut self, piece: u32, on: bool) {
        if !on {
            self.trusted.set(piece, false);
        }
        if self.on_disk.set(piece, on) {
            let bytes = self.bytes_of(piece);
            self.disk_bytes = if on { self.disk_bytes + bytes } else { self.disk_bytes - bytes };
        }
    }

    /// Returns the bytes of all pieces in memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.cache.bytes() + self.buffered_bytes() + self.loading_bytes
    }

    /// Returns the memory of the pieces that are incomplete or being hashed, in bytes.
    pub(super) fn buffered_bytes(&self) -> u64 {
        self.piece_buffers.values().map(|a| a.held_bytes()).sum()
    }

    pub(super) fn remove_piece_buffer(&mut self, piece: u32) -> Option<Arc<PieceBuffer>> {
        self.piece_buffers.remove(&piece)
    }

    /// Returns the pieces on disk, for the choice of pieces to evict.
    pub(super) fn held(&self) -> Vec<Held> {
        let last_use = |p: u32| self.last_use.get(p as usize).copied().unwrap_or(0);
        let piece =
            |p: u32| Held { piece: PieceIndex(p), bytes: self.layout.bytes_of(PieceIndex(p)), last_use: last_use(p) };
        self.on_disk.iter_ones().map(piece).collect()
    }
}
