//! Sources as users type them, and typical answers of servers.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::network::Network;
use proptest::prelude::*;
use std::io::Read as _;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

const HEX: &str = "a621779b5e3d486e127c3efbca9b6f8d135f52e5";

fn magnet(text: &str) -> Magnet {
    match Source::parse(text) {
        Ok(Source::Magnet(magnet)) => magnet,
        other => panic!("{text}: {other:?}"),
    }
}
fn refusal(text: &str) -> String {
    Source::parse(text).unwrap_err().to_string()
}

#[test]
fn an_info_hash_by_itself_may_be_base32_or_a_urn() {
    for text in [
        HEX,
        "UYQXPG26HVEG4ET4H354VG3PRUJV6UXF",
        "uyqxpg26hveg4et4h354vg3prujv6uxf",
        "\"A621779B5E3D486E127C3EFBCA9B6F8D135F52E5\"",
        "urn:btih:UYQXPG26HVEG4ET4H354VG3PRUJV6UXF",
        "URN:BTIH:A621779B5E3D486E127C3EFBCA9B6F8D135F52E5",
        "bittorrent:A621779B5E3D486E127C3EFBCA9B6F8D135F52E5",
        "bittorrent://a621779b5e3d486e127c3efbca9b6f8d135f52e5",
        "magnet:a621779b5e3d486e127c3efbca9b6f8d135f52e5",
        "xt=urn:btih:a621779b5e3d486e127c3efbca9b6f8d135f52e5",
    ] {
        let hash = match Source::parse(text) {
            Ok(Source::Magnet(magnet)) => magnet.info_hash,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(hash.to_string(), HEX, "{text}");
    }
}

#[test]
fn paths_that_resemble_links_stay_paths() {
    for path in [
        "stream:2.torrent",
        "magnetic.torrent",
        "'quoted'.torrent",
        "bittorrent",
        "a b&amp;c.torrent",
        "urn.torrent",
        "btih:film.torrent",
        "a&b?c.torrent",
    ] {
        assert!(matches!(Source::parse(path), Ok(Source::TorrentFile(p)) if p == Path::new(path)), "{path}");
    }
}

#[test]
fn each_kind_of_source_is_recognised_by_its_form() {
    assert!(matches!(Source::parse(&format!(" {HEX}\n")), Ok(Source::Magnet(_))));
    assert!(matches!(Source::parse("HTTPS://x.example/a.torrent?key=1"), Ok(Source::Url(_))));
    assert!(
        matches!(Source::parse("some/file.torrent"), Ok(Source::TorrentFile(p)) if p == Path::new("some/file.torrent"))
    );
    assert!(
        matches!(Source::parse("file:///a%20b.torrent"), Ok(Source::TorrentFile(p)) if p == Path::new("/a b.torrent"))
    );
    for url in
        ["file:///a%20b.torrent", "FILE://localhost/a%20b.torrent", "file:/a%20b.torrent", "'file:///a%20b.torrent'"]
    {
        assert!(matches!(Source::parse(url), Ok(Source::TorrentFile(p)) if p == Path::new("/a b.torrent")), "{url}");
    }
    assert!(refusal(&"ab".repeat(32)).contains("v2"));
    assert!(refusal("magnet:?dn=x").contains("no info-hash"));
    assert!(refusal("").contains("it is empty"));
    assert!(refusal("\u{feff}\u{200b} \n").contains("it is empty"));
    assert!(refusal("ftp://x/y").contains("only"));
    assert!(refusal("http://").contains("malformed"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), query in "[a-z.=&%:0-9ü]{0,60}") {
        let _ = Source::parse(&text);
        let _ = Source::parse(&format!("magnet{text}"));
        let _ = Source::parse(&format!("magnet:?{query}"));
        let _ = Source::parse(&format!("magnet:?xt=urn:btih:{HEX}&{query}"));
    }
}

fn torrent() -> Vec<u8> {
    [&b"d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:"[..], &[1; 20], b"ee"].concat()
}

/// Starts a server that answers every connection with these bytes. Returns the first part of its
/// URL.
async fn server(answer: impl Fn(usize) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://user:secret@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for n in 0.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(&answer(n)).await;
            let _ = socket.shutdown().await;
        }
    });
    base
}
fn ok(body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body].concat()
}
async fn get(base: &str) -> Result<Resolved> {
    resolve(Source::parse(&format!("{base}/a.torrent?passkey=hidden")).unwrap(), &Web::new(Network::open())).await
}

#[tokio::test]
async fn a_torrent_is_fetched_over_http_through_a_redirect() {
    let base = server(|n| {
        if n == 0 {
            b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
        } else {
            ok(&torrent())
        }
    })
    .await;
    assert!(matches!(get(&base).await, Ok(Resolved::Metainfo(t)) if t.layout.total_bytes() == 5));
}

