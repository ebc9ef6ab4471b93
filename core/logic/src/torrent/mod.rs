//! One torrent as one state machine: its peers, their messages, its readers, and the machines that
//! decide for them.
//!
//! The driver ([`Machine`]) owns the sockets, the disk and the clock. It reports events and carries
//! out the outputs. All decisions about a torrent are made here. Inputs that have an answer are
//! methods. They are a new connection ([`Torrent::connect`]), received data
//! ([`Torrent::admit_blocks`], [`Torrent::receive_blocks`], [`Torrent::receive_messages`]), and the
//! requests that the writer of a connection takes ([`Torrent::next_upload`]). Each is followed by
//! [`Machine::poll`] too.
//!
//! Within a torrent, the [picker](crate::picker) decides which blocks to request from which peer.
//! The [choker](crate::choker) decides which peers to serve. The [metadata fetch](crate::metadata)
//! obtains the info dictionary of a magnet link. The [slot index](crate::slots) finds other
//! viewers. This module connects them.

mod address_book;
mod api;
pub mod bans;
mod blame;
mod blocks;
pub mod conduct;
mod early;
mod extensions;
mod fast_grants;
pub mod greeting;
mod info_giver;
mod messages;
mod meter;
mod origin;
mod peer;
mod peers;
pub mod pex;
mod pieces;
pub mod places;
mod players;
mod readers;
mod report;
mod slot_index;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod ticks;
mod times;
mod turnover;
mod upload_queue;
mod uploads;

pub use address_book::{AddressBook, Dial, Finding};
pub use api::{
    Admission, Config, Connection, Content, Disconnect, FileTime, Input, OpenReader, Output, Purpose, Received, Stored,
    Surroundings, Ticket,
};
pub use greeting::Greeting;
pub use meter::Meter;
pub use origin::Origin;
pub use peer::Peer;
pub use readers::Reader;
pub use source::{HostKey, Party, Source};
pub use status::{Event, SlotStatus, ViewerStatus};
pub use ticks::HOUSEKEEPING;

use crate::choker::{self, Choker};
use crate::machine::Machine;
use crate::metadata::{self, Fetch};
use crate::picker::{self, Picker};
use crate::{Bits, PeerKey, PieceIndex, PlayerKey, ReaderKey, Time, slots};
use fast_grants::FastGrants;
use players::Shown;
use playswarm_proto::BLOCK_BYTES;
use playswarm_proto::wire::{Message, Span};
use slot_index::SlotIndex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use times::Times;

/// The phase of a torrent.
enum Phase {
    /// Fetching the info dictionary from peers.
    Metadata(Box<Fetch>),
    /// Fetching and serving pieces.
    Ready(Box<Ready>),
    /// The torrent is unusable.
    Failed,
}

/// A torrent whose info dictionary is known.
struct Ready {
    content: Content,
    picker: Picker,
    /// Pieces that may be announced to peers.
    told: Bits,
    /// Pieces that were announced and then lost. Peers that request them act in good faith.
    withdrawn: Bits,
    /// Number of times that the blocks of a piece were dropped, for pieces where that happened.
    generations: BTreeMap<u32, u32>,
}

/// The state machine of one torrent; see the [module](self).
pub struct Torrent {
    config: Config,
    /// Time of the input being handled.
    now: Time,
    began: Time,
    phase: Phase,
    choker: Choker,
    peers: BTreeMap<PeerKey, Peer>,
    next_peer: u32,
    book: AddressBook,
    fast_grants: FastGrants,
    readers: BTreeMap<ReaderKey, Reader>,
    /// Players that report what they show.
    players: BTreeMap<PlayerKey, Shown>,
    times: Times,
    slot_index: Option<SlotIndex>,
    /// Addresses being dialled for the slot index.
    slot_dials: BTreeSet<SocketAddr>,
    down: Meter,
    up: Meter,
    /// Whether requests are paused for lack of memory.
    paused: bool,
    disk_trouble: bool,
    /// Whether every piece is wanted, whether read or not.
    fetch_all: bool,
    /// Whether pieces that were not watched yet fill the storage limit. Only pieces needed next are
    /// then fetched.
    narrow: bool,
    lonely_since: Option<Time>,
    /// Time since which a reader is blocked on data that no connected peer sends.
    starved_since: Option<Time>,
    /// Time of the last request for more peers to all sources.
    asked_for_peers_at: Option<Time>,
    /// Time at which a connection last gave way to another.
    turned_at: Option<Time>,
    outputs: VecDeque<Output>,
}

