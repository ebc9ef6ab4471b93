//! MP3, FLAC and Ogg.

use crate::common::Film;
use std::process::Command;

/// Noise, so that variable bitrates vary.
pub const NOISE: &str = "-f lavfi -i anoisesrc=color=pink:sample_rate=44100:amplitude=0.4:seed=7:duration=30";

/// Half a minute of near silence, then half a minute of noise, so that the relation of time to byte
/// is not linear.
const KINK: &str = "-f lavfi -i aevalsrc='(0.001+0.4*gt(t,30))*(random(0)-0.5)':s=44100:d=60";

pub fn all() -> Vec<Film> {
    vec![
        mp3_vbr(),
        mp3_cbr(),
        mp3_bare_cbr(),
        mp3_cover(),
        flac(),
        flac_of_24_bits(),
        vorbis(),
        opus(),
        speex(),
        ogg_flac(),
        theora(),
        theora_of_a_minute(),
    ]
}

/// Returns films of 25 hours that are cheap to make: loops of a file without padding, sound of 100
/// samples per second, and a picture every five seconds.
pub fn large() -> Vec<Film> {
    vec![mp3_of_25_hours(), flac_of_25_hours(), ogg_flac_of_25_hours(), theora_of_25_hours()]
}

pub fn mp3_vbr() -> Film {
    Film::new("vbr.mp3", &format!("{KINK} -c:a libmp3lame -q:a 4"))
}

pub fn mp3_cbr() -> Film {
    Film::new("cbr.mp3", &format!("{NOISE} -c:a libmp3lame -b:a 128k"))
}

/// Without an Info frame.
pub fn mp3_bare_cbr() -> Film {
    Film::new("bare-cbr.mp3", &format!("{NOISE} -c:a libmp3lame -b:a 128k -write_xing 0"))
}

/// Without a Xing frame.
pub fn mp3_bare_vbr() -> Film {
    Film::new("bare-vbr.mp3", &format!("{KINK} -c:a libmp3lame -q:a 4 -write_xing 0"))
}

/// MPEG-2 layer III, mono.
pub fn mp3_low_rate() -> Film {
    Film::new("low-rate.mp3", &format!("{NOISE} -ar 22050 -ac 1 -c:a libmp3lame -b:a 40k -write_xing 0"))
}

pub fn layer_2() -> Film {
    Film::new("layer2.mp2", &format!("{NOISE} -c:a mp2 -b:a 192k"))
}

/// Has a cover of megabytes, which PNG does not compress, a title, and an ID3v1 tag at the end.
pub fn mp3_cover() -> Film {
    let cover = "-f lavfi -i nullsrc=size=1600x1200:rate=25:duration=0.04,geq=random(1)*255:128:128,format=rgb24";
    let tags = "-map 0 -map 1 -c:v png -id3v2_version 3 -write_id3v1 1 -metadata title=Noise -metadata language=deu";
    Film::new("cover.mp3", &format!("{NOISE} {cover} {tags} -c:a libmp3lame -b:a 128k"))
}

pub fn mp3_of_25_hours() -> Film {
    // 8 kbit/s at 8 kHz are 72 bytes per frame, without padding that a loop would break.
    let minute = "-f lavfi -i sine=frequency=440:sample_rate=32000:duration=60 -c:a libmp3lame -b:a 8k -ar 8000";
    let minute = Film::new("minute.mp3", &format!("{minute} -write_xing 0 -id3v2_version 0"));
    Film::of(&minute, "25-hours.mp3", "-stream_loop 1499 -i {} -c copy -write_xing 0 -id3v2_version 0")
}

pub fn flac() -> Film {
    Film::new("bare.flac", &format!("{KINK} -c:a flac -metadata title=Noise"))
}

pub fn flac_of_24_bits() -> Film {
    Film::new("24-bits.flac", &format!("{NOISE} -ar 96000 -ac 2 -c:a flac -sample_fmt s32 -bits_per_raw_sample 24"))
}

