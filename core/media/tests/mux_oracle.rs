//! mpeg2ts-reader, a demultiplexer that shares nothing with ours, reads our transport streams.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::catalogue::mp4;
use common::samples::{samples, seek_point};
use common::{Cut, read};
use mpeg2ts_reader::demultiplex::{self, FilterRequest, NullPacketFilter, PatPacketFilter, PmtPacketFilter};
use mpeg2ts_reader::pes::{self, PesContents, PtsDts};
use mpeg2ts_reader::{StreamType, demux_context, packet_filter_switch, psi};
use playswarm_media::mux::TsMuxer;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// What was found of a stream: its type, its presentation times in ticks, and its bytes.
#[derive(Default)]
struct Found {
    stream_type: u8,
    pts: Vec<u64>,
    bytes: usize,
    errors: usize,
}

thread_local! {
    static FOUND: RefCell<BTreeMap<u16, Found>> = const { RefCell::new(BTreeMap::new()) };
}

packet_filter_switch! {
    Switch<Context> {
        Pes: pes::PesPacketFilter<Context, Consumer>,
        Pat: PatPacketFilter<Context>,
        Pmt: PmtPacketFilter<Context>,
        Null: NullPacketFilter<Context>,
    }
}
demux_context!(Context, Switch);

impl Context {
    #[allow(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    fn do_construct(&mut self, request: FilterRequest<'_, '_>) -> Switch {
        match request {
            FilterRequest::ByPid(psi::pat::PAT_PID) => Switch::Pat(PatPacketFilter::default()),
            FilterRequest::Pmt { pid, program_number } => Switch::Pmt(PmtPacketFilter::new(pid, program_number)),
            FilterRequest::ByStream { stream_type, stream_info, .. } => {
                let pid = u16::from(stream_info.elementary_pid());
                found(pid, |found| found.stream_type = u8::from(stream_type));
                Switch::Pes(pes::PesPacketFilter::new(Consumer { pid }))
            }
            _ => Switch::Null(NullPacketFilter::default()),
        }
    }
}

fn found(pid: u16, change: impl FnOnce(&mut Found)) {
    FOUND.with_borrow_mut(|all| change(all.entry(pid).or_default()));
}

struct Consumer {
    pid: u16,
}

impl pes::ElementaryStreamConsumer<Context> for Consumer {
    fn start_stream(&mut self, _: &mut Context) {}
    fn begin_packet(&mut self, _: &mut Context, header: pes::PesHeader<'_>) {
        let PesContents::Parsed(Some(parsed)) = header.contents() else {
            return found(self.pid, |found| found.errors += 1);
        };
        let pts = match parsed.pts_dts() {
            Ok(PtsDts::PtsOnly(Ok(pts)) | PtsDts::Both { pts: Ok(pts), .. }) => Some(pts.value()),
            _ => None,
        };
        let bytes = parsed.payload().len();
        found(self.pid, |found| {
            found.errors += usize::from(pts.is_none());
            found.pts.extend(pts);
            found.bytes += bytes;
        });
    }
    fn continue_packet(&mut self, _: &mut Context, data: &[u8]) {
        found(self.pid, |found| found.bytes += data.len());
    }
    fn end_packet(&mut self, _: &mut Context) {}
    fn continuity_error(&mut self, _: &mut Context) {
        found(self.pid, |found| found.errors += 1);
    }
}

#[test]
fn another_demultiplexer_finds_every_sample_at_its_time() {
    if !common::ffmpeg() {
        return;
    }
    let film = &mp4::moov_in_front();
    let timeline = read(film, Cut::Exact).timeline;
    let tracks: Vec<usize> = (0..timeline.tracks().len()).collect();
    let samples = samples(film, &timeline, &tracks, seek_point(film, &timeline, Duration::ZERO), Cut::Exact);
    let mut muxer = TsMuxer::new(&timeline, &tracks).unwrap();
    let mut stream = Vec::new();
    samples.iter().for_each(|sample| muxer.write(sample, &mut stream));
    muxer.flush(&mut stream);

    let mut context = Context::new();
    demultiplex::Demultiplex::new(&mut context).push(&mut context, &stream);
    FOUND.with_borrow(|streams| {
        let types: Vec<u8> = streams.values().map(|found| found.stream_type).collect();
        assert_eq!(types, [u8::from(StreamType::H264), u8::from(StreamType::ADTS)]);
        for (track, found) in tracks.iter().zip(streams.values()) {
            let ours = samples.iter().filter(|sample| sample.track == *track);
            // Ticks of 1/90000 s, modulo the 33 bits of a timestamp.
            let ticks = |ns: i64| ((ns as f64 * 9e-5).round() as i64).rem_euclid(1 << 33) as u64;
            let times: Vec<u64> = ours.map(|sample| ticks(sample.pts_ns)).collect();
            let differs = found.pts.iter().zip(&times).position(|(theirs, ours)| theirs != ours);
            assert_eq!((found.errors, found.pts.len(), differs), (0, times.len(), None), "track {track}");
            assert!(found.bytes > 0);
        }
    });
}
