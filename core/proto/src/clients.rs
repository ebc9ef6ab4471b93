//! Names of clients according to their peer ids, for display.
//!
//! They are guesses, as a peer id can hold anything. The extended handshake's `v` (BEP 10) is more
//! reliable if present.

/// Returns the client's name and version, guessed from a peer id of the Azureus style (`-qB4650-…`)
/// or of a few other styles.
pub fn client_name(peer_id: &[u8; 20]) -> String {
    if peer_id[0] == b'-' && peer_id[7] == b'-' {
        let code = &peer_id[1..3];
        if let Some(name) = azureus(code) {
            return format!("{name} {}", version(code, &peer_id[3..7]));
        }
        if code.iter().all(u8::is_ascii_graphic) {
            return format!("unknown ({}{})", char::from(code[0]), char::from(code[1]));
        }
    }
    // Mainline and related clients: a letter, then numbers with dashes: M7-10-5--.
    if peer_id[0] == b'M' && peer_id[1].is_ascii_digit() && peer_id[2] == b'-' {
        return "BitTorrent (mainline)".to_owned();
    }
    if let Some(rest) = peer_id.strip_prefix(b"A2-") {
        // aria2 writes its version in full: A2-1-36-0-.
        let parts: Vec<u8> = rest.iter().copied().take_while(|b| b.is_ascii_digit() || *b == b'-').collect();
        return format!("aria2 {}", String::from_utf8_lossy(&parts).trim_end_matches('-').replace('-', "."));
    }
    if peer_id.starts_with(b"exbc") {
        return "BitComet".to_owned();
    }
    "unknown".to_owned()
}

fn azureus(code: &[u8]) -> Option<&'static str> {
    Some(match code {
        b"7T" => "aTorrent",
        b"A2" => "aria2",
        b"AG" => "Ares",
        b"AZ" => "Azureus/Vuze",
        b"BC" => "BitComet",
        b"BE" => "BitTorrent SDK",
        b"BI" => "BiglyBT",
        b"BN" => "Baidu Netdisk",
        b"BT" => "BitTorrent",
        b"DE" => "Deluge",
        b"FD" => "Free Download Manager",
        b"FL" => "Folx",
        b"FW" => "FrostWire",
        b"GT" => "anacrolix/torrent",
        b"HL" => "Halite",
        b"KT" => "KTorrent",
        b"LT" => "libtorrent",
        b"lt" => "libTorrent (rTorrent)",
        b"LW" => "LimeWire",
        b"PI" => "PicoTorrent",
        b"PW" => "playswarm",
        b"qB" => "qBittorrent",
        b"rQ" => "rqbit",
        b"SD" | b"XL" => "Xunlei",
        b"TL" => "Tribler",
        b"TR" => "Transmission",
        b"TX" => "Tixati",
        b"UM" => "µTorrent for Mac",
        b"UT" => "µTorrent",
        b"UW" => "µTorrent Web",
        b"WW" => "WebTorrent",
        b"WD" => "WebTorrent Desktop",
        _ => return None,
    })
}

/// Returns a version of four characters. Most clients write a digit (or a letter above 9) for each
/// part; some write two parts of two digits.
fn version(code: &[u8], text: &[u8]) -> String {
    if matches!(code, b"WW" | b"WD" | b"PW") {
        let two = |s: &[u8]| std::str::from_utf8(s).ok().and_then(|s| s.parse::<u8>().ok()).unwrap_or(0);
        return format!("{}.{}", two(&text[..2]), two(&text[2..]));
    }
    let digit = |b: u8| char::from(b).to_digit(36).unwrap_or(0);
    let parts: Vec<String> = text.iter().map(|b| digit(*b).to_string()).collect();
    // The last part is a build letter or zero in nearly all clients: shown only if it is not zero.
    if text[3] == b'0' { parts[..3].join(".") } else { parts.join(".") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(start: &str) -> [u8; 20] {
        let mut id = [b'x'; 20];
        id[..start.len()].copy_from_slice(start.as_bytes());
        id
    }

    #[test]
    fn well_known_clients_are_recognised() {
        assert_eq!(client_name(&id("-qB4650-")), "qBittorrent 4.6.5");
        assert_eq!(client_name(&id("-TR3000-")), "Transmission 3.0.0");
        assert_eq!(client_name(&id("-LT20B0-")), "libtorrent 2.0.11");
        assert_eq!(client_name(&id("-WW0205-")), "WebTorrent 2.5");
        assert_eq!(client_name(&id("M7-10-5--")), "BitTorrent (mainline)");
        assert_eq!(client_name(&id("A2-1-36-0-")), "aria2 1.36.0");
    }

    #[test]
    fn anything_else_is_unknown_and_harmless_to_print() {
        assert_eq!(client_name(&id("-!?0000-")), "unknown (!?)");
        assert_eq!(client_name(&[0; 20]), "unknown");
        assert_eq!(client_name(&id("-\u{1b}[0000-")), "unknown");
    }
}