impl Torrent {
    /// Creates a torrent whose info dictionary is not known. If it is known, [`Input::Ready`]
    /// follows at once.
    pub fn new(now: Time, config: Config) -> Torrent {
        Torrent {
            now,
            began: now,
            phase: Phase::Metadata(Box::default()),
            choker: Choker::new(now, config.upload_slots, config.seed),
            peers: BTreeMap::new(),
            next_peer: 0,
            book: AddressBook::new(config.seed, config.listen),
            fast_grants: FastGrants::default(),
            readers: BTreeMap::new(),
            players: BTreeMap::new(),
            times: Times::default(),
            slot_index: None,
            slot_dials: BTreeSet::new(),
            down: Meter::default(),
            up: Meter::default(),
            paused: false,
            disk_trouble: false,
            fetch_all: false,
            narrow: false,
            lonely_since: Some(now),
            starved_since: None,
            asked_for_peers_at: None,
            turned_at: None,
            outputs: VecDeque::new(),
            config,
        }
    }

    fn ready(&self) -> Option<&Ready> {
        match &self.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Metadata(_) | Phase::Failed => None,
        }
    }

    fn ready_mut(&mut self) -> Option<&mut Ready> {
        match &mut self.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Metadata(_) | Phase::Failed => None,
        }
    }

    /// Returns the picker, once the info dictionary is known.
    pub fn picker(&self) -> Option<&Picker> {
        self.ready().map(|ready| &ready.picker)
    }

    /// Returns whether every piece is complete.
    pub fn is_complete(&self) -> bool {
        self.picker().is_some_and(|picker| picker.have().is_full())
    }

    fn is_private(&self) -> bool {
        self.ready().is_some_and(|ready| ready.content.private)
    }

    fn do_later(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn say(&mut self, peer: PeerKey, message: Message) {
        self.do_later(Output::Send(peer, message));
    }

    fn event(&mut self, event: Event) {
        self.do_later(Output::Event(event));
    }

    /// Passes an input to the picker and carries out its outputs.
    fn pick(&mut self, input: picker::Input) {
        let now = self.now;
        let Some(ready) = self.ready_mut() else { return };
        ready.picker.handle(now, input);
        self.drain_picker();
    }

    fn drain_picker(&mut self) {
        let Phase::Ready(ready) = &mut self.phase else { return };
        let layout = ready.content.layout;
        let span = |block: crate::BlockRef| Span {
            piece: block.piece.0,
            begin: block.block * BLOCK_BYTES,
            length: layout.block_bytes(block),
        };
        while let Some(output) = ready.picker.poll() {
            let output = match output {
                picker::Output::Request(peer, block) => Output::Send(peer, Message::Request(span(block))),
                picker::Output::Cancel(peer, block) => Output::Send(peer, Message::Cancel(span(block))),
                picker::Output::Interested(peer, wanted) => {
                    let Some(p) = self.peers.get_mut(&peer) else { continue };
                    p.wanted = wanted;
                    if p.source.is_some() {
                        continue;
                    }
                    Output::Send(peer, if wanted { Message::Interested } else { Message::NotInterested })
                }
                picker::Output::Forget(piece) => ready.begin_anew(piece),
            };
            self.outputs.push_back(output);
        }
    }

    /// Passes an input to the choker and carries out its outputs.
    fn choke(&mut self, input: choker::Input) {
        self.choker.handle(self.now, input);
        while let Some(output) = self.choker.poll() {
            self.carry_out_choke(output);
        }
    }

    /// Passes an input to the metadata fetch and carries out its outputs.
    fn fetch_metadata(&mut self, input: metadata::Input) {
        let now = self.now;
        let Phase::Metadata(fetch) = &mut self.phase else { return };
        fetch.handle(now, input);
        while let Phase::Metadata(fetch) = &mut self.phase
            && let Some(output) = fetch.poll()
        {
            match output {
                metadata::Output::Request(peer, part) => self.request_metadata(peer, part),
                metadata::Output::Assembled { attempt, info } => self.do_later(Output::CheckInfo { attempt, info }),
                metadata::Output::Ban(peer) => self.disconnect(peer, &Disconnect::Lied("gave wrong metadata")),
            }
        }
    }

    fn timeout(&mut self) {
        let now = self.now;
        if self.picker().is_some_and(|picker| picker.next_timeout() <= now) {
            self.pick(picker::Input::Timeout);
        }
        if self.choker.next_timeout() <= now {
            self.choke(choker::Input::Timeout);
        }
        if matches!(&self.phase, Phase::Metadata(fetch) if fetch.next_timeout() <= now) {
            self.fetch_metadata(metadata::Input::Timeout);
        }
        if self.slot_index_timeout() <= now {
            self.tell_slots(slots::Input::Timeout);
        }
    }

    /// Returns the progress of a magnet link's metadata fetch.
    pub fn metadata_progress(&self) -> Option<metadata::Progress> {
        match &self.phase {
            Phase::Metadata(fetch) => Some(fetch.progress()),
            Phase::Ready(_) | Phase::Failed => None,
        }
    }
}

