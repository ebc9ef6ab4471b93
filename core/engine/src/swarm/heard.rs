//! What peers say, and what is done about it.

use crate::store::Put;
use crate::swarm::driver::{State, Swarm};
use crate::swarm::peer::Verdict;
use crate::swarm::upload::Asked;
use bytes::Bytes;
use playswarm_logic::picker::Input;
use playswarm_logic::torrent::Origin;
use playswarm_logic::torrent::conduct::{self, Offence};
use playswarm_logic::{BlockRef, PeerKey, PieceIndex, Time, choker, metadata as logic_metadata};
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_acceptable;
use playswarm_proto::extended::{ExtendedHandshake, decode_dont_have, ours};
use playswarm_proto::metadata::MetadataMessage;
use playswarm_proto::pex::PexMessage;
use playswarm_proto::wire::{MAX_PIECES, Message, Span};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What became of a batch of messages.
pub(super) struct Heard {
    /// Bytes of blocks.
    pub(super) bytes: u64,
    /// How long messages other than blocks and requests kept the swarm busy.
    pub(super) took: Duration,
    /// Nothing more is to be read for now: much that the peer asked for is not answered yet.
    pub(super) deep: bool,
}

impl Swarm {
    /// Handles what a peer said.
    pub(super) fn heard(
        self: &Arc<Self>,
        key: PeerKey,
        batch: &mut Vec<Message>,
        progress: bool,
    ) -> Result<Heard, Verdict> {
        let now = self.now();
        let mut blocks: Vec<(BlockRef, Bytes, bool)> = Vec::new();
        let mut others = 0;
        let resets;
        {
            let mut st = self.state.lock();
            resets = st.resets;
            let layout = self.content.get().map(|c| c.torrent.layout);
            for message in batch.iter() {
                let Message::Piece { piece, begin, data } = message else {
                    others += 1;
                    continue;
                };
                let Some(block) = layout.and_then(|l| l.block_from_wire(*piece, *begin, data.len() as u32)) else {
                    self.offend(&mut st, key, now, Offence::OutOfPlace)?;
                    continue;
                };
                let keep = st.picker.as_ref().is_some_and(|p| p.accepts(key, block));
                blocks.push((block, data.clone(), keep));
            }
            if let Some(p) = st.peers.get_mut(&key) {
                p.heard = Instant::now();
                p.silent_so_far = false;
            } else {
                return Err(Verdict::Gone("it was sent away".to_owned()));
            }
        }
        // Copying and storing needs no lock of ours.
        let mut kept = Vec::with_capacity(blocks.len());
        let mut whole = Vec::new();
        if let Some(content) = self.content.get() {
            for (block, data, keep) in blocks.drain(..) {
                let put = if keep { content.store.put_block(block, &data, key.0) } else { Put::Ignored };
                if put == Put::Complete {
                    whole.push(block.piece);
                }
                kept.push((block, data, put));
            }
        }
        let bytes = kept.iter().map(|(_, data, _)| data.len() as u64).sum();
        let mut conduct = Ok(());
        let (mut took, mut deep) = (Duration::ZERO, false);
        {
            let mut st = self.state.lock();
            if bytes > 0 {
                st.down.add(bytes);
                if let Some(p) = st.peers.get_mut(&key) {
                    p.downloaded += bytes;
                    p.traded = Instant::now();
                }
                self.choke_with(&mut st, choker::Input::Gave(key, bytes));
            }
            for (block, data, mut put) in kept {
                let State { picker: Some(picker), resets: now_resets, .. } = &mut *st else { continue };
                // A piece that failed in between was begun anew: what was no use a moment ago is wanted again, and what
                // was stored is gone. The picker and the store must agree on what is here, or nobody asks for it.
                if (put == Put::Ignored || resets != *now_resets)
                    && picker.accepts(key, block)
                    && let Some(content) = self.content.get()
                {
                    put = content.store.put_block(block, &data, key.0);
                    if put == Put::Complete {
                        whole.push(block.piece);
                    }
                }
                let input = match put {
                    Put::NoRoom => Input::Unkept(key, block),
                    _ => Input::Block(key, block),
                };
                tracing::trace!(t = now.as_secs_f64(), ?input, "told");
                let useful = matches!(put, Put::More | Put::Complete);
                let unasked = picker.counters().unasked_bytes;
                picker.handle(now, input);
                if picker.counters().unasked_bytes > unasked && conduct.is_ok() {
                    conduct = self.offend(&mut st, key, now, Offence::UnaskedBlock);
                }
                if useful {
                    self.took_gift(&mut st, key, data.len() as u64);
                }
            }
            if progress && let Some(picker) = &mut st.picker {
                picker.handle(now, Input::Progress(key));
            }
            self.drain_picker(&mut st);
            if others > 0 && conduct.is_ok() {
                for message in batch.drain(..) {
                    // Requests are as many as the line takes, and bounded by themselves.
                    let taxed = !matches!(message, Message::Request(_) | Message::Cancel(_));
                    let began = Instant::now();
                    if !matches!(message, Message::Piece { .. }) {
                        conduct = self.message(&mut st, key, now, message);
                    }
                    if taxed {
                        took += began.elapsed();
                    }
                    if conduct.is_err() {
                        break;
                    }
                }
                deep = st.peers.get(&key).is_some_and(|p| p.uploads.is_deep());
            }
        }
        batch.clear();
        // Also if it is sent away for what it said after them: nobody else would have these hashed.
        whole.into_iter().for_each(|piece| self.verify(piece));
        self.arm();
        conduct.map(|()| Heard { bytes, took, deep })
    }

