//! Magnet links as programs write them and as people pass them on.

use super::*;
use proptest::prelude::*;

const HEX: &str = "a621779b5e3d486e127c3efbca9b6f8d135f52e5";

fn magnet(text: &str) -> Magnet {
    match parse(&bare(text)) {
        Some(Ok(magnet)) => magnet,
        other => panic!("{text}: {other:?}"),
    }
}
fn refusal(text: &str) -> String {
    parse(text).unwrap().unwrap_err().to_string()
}

#[test]
fn a_magnet_link_is_read_whole() {
    let m = magnet(&format!(
        "magnet:?xt=urn:btih:{HEX}&dn=A+film%20%28x%29&tr=udp%3A%2F%2Ft.example%3A80&tr=http://u.example/a&tr=udp://t.example:80&so=0-99999999999,7,x,9-8&x.pe=1.2.3.4:5&x.pe=[::1]:6&x.pe=host.example:7&x.pe=1.2.3.4:0&x.pe=1.2.3.4:5&unknown=1"
    ));
    assert_eq!(m.info_hash.to_string(), HEX);
    assert_eq!(m.name.as_deref(), Some("A film (x)"));
    assert_eq!(m.trackers, ["udp://t.example:80", "http://u.example/a"]);
    assert_eq!(m.peers, ["1.2.3.4:5", "[::1]:6", "host.example:7"].map(|peer| peer.parse().unwrap()));
    assert_eq!(m.files, [0..=99_999_999_999, 7..=7]);
    assert_eq!(magnet(&m.to_string()), m);
}

#[test]
fn an_info_hash_may_be_base32_or_upper_case() {
    let wanted = magnet(&format!("magnet:?xt=urn:btih:{HEX}")).info_hash;
    assert_eq!(magnet(&format!("MAGNET:?xt=URN:BTIH:{}", HEX.to_uppercase())).info_hash, wanted);
    assert_eq!(magnet("magnet:?xt=urn:btih:UYQXPG26HVEG4ET4H354VG3PRUJV6UXF").info_hash, wanted);
    assert_eq!(magnet("magnet:?xt.1=urn:btih:uyqxpg26hveg4et4h354vg3prujv6uxf").info_hash, wanted);
}

#[test]
fn magnet_links_that_name_no_v1_torrent_are_refused() {
    assert!(
        refusal("magnet:?xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e")
            .contains("v2")
    );
    assert!(refusal("magnet:").contains("no info-hash"));
    assert!(refusal("magnet:?dn=x").contains("no info-hash"));
    assert!(refusal("magnet:?xt=urn:btih:123").contains("hexadecimal"));
    assert!(refusal(&format!("magnet:?xt=urn:btih:{}", "ü".repeat(20))).contains("hexadecimal"));
    assert!(refusal(&format!("magnet:?xt=urn:btih:{HEX}&dn={}", "x".repeat(100_000))).contains("at most"));
}

#[test]
fn a_link_is_read_however_desktops_pages_shells_and_people_spell_it() {
    let wanted = magnet(&format!("magnet:?xt=urn:btih:{HEX}&dn=A%20film%20%26%20more&tr=udp%3A%2F%2Ft.example%3A80"));
    assert_eq!(wanted.name.as_deref(), Some("A film & more"));
    let whole = wanted.to_string();
    let query = &whole["magnet:?".len()..];
    let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let encoded = encoded.replace('+', "%20");
    let twice: String = form_urlencoded::byte_serialize(encoded.as_bytes()).collect();
    let upper = query.replace("dn=", "DN=").replace("tr=", "Tr=").replace("xt=urn:btih:", "XT=URN:BTIH:");
    for spelled in [
        format!("magnet:%3F{query}"),
        format!("magnet:%3f{encoded}"),
        format!("magnet%3A%3F{encoded}"),
        format!("magnet:?{twice}"),
        whole.replace('&', "&amp;"),
        whole.replace('&', "&amp;amp;"),
        whole.replace('&', "&#38;"),
        whole.replace('&', "\\u0026"),
        whole.replace('&', "\\&").replace('=', "\\=").replace('?', "\\?"),
        format!("MAGNET:?{upper}"),
        format!("magnet://?{query}"),
        format!("magnet:/?{query}"),
        format!("stream-magnet:?{query}"),
        format!("stream:?{query}"),
        format!("web+magnet:?{query}"),
        format!("\"{whole}\""),
        format!("'{whole}'\r\n"),
        format!("<{whole}>"),
        format!("\u{feff} “{whole}”\u{200b}\n"),
        whole.replace("&tr", "\n    &tr"),
        format!("{whole}\nmagnet:?xt=urn:btih:{}\n", "0".repeat(40)),
        whole.replace("&dn", "&xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e&dn"),
        whole.replace("xt=", "xt=urn:btih:none&xt.1="),
        whole.replace("tr=", "tr.1="),
        whole.replace("tr=udp%3A%2F%2F", "tr=udp%253A%252F%252F"),
        whole.replace(HEX, &HEX.to_uppercase()),
        whole.replace(HEX, &format!("{HEX}/")),
        format!("{whole}&xt.2=urn:btih:{}", "0".repeat(40)),
        whole.replace("urn:btih:", "urn%253Abtih%253A"),
        whole.replace("urn:btih:", "urn%25253Abtih%25253A"),
        whole.replace("urn:btih:", "btih:"),
        whole.replace("urn:btih:", ""),
        whole.replace("magnet:?xt=urn:btih:", ""),
        whole.replace("magnet:?xt=urn:btih:", "btih:"),
        whole.replace("magnet:?xt=urn:btih:", "").replacen('&', "?", 1),
    ] {
        assert_eq!(magnet(&spelled), wanted, "{spelled}");
    }
}