/// Returns an answer with this status and location.
fn leads_to(status: &str, location: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 {status}\r\nLocation: ").as_bytes(),
        location,
        b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ]
    .concat()
}

#[tokio::test]
async fn a_url_that_redirects_to_a_magnet_link_is_that_link() {
    let link = format!("magnet:?xt=urn:btih:{HEX}&dn=A+film&so=2&x.pe=peer.example:7");
    let wanted = magnet(&link);
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        for location in [
            link.clone(),
            link.replace("magnet:?", "MAGNET:%3F"),
            link.replace('&', "&amp;"),
            link.replace("A+film", "A film"),
            link.replace("magnet:?", "magnet://?"),
            link.replace("magnet:?", "magnet%3A%3F"),
        ] {
            let base =
                server(
                    move |n| {
                        if n == 0 { leads_to("302 Found", b"/next") } else { leads_to(status, location.as_bytes()) }
                    },
                )
                .await;
            match get(&base).await {
                Ok(Resolved::Magnet(found)) => assert_eq!(found, wanted),
                other => panic!("{status}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_to_another_scheme_or_to_no_torrent_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.torrent");
    std::fs::write(&path, torrent()).unwrap();
    for (location, said) in [
        (format!("file://{}", path.display()), "cannot be opened"),
        (HEX.to_owned(), "answered"),
        ("ftp://host.example/x.torrent".to_owned(), "cannot be opened"),
        ("magnet:?dn=x".to_owned(), "has no info-hash"),
    ] {
        let base =
            server(
                move |n| {
                    if n == 0 { leads_to("302 Found", location.as_bytes()) } else { leads_to("404 Not Found", b"/") }
                },
            )
            .await;
        let message = get(&base).await.unwrap_err().to_string();
        assert!(message.contains(said) && !message.contains("hidden"), "{message}");
    }
}

#[tokio::test]
async fn a_torrent_is_known_by_its_content_whatever_the_server_calls_it() {
    let packed = |bytes: &[u8]| {
        let mut out = Vec::new();
        flate2::read::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
        out
    };
    for (header, body) in [
        ("Content-Type: text/html", torrent()),
        ("Content-Type: image/png", torrent()),
        ("Content-Encoding: gzip", packed(&torrent())),
        ("Content-Type: application/gzip", packed(&torrent())),
        ("Content-Encoding: gzip", torrent()),
        ("Content-Encoding: br", torrent()),
        ("Content-Type: text/plain", [b"\xef\xbb\xbf", &torrent()[..]].concat()),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{header}\r\nConnection: close\r\n\r\n");
        let base = server(move |_| [head.as_bytes(), &body].concat()).await;
        assert!(matches!(get(&base).await, Ok(Resolved::Metainfo(t)) if t.layout.total_bytes() == 5), "{header}");
    }
    let link = format!("\u{feff}magnet:?xt=urn:btih:{HEX}\r\n");
    let base = server(move |_| ok(link.as_bytes())).await;
    assert!(matches!(get(&base).await, Ok(Resolved::Magnet(m)) if m.info_hash.to_string() == HEX));
}

#[tokio::test]
async fn every_failure_of_a_server_is_a_sentence_without_secrets() {
    let endless = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    for (answer, said) in [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "404"),
        (endless, "redirected"),
        (ok(b"<html>log in</html>"), "web page"),
        (ok(b"\xef\xbb\xbf\r\n <!DOCTYPE html>"), "web page"),
        (ok(b""), "empty"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n\x1f\x8bxx".to_vec(), "decompressed"),
        (ok(b"rubbish"), "cannot be used"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec(), "larger"),
        (ok(&vec![b'd'; MAX_TORRENT_BYTES + 10]), "larger"),
        (b"no http at all".to_vec(), "cannot be used"),
    ] {
        let base = server(move |_| answer.clone()).await;
        let message = get(&base).await.unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
        assert!(!message.contains("secret") && !message.contains("hidden"), "{message}");
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(matches!(get(&format!("http://{free}")).await, Err(Error::Fetch { .. })));
}

#[tokio::test]
async fn files_are_read_within_the_limit_and_failures_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let client = Web::new(Network::open());
    let path = dir.path().join("x.torrent");
    std::fs::write(&path, torrent()).unwrap();
    assert!(matches!(resolve(Source::from(path.as_path()), &client).await, Ok(Resolved::Metainfo(_))));
    std::fs::write(&path, format!("magnet:?xt=urn:btih:{HEX}\n")).unwrap();
    assert!(matches!(resolve(Source::from(path.as_path()), &client).await, Ok(Resolved::Magnet(_))));
    std::fs::write(&path, "\n<html>saved by mistake</html>").unwrap();
    assert!(resolve(Source::from(path.as_path()), &client).await.unwrap_err().to_string().contains("web page"));
    std::fs::File::create(&path).unwrap().set_len(MAX_TORRENT_BYTES as u64 * 20).unwrap();
    assert!(resolve(Source::from(path.as_path()), &client).await.unwrap_err().to_string().contains("larger"));
    let missing = resolve(Source::from(dir.path().join("nothing").as_path()), &client).await.unwrap_err();
    assert!(matches!(&missing, Error::Storage { doing: "read", .. }), "{missing}");
    assert!(resolve(Source::from(dir.path()), &client).await.unwrap_err().to_string().contains("folder"));
}

const SHA1: &str = "3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ";
const TIGER: &str = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";

#[test]
fn a_hash_of_a_file_is_a_source_as_a_link_and_alone() {
    let file = |text: &str| match Source::parse(text) {
        Ok(Source::File(file)) => file,
        other => panic!("{text}: {other:?}"),
    };
    for text in [
        format!("magnet:?xt=urn:bitprint:{SHA1}.{TIGER}&as=http%3A%2F%2Fh.example%2Ff&xl=7&dn=film.mkv"),
        format!("\"urn:bitprint:{SHA1}.{TIGER}\""),
        format!("urn:sha1:{SHA1}"),
        format!("urn:tree:tiger:{TIGER}"),
        format!(" urn:ttroot:{TIGER}\n"),
    ] {
        let found = file(&text);
        assert!(!found.is_nameless(), "{text}");
    }
    let alone = file(&format!("urn:tree:tiger:{TIGER}?xl=7&dn=a+film.mkv&as=http://h.example/f"));
    assert_eq!((alone.length, alone.name.as_deref(), alone.servers.len()), (Some(7), Some("a film.mkv"), 1));
    // The torrent is the better source.
    let both = format!("magnet:?xt=urn:sha1:{SHA1}&xt=urn:btih:{HEX}");
    assert_eq!(magnet(&both).hashes.sha1.map(|_| ()), Some(()));
    assert!(refusal("urn:sha1:short").contains("neither the hash of a file"), "{}", refusal("urn:sha1:short"));
}

fn metalink(files: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{files}</metalink>")
        .into_bytes()
}

fn listed(name: &str, bytes: u64, rest: &str) -> String {
    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    format!("<file name=\"{name}\"><size>{bytes}</size><hash type=\"sha-1\">{sha1}</hash>{rest}</file>")
}

#[tokio::test]
async fn a_metalink_is_its_largest_playable_file_wherever_it_comes_from() {
    let urls = "<url>http://127.0.0.1:9/film.mkv</url><url>http://h.example/film.mkv</url>";
    let body =
        metalink(&[listed("notes.txt", 999, ""), listed("a/film.mkv", 77, urls), listed("b.mkv", 5, "")].concat());
    let check = |found: Result<Resolved>, class| match found {
        Ok(Resolved::File(file)) => {
            assert_eq!((file.length, file.shown_name().as_str(), file.servers.len()), (Some(77), "film.mkv", 2));
            assert!(file.servers.iter().all(|server| server.named_by == class));
        }
        other => panic!("{other:?}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("films.meta4");
    std::fs::write(&path, &body).unwrap();
    check(resolve(Source::from(path.as_path()), &Web::new(Network::open())).await, AddressClass::Loopback);
    let base = server(move |_| ok(&body)).await;
    check(get(&base).await, AddressClass::Loopback);
}

#[tokio::test]
async fn a_metalink_that_proves_nothing_is_refused_in_a_sentence() {
    let torrent = "<metaurl mediatype=\"torrent\">http://h.example/film.torrent?key=1</metaurl>";
    for (body, said) in [
        (metalink("<file name=\"f.mkv\"><url>http://h.example/f</url></file>"), "nothing proves its bytes"),
        (
            metalink(&format!("<file name=\"f.mkv\">{torrent}</file>")),
            "open the torrent that it names, http://h.example/film.torrent",
        ),
        (metalink("<file name=\"f.mkv\">"), "(a Metalink)"),
        (b"<html>urn:ietf</html>".to_vec(), "web page"),
    ] {
        let message =
            resolve(Source::TorrentBytes(body.into()), &Web::new(Network::open())).await.unwrap_err().to_string();
        assert!(message.contains(said) && !message.contains("key=1"), "{message}");
    }
}

#[test]
fn a_mirror_that_is_no_url_of_http_is_refused_for_every_source_without_its_secrets() {
    for (text, says) in [
        ("ftp://user:s3cret@h.example/film.mkv?token=s3cret", "the mirror ftp://h.example/film.mkv is no http"),
        ("user:s3cret@h.example/film.mkv", "a mirror is no http"),
        ("http://user:s3cret@", "a mirror is no http"),
    ] {
        let source = Source::Magnet(magnet(HEX));
        let why = source.with_mirrors([text]).unwrap_err().to_string();
        assert!(why.contains(says) && !why.contains("s3cret"), "{text}: {why}");
    }
}