    pub(super) fn offend(&self, st: &mut State, key: PeerKey, now: Time, offence: Offence) -> Result<(), Verdict> {
        let Some(p) = st.peers.get_mut(&key) else { return Ok(()) };
        judge(p.conduct.note(now, offence))
    }

    pub(super) fn message(
        self: &Arc<Self>,
        st: &mut State,
        key: PeerKey,
        now: Time,
        message: Message,
    ) -> Result<(), Verdict> {
        let Some(p) = st.peers.get_mut(&key) else { return Ok(()) };
        let content = self.content.get();
        judge(p.conduct.message(now, &message, content.map_or(MAX_PIECES, |c| c.torrent.layout.pieces())))?;
        let fast = p.reserved.fast();
        match message {
            Message::KeepAlive | Message::Unknown(_) | Message::Suggest(_) | Message::Port(_) => {}
            Message::Piece { .. } => {}
            Message::Choke => {
                p.chokes_us = true;
                self.pick_with(st, Input::Choked(key));
            }
            Message::Unchoke => {
                p.chokes_us = false;
                self.pick_with(st, Input::Unchoked(key));
            }
            Message::Interested | Message::NotInterested => {
                p.interested = message == Message::Interested;
                let interested = p.interested;
                self.choke_with(st, choker::Input::Interested(key, interested));
            }
            Message::HaveAll | Message::HaveNone | Message::AllowedFast(_) | Message::Reject(_) if !fast => {
                self.offend(st, key, now, Offence::OutOfPlace)?;
            }
            Message::Have(_) | Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => {
                self.peer_has(st, key, now, &message)?;
            }
            Message::AllowedFast(piece) => self.pick_with(st, Input::AllowedFast(key, PieceIndex(piece))),
            Message::Reject(span) => {
                let layout = content.map(|c| c.torrent.layout);
                if let Some(block) = layout.and_then(|l| l.block_from_wire(span.piece, span.begin, span.length)) {
                    self.pick_with(st, Input::Rejected(key, block));
                }
            }
            Message::Request(span) => self.requested(st, key, now, span)?,
            Message::Cancel(span) => {
                if p.uploads.cancel(span) && fast {
                    self.say(st, key, Message::Reject(span));
                }
            }
            Message::Extended { id, payload } => self.extended(st, key, now, id, &payload)?,
        }
        Ok(())
    }

