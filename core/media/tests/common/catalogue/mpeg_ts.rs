//! MPEG transport streams.

use super::{PICTURE, SOUND, h264};
use crate::common::Film;

pub fn all() -> Vec<Film> {
    vec![
        plain(),
        blu_ray(),
        hevc(),
        mpeg2(),
        cropped(),
        interlaced(),
        full_colour(),
        hevc_cropped(),
        hevc_with_temporal_layers(),
        mpeg2_interlaced(),
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

/// Returns four seconds of pictures whose size is not a multiple of a block's.
fn sized(name: &str, size: &str, coding: &str) -> Film {
    Film::new(name, &format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=4 -g 25 {coding}"))
}

pub fn cropped() -> Film {
    sized("cropped.ts", "426x238", "-c:v libx264 -preset veryfast -bf 2")
}

/// No parameter sets in its first half, as in a recording that begins in the middle of a GOP.
pub fn sized_at_its_end() -> Film {
    Film::altered(&cropped(), "sized-at-its-end.ts", |mut bytes| {
        let half = bytes.len() / 2;
        hide_sets(&mut bytes[..half]);
        bytes
    })
}

pub fn sized_nowhere() -> Film {
    Film::altered(&cropped(), "sized-nowhere.ts", |mut bytes| {
        hide_sets(&mut bytes);
        bytes
    })
}

/// Changes H.264 parameter sets to an unknown NAL unit type.
fn hide_sets(bytes: &mut [u8]) {
    while let Some(at) = bytes.windows(4).position(|w| w == [0, 0, 1, 0x67]) {
        bytes[at + 3] = 0x78;
    }
}

/// Its height is coded in fields.
pub fn interlaced() -> Film {
    sized("interlaced.ts", "320x180", "-c:v libx264 -preset veryfast -flags +ilme+ildct -x264opts tff=1")
}

/// Chroma for each pixel (4:4:4).
pub fn full_colour() -> Film {
    sized("full-colour.ts", "322x182", "-pix_fmt yuv444p -c:v libx264 -preset veryfast -x264opts cqm=jvt")
}

pub fn hevc_cropped() -> Film {
    let coding = "-pix_fmt yuv422p -c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25";
    sized("hevc-cropped.ts", "426x238", coding)
}

/// The information on each layer precedes the size.
pub fn hevc_with_temporal_layers() -> Film {
    let coding = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25:bframes=3:temporal-layers=1";
    sized("hevc-layers.ts", "320x180", coding)
}

pub fn mpeg2_interlaced() -> Film {
    sized("mpeg2-interlaced.ts", "426x238", "-c:v mpeg2video -b:v 800k -bf 2 -flags +ilme+ildct")
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

/// Garbage before the first packet, and between others.
pub fn with_garbage() -> Film {
    Film::altered(&plain(), "with-garbage.ts", |bytes| {
        let mut garbage = (0..).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        let mut altered = Vec::new();
        for (n, packet) in bytes.chunks(188).enumerate() {
            // Not at the end, where a truncated film ends within a packet.
            if n % 331 == 40 {
                altered.extend(garbage.by_ref().take(n / 331 * 50 + 7));
            }
            altered.extend_from_slice(packet);
        }
        altered
    })
}

/// The same stream twice, so that its times jump back in the middle.
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

/// Its clock reference jumps forwards and back with each packet that has one.
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

/// Its first pictures precede the wrap by less than a minute.
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