impl Ready {
    /// Drops the blocks of a piece. Blocks stored from now on belong to the next attempt.
    fn begin_anew(&mut self, piece: PieceIndex) -> Output {
        let generation = self.generations.entry(piece.0).or_default();
        *generation = generation.wrapping_add(1);
        Output::DropBlocks(piece, *generation)
    }

    fn generation(&self, piece: PieceIndex) -> u32 {
        self.generations.get(&piece.0).copied().unwrap_or(0)
    }
}

impl Machine for Torrent {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        match input {
            Input::Ready { content, have, told, known_tails } => self.begin(content, &have, told, known_tails),
            Input::Unusable => self.phase = Phase::Failed,
            Input::InfoChecked { attempt, right } => self.fetch_metadata(metadata::Input::Verdict { attempt, right }),
            Input::Found(addrs) => self.found(addrs),
            Input::Given(addrs) => self.given(addrs),
            Input::DialFailed { dial, ourselves } => self.dial_failed(dial, ourselves),
            Input::Disconnected(peer, why) => self.disconnect(peer, &why),
            Input::SourceManner(source, manner) => self.source_manner(source, manner),
            Input::Verified(piece, liars) => self.verified(piece, &liars),
            Input::Corrupt(piece, givers) => self.corrupt(piece, &givers),
            Input::Lost(pieces) => self.lost(&pieces),
            Input::Proven(pieces) => self.proven(&pieces),
            Input::Rechecked(piece) => self.rechecked(piece),
            Input::RecheckedAll => self.choke(choker::Input::Complete(true)),
            Input::KnownTails(tails) => self.pick(picker::Input::KnownTails(tails)),
            Input::DiskTrouble(trouble) => self.set_disk_trouble(trouble),
            Input::FetchAll(on) => self.set_fetch_all(on),
            Input::ReaderOpened(key, reader) => self.open_reader(key, reader),
            Input::ReaderClosed(key) => self.close_reader(key),
            Input::ReaderEnd(key, end) => self.end_reader(key, end),
            Input::ReaderSought(key, position) => self.seek_reader(key, position),
            Input::ReaderRate(key, bytes_per_s) => self.set_reader_rate(key, bytes_per_s),
            Input::ReaderBlocked(key, position) => self.reader_waits(key, position),
            Input::ReaderGaveUp(key) => self.reader_gave_up(key),
            Input::ReaderRead(key, position) => self.reader_read(key, position),
            Input::PlayerShows { player, file, time, playing } => self.player_shows(player, file, time, playing),
            Input::PlayerClosed(player) => self.player_closed(player),
            Input::TimeKnown { file, time, index } => self.time_known(file, time, index),
            Input::SlotNews(news) => self.tell_slots(news),
            Input::Tick(surroundings) => self.tick(&surroundings),
            Input::Timeout => self.timeout(),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Time {
        let phase = match &self.phase {
            Phase::Metadata(fetch) => fetch.next_timeout(),
            Phase::Ready(ready) => ready.picker.next_timeout(),
            Phase::Failed => Time::NEVER,
        };
        phase.min(self.choker.next_timeout()).min(self.slot_index_timeout())
    }
}