    pub(super) fn requested(&self, st: &mut State, key: PeerKey, now: Time, span: Span) -> Result<(), Verdict> {
        let (Some(content), State { picker: Some(picker), peers, withdrawn, .. }) = (self.content.get(), &mut *st)
        else {
            return Ok(());
        };
        let Some(p) = peers.get_mut(&key) else { return Ok(()) };
        let told = p.extended.dont_have_id().is_some();
        let (asked, offence) = p.uploads.push(now, span, &content.torrent.layout, (picker.have(), withdrawn), told);
        match asked {
            Asked::Queued => p.wake_writer(),
            Asked::Ignored => {}
            Asked::Reject => p.say(Message::Reject(span)),
        }
        match offence {
            Some(offence) => self.offend(st, key, now, offence),
            None => Ok(()),
        }
    }

    pub(super) fn extended(
        self: &Arc<Self>,
        st: &mut State,
        key: PeerKey,
        now: Time,
        id: u8,
        payload: &Bytes,
    ) -> Result<(), Verdict> {
        let Some(p) = st.peers.get_mut(&key) else { return Ok(()) };
        match id {
            0 => match ExtendedHandshake::decode(payload) {
                Ok(said) => {
                    p.extended.update(said);
                    p.withdraw_late();
                    if let Some(client) = &p.extended.client {
                        p.client.clone_from(client);
                    }
                    // Once only, or a peer could fill the book with ports.
                    if p.incoming
                        && !p.booked
                        && let Some(port) = p.extended.port
                    {
                        let addr = SocketAddr::new(p.addr.ip(), port);
                        if is_acceptable(addr, AddressClass::of(addr.ip())) && st.named_ports.admit(now, addr) {
                            if st.book.bans.is_banned(addr, now) {
                                return Err(Verdict::Gone("its address is turned away".to_owned()));
                            }
                            (p.addr, p.booked) = (addr, true);
                            st.book.connected(addr, Origin::Incoming);
                        }
                    }
                    let Some(p) = st.peers.get(&key) else { return Ok(()) };
                    let (reqq, metadata) = (p.extended.reqq, p.extended.metadata_id().zip(p.extended.metadata_size));
                    if let Some(reqq) = reqq {
                        self.pick_with(st, Input::PeerTakes(key, reqq));
                    }
                    if let Some((_, size)) = metadata {
                        self.metadata_with(st, logic_metadata::Input::Offered(key, size));
                    }
                    self.greet_viewer(st, key);
                }
                Err(_) => self.offend(st, key, now, Offence::Extension)?,
            },
            ours::UT_METADATA => match MetadataMessage::decode(payload) {
                Ok(message) => self.metadata_message(st, key, message),
                Err(_) => {
                    self.metadata_with(st, logic_metadata::Input::Odd(key));
                    self.offend(st, key, now, Offence::Extension)?;
                }
            },
            ours::UT_PEX => {
                let private = self.content.get().is_some_and(|c| c.torrent.private);
                if !self.config.pex || private {
                    return Ok(());
                }
                match PexMessage::decode(payload, p.addr.ip()) {
                    Ok(message) if p.pex.received(now) => {
                        message.added.into_iter().for_each(|(addr, _)| _ = st.named(now, addr, Origin::Pex));
                    }
                    Ok(_) => {}
                    Err(_) => self.offend(st, key, now, Offence::Extension)?,
                }
            }
            ours::PS_SLOT => self.viewer_said(st, key, now, payload)?,
            ours::LT_DONTHAVE => {
                if let Some(piece) = decode_dont_have(payload) {
                    self.peer_lacks(st, key, piece);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn metadata_message(self: &Arc<Self>, st: &mut State, key: PeerKey, message: MetadataMessage) {
        match message {
            MetadataMessage::Request(part) => self.metadata_requested(st, key, part),
            MetadataMessage::Data { part, total, data } => {
                let data = data.to_vec();
                self.metadata_with(st, logic_metadata::Input::Part { peer: key, part, total, data });
            }
            MetadataMessage::Reject(part) => {
                self.metadata_with(st, logic_metadata::Input::Rejected(key, part));
            }
            MetadataMessage::Unknown => {}
        }
    }

    pub(super) fn carry_out_choke(&self, st: &mut State, now: Time, output: choker::Output) {
        let mut rejects = Vec::new();
        let (choker::Output::Unchoke(key) | choker::Output::Choke(key)) = output;
        let Some(p) = st.peers.get_mut(&key) else { return };
        let message = match output {
            choker::Output::Unchoke(_) => {
                p.uploads.unchoke();
                Message::Unchoke
            }
            choker::Output::Choke(_) => {
                rejects = p.uploads.choke(now);
                Message::Choke
            }
        };
        p.say(message);
        rejects.into_iter().for_each(|span| p.say(Message::Reject(span)));
        p.look_for_room();
    }

    pub(super) fn waiting_upload(&self, key: PeerKey) -> Option<Span> {
        self.state.lock().peers.get_mut(&key)?.uploads.peek()
    }

    pub(super) fn next_upload(&self, key: PeerKey) -> Option<Span> {
        let mut st = self.state.lock();
        let p = st.peers.get_mut(&key)?;
        let span = p.uploads.pop();
        p.look_for_room();
        span
    }

    /// Waits until so little that the peer asked for is unanswered that more may be read from it.
    pub(super) async fn until_shallow(&self, key: PeerKey) {
        loop {
            let room = {
                let mut st = self.state.lock();
                let Some(p) = st.peers.get_mut(&key) else { return };
                p.paused = !p.uploads.is_shallow();
                p.heard = Instant::now();
                if !p.paused {
                    return;
                }
                p.room.clone()
            };
            room.notified().await;
        }
    }

    /// Says the rejects that were put off.
    pub(super) fn say_owed_rejects(&self, st: &mut State) {
        for p in st.peers.values_mut() {
            let owed = p.uploads.take_owed();
            owed.into_iter().for_each(|span| p.say(Message::Reject(span)));
        }
    }

    /// The piece of a block that was to be sent is gone. The reject waits, so that a peer hears of the piece first.
    pub(super) fn put_off_reject(&self, key: PeerKey, span: Span) {
        if let Some(p) = self.state.lock().peers.get_mut(&key)
            && !p.uploads.put_off(span)
            && p.reserved.fast()
        {
            p.say(Message::Reject(span));
        }
    }

    pub(super) async fn upload_data(&self, span: Span) -> Option<Bytes> {
        let store = &self.content.get()?.store;
        store.block(PieceIndex(span.piece), span.begin, span.length).await.ok().flatten()
    }

    pub(super) fn uploaded(&self, key: PeerKey, bytes: u64) {
        let now = self.now();
        let mut st = self.state.lock();
        st.up.add(bytes);
        if let Some(p) = st.peers.get_mut(&key) {
            p.uploaded += bytes;
            p.traded = Instant::now();
        }
        st.choker.handle(now, choker::Input::Took(key, bytes));
    }

    /// BEP 11, for all peers whose turn it is.
    pub(super) fn exchange_peers(&self, st: &mut State, now: Time) {
        if !self.config.pex || self.content.get().is_none_or(|c| c.torrent.private) {
            return;
        }
        let due: Vec<PeerKey> = st
            .peers
            .iter()
            .filter(|(_, p)| p.extended.pex_id().is_some() && p.pex.next_timeout() <= now)
            .map(|(key, _)| *key)
            .collect();
        if due.is_empty() {
            return;
        }
        // Only where a peer listens is worth telling: those that we dialled, and those that said it.
        let connected = st
            .peers
            .values()
            .filter(|p| !p.incoming || p.extended.port.is_some())
            .map(|p| (p.addr, p.pex_flags()))
            .collect();
        for key in due {
            let Some(p) = st.peers.get_mut(&key) else { continue };
            let Some(id) = p.extended.pex_id() else { continue };
            if let Some(message) = p.pex.poll(now, p.addr, &connected) {
                p.say(Message::Extended { id, payload: message.encode() });
            }
        }
    }
}

fn judge(verdict: conduct::Verdict) -> Result<(), Verdict> {
    match verdict {
        conduct::Verdict::Fine => Ok(()),
        conduct::Verdict::Drop(offence) => Err(Verdict::Drop(offence.why())),
        conduct::Verdict::Ban(offence) => Err(Verdict::Ban(offence.why())),
    }
}
