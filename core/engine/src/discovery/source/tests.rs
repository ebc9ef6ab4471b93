//! Sources as users type them, and servers as they answer.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
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
fn a_magnet_link_is_read_whole() {
    let m = magnet(&format!(
        "magnet:?xt=urn:btih:{HEX}&dn=A+film%20%28x%29&tr=udp%3A%2F%2Ft.example%3A80&tr=http://u.example/a&tr=udp://t.example:80&so=0-99999999999&x.pe=1.2.3.4:5&x.pe=[::1]:6&x.pe=host.example:7&x.pe=1.2.3.4:0&x.pe=1.2.3.4:5&unknown=1"
    ));
    assert_eq!(m.info_hash.to_string(), HEX);
    assert_eq!(m.name.as_deref(), Some("A film (x)"));
    assert_eq!(m.trackers, ["udp://t.example:80", "http://u.example/a"]);
    assert_eq!(m.peers, ["1.2.3.4:5".parse().unwrap(), "[::1]:6".parse().unwrap()]);
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
    assert!(refusal("magnet:").contains("no torrent"));
    assert!(refusal("magnet:?dn=x").contains("no torrent"));
    assert!(refusal("magnet:?xt=urn:btih:123").contains("hexadecimal"));
    assert!(refusal(&format!("magnet:?xt=urn:btih:{}", "ü".repeat(20))).contains("hexadecimal"));
    assert!(refusal(&format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{}", "0".repeat(40))).contains("two"));
    assert!(refusal(&format!("magnet:?xt=urn:btih:{HEX}&dn={}", "x".repeat(100_000))).contains("at most"));
}

#[test]
fn each_kind_of_source_is_told_by_its_shape() {
    assert!(matches!(Source::parse(&format!(" {HEX}\n")), Ok(Source::InfoHash(_))));
    assert!(matches!(Source::parse("HTTPS://x.example/a.torrent?key=1"), Ok(Source::Url(_))));
    assert!(
        matches!(Source::parse("some/file.torrent"), Ok(Source::TorrentFile(p)) if p == Path::new("some/file.torrent"))
    );
    assert!(
        matches!(Source::parse("file:///a%20b.torrent"), Ok(Source::TorrentFile(p)) if p == Path::new("/a b.torrent"))
    );
    assert!(refusal("").contains("nothing"));
    assert!(refusal("ftp://x/y").contains("only"));
    assert!(refusal("http://").contains("none"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), query in "[a-z.=&%:0-9ü]{0,60}") {
        let _ = Source::parse(&text);
        let _ = Source::parse(&format!("magnet:?{query}"));
        let _ = Source::parse(&format!("magnet:?xt=urn:btih:{HEX}&{query}"));
    }
}

fn torrent() -> Vec<u8> {
    [&b"d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:"[..], &[1; 20], b"ee"].concat()
}

/// Answers every connection with these bytes; gives the URL's beginning.
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
    resolve(Source::parse(&format!("{base}/a.torrent?passkey=hidden")).unwrap(), &http_client().unwrap()).await
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
    assert!(matches!(get(&base).await, Ok(Resolved::Torrent(t)) if t.layout.total_bytes() == 5));
}

#[tokio::test]
async fn every_failure_of_a_server_is_a_sentence_without_secrets() {
    let endless = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    for (answer, said) in [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "404"),
        (endless, "redirected"),
        (ok(b"<html>log in</html>"), "web page"),
        (ok(b"rubbish"), "cannot be used"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec(), "larger"),
        (ok(&vec![b'd'; MAX_TORRENT_BYTES + 10]), "larger"),
        (b"no http at all".to_vec(), "could not fetch"),
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
    let client = http_client().unwrap();
    let path = dir.path().join("x.torrent");
    std::fs::write(&path, torrent()).unwrap();
    assert!(matches!(resolve(Source::from(path.as_path()), &client).await, Ok(Resolved::Torrent(_))));
    std::fs::File::create(&path).unwrap().set_len(MAX_TORRENT_BYTES as u64 * 20).unwrap();
    assert!(resolve(Source::from(path.as_path()), &client).await.unwrap_err().to_string().contains("larger"));
    let missing = resolve(Source::from(dir.path().join("nothing").as_path()), &client).await.unwrap_err();
    assert!(matches!(&missing, Error::Storage { doing: "read", .. }), "{missing}");
    assert!(resolve(Source::from(dir.path()), &client).await.unwrap_err().to_string().contains("folder"));
}