/// Has a seek point of metaflac for every second.
pub fn flac_with_points() -> Film {
    let source = flac();
    let test = std::thread::current().id();
    let path = source.path().with_file_name(format!("points-{}-{test:?}.flac", std::process::id()));
    std::fs::copy(source.path(), &path).unwrap();
    let status = Command::new("metaflac").arg("--add-seekpoint=1s").arg(&path).status().unwrap();
    assert!(status.success());
    let content = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    Film::built("points.flac", content)
}

pub fn flac_of_25_hours() -> Film {
    Film::new("25-hours.flac", "-f lavfi -i anoisesrc=sample_rate=100:duration=90000:seed=3 -c:a flac -frame_size 1000")
}

pub fn vorbis() -> Film {
    Film::new("vorbis.ogg", &format!("{KINK} -c:a libvorbis -metadata title=Noise"))
}

pub fn opus() -> Film {
    Film::new("opus.opus", &format!("{KINK} -ar 48000 -c:a libopus -b:a 64k"))
}

pub fn speex() -> Film {
    Film::new("speex.spx", &format!("{NOISE} -ar 16000 -c:a libspeex"))
}

pub fn ogg_flac() -> Film {
    Film::new("flac.oga", &format!("{NOISE} -c:a flac"))
}

pub fn theora() -> Film {
    let picture = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=16";
    let sound = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=16";
    Film::new("theora.ogv", &format!("{picture} {sound} -c:v libtheora -g 30 -c:a libvorbis"))
}

/// Has pages of pictures that take more than one page per frame, and small pages of sound beside
/// them.
pub fn theora_of_a_minute() -> Film {
    let picture = "-f lavfi -i testsrc2=size=320x240:rate=30000/1001:duration=60,noise=alls=40";
    let sound = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=60";
    Film::new("minute.ogv", &format!("{picture} {sound} -c:v libtheora -q:v 7 -g 64 -c:a libvorbis"))
}

/// A second stream of sound for a chain, with its own serial numbers.
pub fn second_link() -> Film {
    Film::new("second.ogg", &format!("{NOISE} -t 12.5 -ar 48000 -c:a libvorbis -serial_offset 77"))
}

pub fn chain() -> Film {
    Film::built("chain.ogg", [vorbis().bytes(), second_link().bytes()].concat())
}

/// Another stream that the same decoder reads.
pub fn second_opus() -> Film {
    Film::new("second.opus", &format!("{NOISE} -t 7.3 -ar 48000 -c:a libopus -b:a 64k -serial_offset 77"))
}

pub fn opus_chain() -> Film {
    Film::built("chain.opus", [opus().bytes(), second_opus().bytes()].concat())
}

/// Too short for more than one page.
pub fn short_vorbis() -> Film {
    Film::new("short.ogg", &format!("{NOISE} -t 0.2 -c:a libvorbis"))
}

/// Six channels.
pub fn surround_opus() -> Film {
    Film::new("surround.opus", &format!("{NOISE} -t 5 -ar 48000 -ac 6 -c:a libopus"))
}

/// Comments of a megabyte before the setup header, as with a cover.
pub fn vorbis_with_cover() -> Film {
    let comment = |n: u32| format!(" -metadata COVER{n}={}", "c".repeat(100_000));
    let comments: String = (0..10).map(comment).collect();
    Film::of(&short_vorbis(), "cover.ogg", &format!("-i {{}} -c copy{comments}"))
}

pub fn ogg_flac_of_25_hours() -> Film {
    Film::new("25-hours.oga", "-f lavfi -i anoisesrc=sample_rate=100:duration=90000:seed=3 -c:a flac -frame_size 1000")
}

pub fn theora_of_25_hours() -> Film {
    Film::new("25-hours.ogv", "-f lavfi -i testsrc2=size=64x48:rate=1/5:duration=90000 -c:v libtheora -g 20")
}
