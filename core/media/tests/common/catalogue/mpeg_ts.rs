//! MPEG transport streams.

use super::{PICTURE, SOUND, h264};
use crate::common::Film;

pub fn all() -> Vec<Film> {
    vec![
        plain(),
        blu_ray(),
        hevc(),
        mpeg2(),
        without_indicators(),
        with_a_jumping_clock(),
        wrapping(),
        starting_at_the_wrap(),
        sparse_sound(),
    ]
}

pub fn large() -> Vec<Film> {
    vec![two_hours()]
}

pub fn plain() -> Film {
    h264("plain.ts", "-metadata:s:a:0 language=ger")
}

/// Packets of 192 bytes.
pub fn blu_ray() -> Film {
    h264("blu-ray.m2ts", "-c:a ac3 -mpegts_m2ts_mode 1")
}

pub fn hevc() -> Film {
    let coding = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=50:bframes=3 -c:a ac3";
    Film::new("hevc.ts", &format!("{PICTURE} {SOUND} {coding}"))
}

pub fn mpeg2() -> Film {
    Film::new("mpeg2.ts", &format!("{PICTURE} {SOUND} -c:v mpeg2video -b:v 400k -g 25 -bf 2 -c:a mp2"))
}

/// Without random access indicators, as many broadcasters send.
pub fn without_indicators() -> Film {
    Film::altered(&plain(), "without-indicators.ts", |mut bytes| {
        for packet in bytes.chunks_exact_mut(188).filter(|packet| packet[3] & 0x20 != 0 && packet[4] > 0) {
            packet[5] &= !0x40;
        }
        bytes
    })
}

/// With garbage before the first packet, and between others.
pub fn with_garbage() -> Film {
    Film::altered(&plain(), "with-garbage.ts", |bytes| {
        let mut garbage = (0..).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        let mut altered = Vec::new();
        for (n, packet) in bytes.chunks(188).enumerate() {
            // Not at the end, where a film that is cut short ends amid a packet.
            if n % 331 == 40 {
                altered.extend(garbage.by_ref().take(n / 331 * 50 + 7));
            }
            altered.extend_from_slice(packet);
        }
        altered
    })
}

/// Twice the same, so that its times jump back in the middle.
pub fn twice() -> Film {
    Film::altered(&plain(), "twice.ts", |bytes| bytes.repeat(2))
}

/// The end of a recording, then its beginning.
pub fn end_before_beginning() -> Film {
    Film::altered(&plain(), "end-before-beginning.ts", |bytes| {
        let half = bytes.len() / 2 / 188 * 188;
        [&bytes[half..], &bytes[..half]].concat()
    })
}

/// Its clock reference jumps to and fro with each packet that has one.
pub fn with_a_jumping_clock() -> Film {
    Film::altered(&plain(), "with-a-jumping-clock.ts", |mut bytes| {
        let clocks = bytes.chunks_exact_mut(188).filter(|p| p[3] & 0x20 != 0 && p[4] > 6 && p[5] & 0x10 != 0);
        for (n, packet) in clocks.enumerate() {
            packet[6] = if n % 2 == 0 { 0xff } else { 0 };
        }
        bytes
    })
}

/// Its timestamps of 33 bits wrap after 5 s.
pub fn wrapping() -> Film {
    Film::of(&plain(), "wrapping.ts", "-i {} -c copy -copyts -muxdelay 0 -output_ts_offset 95437")
}

/// Its first pictures lie before the wrap by less than a minute.
pub fn starting_at_the_wrap() -> Film {
    Film::of(&plain(), "a-minute-before-the-wrap.ts", "-i {} -c copy -copyts -muxdelay 0 -output_ts_offset 95340")
}

/// Its sound begins after seven seconds.
pub fn sparse_sound() -> Film {
    let filter = "-af adelay=0 -c:v libx264 -preset veryfast -bf 2 -g 50 -c:a aac";
    Film::new("late-sound.ts", &format!("{PICTURE} -itsoffset 7 {SOUND} {filter}"))
}

pub fn two_hours() -> Film {
    Film::of(&super::matroska::two_hours(), "two-hours.ts", "-i {} -c copy")
}
