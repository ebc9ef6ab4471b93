//! What the store knows, behind one short lock that is never held across an await or a disk operation.

use super::assembly::Assembly;
use super::files::Source;
use super::hot::Hot;
use super::load::Loaded;
use super::write::Queue;
use playswarm_logic::retain::{Held, Reader};
use playswarm_logic::{Bits, Layout, PieceIndex};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

pub(super) struct State {
    pub(super) layout: Layout,
    /// Verified and in memory, or said to be in files.
    pub(super) have: Bits,
    /// Recorded as in files of ours.
    pub(super) on_disk: Bits,
    /// In files of other programs, or so it seems.
    pub(super) theirs: Bits,
    /// Those of `have` that nothing vouches for until they are hashed: peers are not told of them.
    pub(super) unproven: Bits,
    /// Hashed in files, or written by us, since `trusted_since`.
    pub(super) trusted: Bits,
    pub(super) trusted_since: Instant,
    /// Bytes of `on_disk`.
    pub(super) disk_bytes: u64,
    /// Bytes of pieces being written now.
    pub(super) writing_bytes: u64,
    /// Pieces that are being put together or hashed.
    pub(super) assemblies: HashMap<u32, Arc<Assembly>>,
    pub(super) hot: Hot,
    /// Who waits for each piece that is being read from disk.
    pub(super) loads: HashMap<u32, Vec<oneshot::Sender<Loaded>>>,
    /// Bytes of pieces being read from disk now.
    pub(super) loading_bytes: u64,
    pub(super) queue: Queue,
    pub(super) readers: Vec<Reader>,
    /// When each piece was last used; empty without a bound on disk use, as nothing else asks.
    last_use: Vec<u64>,
    /// Giving back does not work on this file system.
    pub(super) cannot_punch: bool,
    /// Pieces that were written since the last sync.
    pub(super) unsynced: Vec<u32>,
    /// The next sync has its time.
    pub(super) sync_due: bool,
    /// Files that are being looked through, as a piece of theirs was not what it was said to be.
    pub(super) suspects: HashSet<(usize, Source)>,
    /// Pieces whose last blocks are zeros of pad files, and the first of these.
    pub(super) tails: BTreeMap<PieceIndex, u32>,
    /// Pieces that were wrong with such zeros.
    pub(super) doubted: HashSet<u32>,
    /// Everything is wanted: what other programs' files hold is being looked at, and copied where ours would not be whole.
    pub(super) gathering: bool,
    pub(super) closed: bool,
}

/// What is said to be in the files when a store is opened.
pub(super) struct Claims {
    /// In ours.
    pub(super) ours: Bits,
    /// In those of other programs, the former apart.
    pub(super) theirs: Bits,
    /// Of both, those that nothing vouches for.
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
            assemblies: HashMap::new(),
            hot: Hot::default(),
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
            closed: false,
        }
    }

    /// In whose files the piece is.
    pub(super) fn source_of(&self, piece: u32) -> Option<Source> {
        let (ours, theirs) = (self.on_disk.get(piece), self.theirs.get(piece));
        if ours { Some(Source::Ours) } else { theirs.then_some(Source::Theirs) }
    }

    /// The pieces that are said to be in files of that kind.
    pub(super) fn claims_of(&self, source: Source) -> &Bits {
        match source {
            Source::Ours => &self.on_disk,
            Source::Theirs => &self.theirs,
        }
    }

    pub(super) fn bytes_of(&self, piece: u32) -> u64 {
        u64::from(self.layout.bytes_of(PieceIndex(piece)))
    }

    /// The piece counts as used now.
    pub(super) fn touch(&mut self, piece: u32) {
        let now = self.hot.tick();
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

    /// All that is in memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.hot.bytes() + self.assembly_bytes() + self.loading_bytes
    }

    /// Memory of the pieces that are being put together or hashed.
    pub(super) fn assembly_bytes(&self) -> u64 {
        self.assemblies.values().map(|a| a.held_bytes()).sum()
    }

    pub(super) fn remove_assembly(&mut self, piece: u32) -> Option<Arc<Assembly>> {
        self.assemblies.remove(&piece)
    }

    /// What is on disk, for those who decide what goes.
    pub(super) fn held(&self) -> Vec<Held> {
        let last_use = |p: u32| self.last_use.get(p as usize).copied().unwrap_or(0);
        let piece =
            |p: u32| Held { piece: PieceIndex(p), bytes: self.layout.bytes_of(PieceIndex(p)), last_use: last_use(p) };
        self.on_disk.iter_ones().map(piece).collect()
    }
}
