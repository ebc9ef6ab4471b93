//! What it costs to know how senders on standby are: the table of docs/GNUSTREAM.md (E5).

use super::*;
use playswarm_proto::gnutella::{HeadPong, Holding, Queue};

/// Senders on standby, and length of the session, seconds.
const STANDBYS: u8 = 5;
const SESSION_S: u32 = 3600;
/// Bytes of IPv4 and UDP before each message.
const HEADERS: usize = 28;
/// Round trip to a standby, seconds.
const TRIP_S: f64 = 0.04;
/// Part of the answers that are lost.
const LOSS: f64 = 0.02;
/// Time between two looks at what is known, seconds. It is no multiple of a pause between probes.
const LOOK_S: f64 = 7.3;

/// Bytes a second in both directions, and the mean and the longest age of what is known, seconds.
fn probe_every(seconds: f64) -> (f64, f64, f64) {
    let mut lab = Lab::connected(1);
    let mut rng = Rng::new(3);
    let mut bytes = 0;
    // Of each standby, the times to which its answers refer.
    let mut known = vec![Vec::new(); usize::from(STANDBYS)];
    let holding = Some(Holding { is_whole: true, is_firewalled: false, is_downloading: false });
    let pong = HeadPong { holding, vendor: Some(*b"GTKG"), queue: Some(Queue::Free(4)), ..HeadPong::not_found(2) };
    let answer = Message::Vendor(VendorMessage::HeadPong(pong));
    let rounds = (f64::from(SESSION_S) / seconds) as u32;
    for round in 0..rounds {
        lab.wait(f64::from(round) * seconds - lab.now.as_secs_f64());
        let asked_at = lab.now.as_secs_f64();
        let standbys = (0..STANDBYS).map(|n| Input::Probe { address: host(50 + n), sha1: [1; 20] });
        let outputs: Vec<Output> = standbys.flat_map(|probe| lab.handle(probe)).collect();
        lab.wait(TRIP_S);
        for output in outputs {
            let Output::SendTo { to, bytes: question } = output else { continue };
            let guid = Frame::from_datagram(&question).unwrap().header.guid;
            bytes += HEADERS + question.len();
            if rng.unit() < LOSS {
                continue;
            }
            bytes += HEADERS + answer.frame(guid, 1).unwrap().encode().unwrap().len();
            let probed = lab.receives(to, &answer, guid);
            assert!(matches!(&probed[..], [Output::Probed { address, .. }] if *address == to));
            // A standby says how it is half a round trip before we read it.
            known[usize::from(to.ip().octets()[1] - 50)].push((lab.now.as_secs_f64(), asked_at + TRIP_S / 2.0));
        }
    }
    let times = (60..480).map(|n| f64::from(n) * LOOK_S);
    let age = |at: f64, known: &Vec<(f64, f64)>| {
        let (_, said) = known.iter().rev().find(|(read, _)| *read <= at).unwrap();
        at - said
    };
    let ages: Vec<f64> = times.flat_map(|at| known.iter().map(move |known| age(at, known))).collect();
    let mean = ages.iter().sum::<f64>() / ages.len() as f64;
    (bytes as f64 / f64::from(SESSION_S), mean, ages.into_iter().fold(0.0, f64::max))
}

#[test]
fn half_the_probes_cost_half_the_bytes_and_make_what_is_known_twice_as_old() {
    let rows: Vec<_> = [5.0, 15.0, 30.0, 60.0].into_iter().map(|seconds| (seconds, probe_every(seconds))).collect();
    println!("| every, s | bytes a second | of a line of 180 kB/s | mean age, s | oldest, s |");
    for (seconds, (rate, mean, oldest)) in &rows {
        println!("| {seconds} | {rate:.0} | {:.3} % | {mean:.1} | {oldest:.1} |", rate / 1800.0);
        // The product is what a probe costs, whatever the pause.
        let cost = rate * mean;
        assert!((STANDBYS as f64 * 70.0..STANDBYS as f64 * 120.0).contains(&cost), "{cost}");
        assert!((seconds / 2.0..seconds * 0.6).contains(mean), "{mean}");
    }
    assert!(rows[0].1.0 < 200.0, "below a tenth of what an idle leaf may send");
}