#[test]
fn a_link_of_a_stranger_names_no_peer_near_us_and_no_host() {
    let link = magnet(&format!("magnet:?xt=urn:btih:{HEX}&x.pe=9.9.9.9:7000&x.pe=10.0.0.1:7000&x.pe=host.example:7"));
    assert_eq!(link.peers.len(), 3);
    let named = link.named_by(AddressClass::Global);
    assert_eq!((named.named_by, &named.peers[..]), (AddressClass::Global, &["9.9.9.9:7000".parse().unwrap()][..]));
}

const SHA1: &str = "3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ";
const TIGER: &str = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";

#[test]
fn servers_are_read_encoded_or_not_and_a_plus_is_part_of_their_urls() {
    let urls = |field: &str| {
        let link = magnet(&format!("magnet:?xt=urn:btih:{HEX}&{field}"));
        assert_eq!(magnet(&link.to_string()), link, "{field}");
        link.servers.iter().map(|server| server.url.to_string()).collect::<Vec<_>>()
    };
    for field in [
        "ws=http://h.example/a+b%20c/f.iso",
        "ws=http%3A%2F%2Fh.example%2Fa%2Bb%20c%2Ff.iso",
        "ws=http%3A%2F%2Fh.example%2Fa%2Bb%2520c%2Ff.iso",
        "ws.1=HTTP://h.example:80/a+b%20c/f.iso&ws.2=http://h.example/a+b%20c/f.iso",
        "ws=http%253A%252F%252Fh.example%252Fa%252Bb%252520c%252Ff.iso",
        "ws=ftp://no.example/&ws=file:///etc/passwd&ws=&ws=http://h.example/a+b%20c/f.iso",
    ] {
        assert_eq!(urls(field), ["http://h.example/a+b%20c/f.iso"], "{field}");
    }
    let many: String = (0..1000).map(|n| format!("&ws=http://h{n}/")).collect();
    assert_eq!(urls(&many[1..]).len(), MAX_SERVERS);
    let link =
        magnet(&format!("magnet:?xt=urn:btih:{HEX}&xs=https://t.example/f.torrent&xs=urn:sha1:x&as=http://m/f&so=1-2"));
    let servers: Vec<_> = link.servers.iter().map(|server| (server.role, server.url.as_str())).collect();
    assert_eq!(servers, [(Role::Exact, "https://t.example/f.torrent"), (Role::Acceptable, "http://m/f")]);
    assert_eq!((magnet(&link.to_string()), link.files.clone()), (link, vec![1..=2]));
}

#[test]
fn a_link_may_name_one_file_by_its_hash() {
    let file = |text: &str| parse_file(&bare(text)).unwrap();
    let link =
        file(&format!("magnet:?xt=urn:bitprint:{SHA1}.{TIGER}&xl=0&dn=a+film.mkv&xs=http://h/uri-res/N2R")).unwrap();
    assert_eq!((link.length, link.name.as_deref()), (Some(0), Some("a film.mkv")));
    assert!(link.hashes.sha1.is_some() && link.hashes.tiger.is_some() && link.servers[0].role == Role::Exact);
    assert_eq!(file(&link.to_string()), Ok(link.clone()));
    let both = file(&format!("magnet:?xt.1=urn:sha1:{SHA1}&xt.2=urn:tree:tiger/:{TIGER}")).unwrap();
    assert_eq!(both.hashes, link.hashes);
    let twice = file(&format!("magnet:?xt=urn%253Atree%253Atiger%253A{TIGER}")).unwrap();
    assert_eq!((twice.hashes.tiger, twice.hashes.sha1), (link.hashes.tiger, None));
    // Not a torrent, and the other way around.
    assert!(refusal(&format!("magnet:?xt=urn:sha1:{SHA1}")).contains("one file by its hash"));
    let torrent = format!("magnet:?xt=urn:btih:{HEX}&xt=urn:sha1:{SHA1}");
    assert_eq!(magnet(&torrent).hashes.sha1, link.hashes.sha1);
    assert!(file(&torrent).unwrap_err().0.contains("torrent"));
    assert!(file("magnet:?dn=x").unwrap_err().0.contains("no hash"));
    assert!(parse_file("http://h/").is_none());
    assert_eq!(link.named_by(AddressClass::Global).named_by, AddressClass::Global);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), query in "[a-z.=&%:0-9ü]{0,60}") {
        for text in [text.clone(), format!("magnet{text}"), format!("magnet:?xt=urn:btih:{HEX}&{query}")] {
            let _ = parse(&bare(&text));
            let _ = parse_file(&bare(&text));
        }
    }
}
