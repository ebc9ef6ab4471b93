//! What playlists may name, and what is read of the files that they name.
#![allow(clippy::unwrap_used)]

use super::hls::List;
use crate::discovery::web::Web;
use crate::network::Network;
use playswarm_proto::AddressClass;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// Serves ten digits at any path, and counts the requests. The first one is broken off.
async fn digits(answers_ranges: bool) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/list.m3u8", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap();
            let has_range = String::from_utf8_lossy(&head[..read]).to_lowercase().contains("range: bytes=2-4");
            let (status, body) = match counted.fetch_add(1, Ordering::Relaxed) {
                0 => ("503 Service Unavailable", ""),
                _ if has_range && answers_ranges => ("206 Partial Content", "234"),
                _ => ("200 OK", "0123456789"),
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_part_of_a_file_is_read_from_servers_with_and_without_ranges() {
    let web = Web::new(Network::open());
    for answers_ranges in [true, false] {
        let (url, asked) = digits(answers_ranges).await;
        let list = List { web: &web, url, from: AddressClass::Loopback };
        let (url, part, from) = list.load("part.ts", Some(&(2..5)), 1000).await.unwrap();
        assert_eq!((url.path(), &part[..], from), ("/part.ts", &b"234"[..], AddressClass::Loopback));
        assert_eq!(asked.load(Ordering::Relaxed), 2, "one that failed is requested again");
        assert_eq!(&list.load("all.ts", None, 1000).await.unwrap().1[..], b"0123456789");
        assert!(list.load("all.ts", None, 9).await.unwrap_err().contains("larger than 9 bytes"));
    }
}

#[tokio::test]
async fn a_playlist_of_the_internet_does_not_lead_to_this_machine() {
    let web = Web::new(Network::open());
    let (url, asked) = digits(true).await;
    let list = List { web: &web, url, from: AddressClass::Global };
    let why = list.load("part.ts", None, 1000).await.unwrap_err();
    assert!(why.contains("in the local network"), "{why}");
    assert!(list.load("file:///etc/passwd", None, 1000).await.unwrap_err().contains("only HTTP"));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}
