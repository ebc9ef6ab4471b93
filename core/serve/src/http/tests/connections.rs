//! Connections that occupy slots and time, and their ends.

use super::*;

const HURRIED: Patience = Patience {
    first_head: Duration::from_millis(300),
    idle: Duration::from_millis(600),
    stall: Duration::from_secs(1),
};

/// Waits until the server has closed the connection. Returns the time that it took.
async fn closed(client: &mut Client) -> Duration {
    let begun = Instant::now();
    while client.more().await {}
    begun.elapsed()
}

#[tokio::test]
async fn idle_connections_give_their_places_to_a_player() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let config = HttpConfig { max_connections: 8, ..HttpConfig::default() };
    let server = serve_library(shelf, 0, config).await.unwrap();
    let mut silent = Vec::new();
    for n in 0..20 {
        let mut client = Client::to(&server).await;
        if n % 2 == 0 {
            client.0.write_all(b"GET /stream/0 HTTP/1.1\r\nHost: loc").await.unwrap();
        }
        silent.push(client);
    }
    for _ in 0..20 {
        let mut player = Client::to(&server).await;
        assert_eq!(player.ask("GET", "/stream/0", &[]).await.status, 200);
        silent.push(player);
    }
}

#[tokio::test]
async fn a_client_that_closes_its_own_side_alone_gets_all_that_is_there() {
    let server = serve_library(shelf(&[("film.mp4", 8_000_000)]), 0, HttpConfig::default()).await.unwrap();
    for first in [false, true] {
        let mut client = Client::to(&server).await;
        if first {
            assert_eq!(client.ask("HEAD", "/stream/0", &[]).await.status, 200);
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        client.send("GET", "/stream/0", &[]).await;
        client.0.shutdown().await.unwrap();
        let mut body = Vec::new();
        client.0.read_to_end(&mut body).await.unwrap();
        let head = body.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(body.len() - head, 8_000_000);
    }
}

#[tokio::test]
async fn a_connection_without_a_token_holds_no_place() {
    let config = HttpConfig { token: Some("geheim".into()), ..HttpConfig::default() };
    let server = serve_library(shelf(&[("film.mp4", 1000)]), 0, config).await.unwrap();
    let mut client = Client::to(&server).await;
    assert_eq!(client.ask("GET", "/stream/0", &[]).await.status, 401);
    assert!(closed(&mut client).await < Duration::from_secs(5));
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_its_connection() {
    let server =
        super::super::serve_library(shelf(&[("film.mp4", 1000)]), 0, HttpConfig::default(), HURRIED).await.unwrap();
    let mut silent = Client::to(&server).await;
    let mut slow = Client::to(&server).await;
    let mut quick = Client::to(&server).await;
    assert_eq!(quick.ask("GET", "/stream/0", &[]).await.status, 200);
    let drip = async {
        for b in b"GET /stream/0 HTTP/1.1\r\n".iter().cycle() {
            if slow.0.write_all(&[*b]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), drip).await.expect("a connection that drips is closed");
    closed(&mut silent).await;
    closed(&mut quick).await;
}

#[tokio::test]
async fn a_body_of_which_nothing_is_taken_ends_and_one_that_is_read_slowly_does_not() {
    // More than is read slowly in the ten seconds below, because otherwise that body might end
    // first.
    let size = 128 << 20;
    let mut shelf = shelf(&[("film.mp4", 1000)]);
    shelf.data = Arc::new(vec![Bytes::from(vec![7u8; size])]);
    Arc::make_mut(&mut shelf.torrent).files[0].length = size as u64;
    let server = super::super::serve_library(shelf.clone(), 0, HttpConfig::default(), HURRIED).await.unwrap();
    let mut slow = Client::to(&server).await;
    slow.send("GET", "/stream/0", &[]).await;
    let mut stuck = Client::to(&server).await;
    stuck.send("GET", "/stream/0", &[]).await;
    let begun = Instant::now();
    while shelf.open_readers.load(Ordering::SeqCst) != 1 || begun.elapsed() < Duration::from_secs(2) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} are open", shelf.open_readers.load(Ordering::SeqCst));
        // Some MiB per second, less than the server can send.
        let taken = slow.1.len();
        while slow.1.len() < taken + (1 << 20) {
            assert!(slow.more().await);
        }
        slow.1.clear();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_body_that_waits_for_the_swarm_is_not_ended() {
    let mut shelf = shelf(&[("film.mp4", 1 << 20)]);
    shelf.dry_from = 1000;
    shelf.data = Arc::new(vec![pattern(0, 1000)]);
    let server = super::super::serve_library(shelf.clone(), 0, HttpConfig::default(), HURRIED).await.unwrap();
    let mut client = Client::to(&server).await;
    client.send("GET", "/stream/0", &[]).await;
    client.head().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 1);
}
