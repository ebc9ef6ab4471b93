//! Codecs by the codes in Windows headers (BITMAPINFOHEADER, WAVEFORMATEX), as used by AVI and by
//! Matroska files converted from AVI.

/// Returns FFmpeg's name of a video codec, or the code itself if unknown.
pub(crate) fn video(fourcc: [u8; 4]) -> String {
    let name = match &fourcc.map(|byte| byte.to_ascii_uppercase()) {
        b"H264" | b"X264" | b"AVC1" | b"DAVC" | b"VSSH" => "h264",
        b"HEVC" | b"HVC1" | b"H265" | b"HEV1" | b"X265" => "hevc",
        b"XVID" | b"DIVX" | b"DX50" | b"FMP4" | b"MP4V" | b"M4S2" | b"MP4S" | b"3IV2" | b"3IVX" | b"RMP4" => "mpeg4",
        b"DIV3" | b"MP43" | b"DIV4" | b"DIV5" | b"DIV6" | b"MPG3" | b"AP41" | b"COL1" => "msmpeg4v3",
        b"DIV2" | b"MP42" => "msmpeg4v2",
        b"MPG4" | b"DIV1" => "msmpeg4v1",
        b"MPG1" | b"MPEG" | b"PIM1" => "mpeg1video",
        b"MPG2" | b"MPGV" => "mpeg2video",
        b"MJPG" | b"JPEG" | b"AVRN" | b"LJPG" => "mjpeg",
        b"WMV1" => "wmv1",
        b"WMV2" => "wmv2",
        b"WMV3" => "wmv3",
        b"WVC1" => "vc1",
        b"VP60" | b"VP61" | b"VP62" => "vp6",
        b"VP80" => "vp8",
        b"VP90" => "vp9",
        b"AV01" => "av1",
        b"DVSD" | b"DVHD" | b"DVSL" | b"DV25" | b"DV50" => "dvvideo",
        b"CVID" => "cinepak",
        b"IV31" | b"IV32" => "indeo3",
        b"IV50" => "indeo5",
        b"HFYU" => "huffyuv",
        b"FFVH" => "ffvhuff",
        b"FFV1" => "ffv1",
        b"THEO" => "theora",
        b"SNOW" => "snow",
        b"H263" | b"U263" => "h263",
        [0, 0, 0, 0] | b"DIB " | b"RAW " | b"YUY2" | b"UYVY" | b"I420" | b"YV12" | b"IYUV" => "rawvideo",
        _ => return fourcc.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_graphic).collect(),
    };
    name.to_owned()
}

/// Returns FFmpeg's name of an audio codec, or the code itself if unknown.
pub(crate) fn audio(tag: u16, bits: u32) -> String {
    let name = match tag {
        0x0001 if bits == 8 => "pcm_u8",
        0x0001 => return format!("pcm_s{bits}le"),
        0x0002 => "adpcm_ms",
        0x0003 => return format!("pcm_f{bits}le"),
        0x0006 => "pcm_alaw",
        0x0007 => "pcm_mulaw",
        0x0011 => "adpcm_ima_wav",
        0x0050 => "mp2",
        0x0055 => "mp3",
        0x00ff | 0x1600 | 0x706d => "aac",
        0x0160 => "wmav1",
        0x0161 => "wmav2",
        0x0162 => "wmapro",
        0x2000 => "ac3",
        0x2001 => "dts",
        0x566f | 0x674f | 0x6750 | 0x6751 | 0x676f | 0x6770 | 0x6771 => "vorbis",
        0x704f => "opus",
        0xf1ac => "flac",
        other => return format!("0x{other:04x}"),
    };
    name.to_owned()
}
