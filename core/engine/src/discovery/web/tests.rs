//! Permitted and refused addresses, and typical answers of servers.
#![allow(clippy::unwrap_used)]

use super::*;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const USER: AddressClass = AddressClass::Loopback;
const STRANGER: AddressClass = AddressClass::Global;

fn terms(named_by: AddressClass, announce_only: bool, family: Option<Family>) -> Terms {
    Terms { named_by, announce_only, family, timeout: Duration::from_secs(5), max_bytes: 1000 }
}
fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
/// Returns the permitted addresses, or the reason why there are none.
fn may(named_by: AddressClass, path: &str, addresses: &[&str]) -> Result<Vec<SocketAddr>, String> {
    permitted(&addrs(addresses), &terms(named_by, true, None), path, &Network::open()).map_err(|why| match why {
        NotGot::Failed(why) => why,
        NotGot::NoSuchFamily => "no such family".into(),
    })
}

#[test]
fn what_a_stranger_names_in_our_networks_is_not_asked() {
    let (public, home, mapped) = ("8.8.8.8:80", "192.168.1.1:80", "[::ffff:127.0.0.1]:80");
    assert_eq!(may(STRANGER, "/announce", &[public]), Ok(addrs(&[public])));
    assert!(may(STRANGER, "/announce", &[home]).unwrap_err().contains("local network"));
    assert!(may(STRANGER, "/announce", &[mapped]).unwrap_err().contains("local network"));
    assert_eq!(may(STRANGER, "/announce", &[home, public, mapped]), Ok(addrs(&[public])), "of a name with all three");
    assert!(may(STRANGER, "/announce", &["0.0.0.0:80"]).unwrap_err().contains("not a unicast address"));
}

#[test]
fn a_tracker_of_the_users_at_home_is_asked_for_announces_only() {
    let (public, home) = ("8.8.8.8:80", "192.168.1.1:80");
    for path in ["/announce", "/announce.php", "/announce/0123456789abcdef"] {
        assert_eq!(may(USER, path, &[home]), Ok(addrs(&[home])), "{path}");
    }
    for path in ["/", "/announcer", "/reboot.cgi", "/cgi-bin/reboot/announce", "/Announce", ""] {
        assert!(may(USER, path, &[home]).unwrap_err().contains("only at /announce"), "{path}");
        assert_eq!(may(USER, path, &[home, public]), Ok(addrs(&[public])), "{path}");
    }
    let any_path = permitted(&addrs(&[home]), &terms(USER, false, None), "/film.torrent", &Network::open());
    assert_eq!(any_path, Ok(addrs(&[home])), "the user's own URL");
}

#[test]
fn both_families_are_tried_in_turn_or_the_one_that_is_wanted() {
    let all = ["[2001:db8::1]:1", "[2001:db8::2]:1", "9.9.9.1:1", "9.9.9.2:1", "9.9.9.3:1"];
    let wanted = addrs(&["[2001:db8::1]:1", "9.9.9.1:1", "[2001:db8::2]:1", "9.9.9.2:1", "9.9.9.3:1"]);
    assert_eq!(may(STRANGER, "/", &all), Ok(wanted));
    let only = |family, addresses: &[&str]| {
        permitted(&addrs(addresses), &terms(STRANGER, true, Some(family)), "/", &Network::open())
    };
    assert_eq!(only(Family::V4, &all), Ok(addrs(&all[2..])));
    assert_eq!(only(Family::V6, &all), Ok(addrs(&all[..2])));
    assert_eq!(only(Family::V6, &all[2..]), Err(NotGot::NoSuchFamily));
    let many: Vec<String> = (1..100).map(|n| format!("9.9.9.{n}:1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(may(STRANGER, "/", &many).unwrap().len(), MAX_ADDRESSES);
}

#[tokio::test]
async fn a_silent_address_costs_a_second_and_a_closed_one_nothing() {
    let begun = Instant::now();
    let ask = |addr: SocketAddr| async move {
        match addr.port() {
            1 => std::future::pending().await,
            2 => Err("closed".to_owned()),
            port => Ok(port),
        }
    };
    assert_eq!(race(addrs(&["9.9.9.9:2", "9.9.9.9:3"]), ask).await, Ok(3));
    assert!(begun.elapsed() < STAGGER / 2);
    assert_eq!(race(addrs(&["9.9.9.9:1", "9.9.9.9:2", "9.9.9.9:4"]), ask).await, Ok(4));
    assert!((STAGGER..3 * STAGGER).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(race(addrs(&["9.9.9.9:2"]), ask).await, Err("closed".to_owned()));
}

/// Starts a server that answers each request with the same bytes. Returns its address.
async fn server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(&answer).await;
            let _ = socket.shutdown().await;
        }
    });
    addr
}
fn ok(body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body].concat()
}

#[tokio::test]
async fn a_name_is_asked_at_the_address_that_was_checked_and_at_no_other() {
    let port = server(ok(b"here")).await.port();
    let get = async |url: String, named_by| {
        Web::new(Network::open()).get(url.parse().unwrap(), terms(named_by, true, None)).await
    };
    match get(format!("http://localhost:{port}/announce"), USER).await.unwrap() {
        Got::Body { body, from, .. } => assert_eq!((&body[..], from), (&b"here"[..], AddressClass::Loopback)),
        other => panic!("{other:?}"),
    }
    for url in [format!("http://localhost:{port}/announce"), format!("http://127.1:{port}/announce")] {
        assert!(matches!(get(url, STRANGER).await, Err(NotGot::Failed(why)) if why.contains("local network")));
    }
    // Not even if the client itself resolves the name.
    assert!(Pinned.resolve("localhost".parse().unwrap()).await.is_err());
    let chosen: SocketAddr = "203.0.113.7:9".parse().unwrap();
    let resolve = async |name: &str| {
        let name = name.parse().unwrap();
        PINNED.scope(("localhost".to_owned(), chosen), async { Pinned.resolve(name).await }).await
    };
    assert_eq!(resolve("LocalHost").await.unwrap().collect::<Vec<_>>(), [chosen]);
    assert!(resolve("other.example").await.is_err());
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_and_one_to_another_scheme_is_reported() {
    let to = |place: &str| format!("HTTP/1.1 307 X\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    let end = server(ok(b"end")).await;
    let get = async |from: SocketAddr| {
        Web::new(Network::open()).get(format!("http://{from}/announce").parse().unwrap(), terms(USER, true, None)).await
    };
    let once = server(to(&format!("http://{end}/other"))).await;
    assert!(matches!(get(once).await, Ok(Got::Body { body, .. }) if &body[..] == b"end"));
    let magnet = "magnet:?xt=urn:btih:0123456789012345678901234567890123456789";
    let elsewhere = server(to(magnet)).await;
    assert!(matches!(get(elsewhere).await, Ok(Got::Elsewhere { url, .. }) if url == magnet));
    let endless = server(to("/announce")).await;
    assert!(matches!(get(endless).await, Err(NotGot::Failed(why)) if why.contains("redirected")));
}

#[tokio::test]
async fn a_stranger_names_no_port_of_another_service_and_a_user_any() {
    let get = async |url: &str, terms| match Web::new(Network::open()).get(url.parse().unwrap(), terms).await {
        Err(NotGot::Failed(why)) => why,
        other => panic!("{other:?}"),
    };
    for port in [22, 25, 1023] {
        let url = format!("http://127.0.0.1:{port}/announce");
        assert!(
            get(&url, terms(USER, true, None)).await.contains("belongs to another service"),
            "a tracker of a torrent"
        );
        assert!(get(&url, terms(STRANGER, false, None)).await.contains("belongs to another service"));
    }
    let typed = get("http://127.0.0.1:1/film.torrent", terms(USER, false, None)).await;
    assert!(!typed.contains("another service"), "{typed}");
}

#[tokio::test]
async fn names_of_local_networks_are_not_left_to_the_users_proxy() {
    let config =
        crate::Config { proxy: Some("socks5://u:s3cret@127.0.0.1:1".parse().unwrap()), ..crate::Config::offline(".") };
    let web = Web::new(Network::new(&config).await.unwrap());
    let get = async |url: &str, named_by| match web.get(url.parse().unwrap(), terms(named_by, false, None)).await {
        Err(NotGot::Failed(why)) => why,
        other => panic!("{other:?}"),
    };
    for name in ["localhost", "router", "nas.local", "metadata.google.internal"] {
        assert!(get(&format!("http://{name}/"), STRANGER).await.contains("local network"), "{name}");
        assert!(get(&format!("http://{name}/"), USER).await.contains("asked through the proxy"), "{name}");
    }
    let why = get("http://tracker.example/announce", STRANGER).await;
    assert!(why.contains("through the proxy socks5://127.0.0.1:1)") && !why.contains("s3cret"), "{why}");
}

#[tokio::test]
async fn a_servent_is_asked_four_times_at_most_through_a_proxy_as_well() {
    // Its port takes no connections, so that each request fails at once.
    let config = crate::Config { proxy: Some("http://127.0.0.1:1".parse().unwrap()), ..crate::Config::offline(".") };
    let web = Web::new(Network::new(&config).await.unwrap());
    let url = "http://9.9.9.9:6346/uri-res/N2R?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    let mut answers = Vec::new();
    for _ in 0..5 {
        match web.get(url.parse().unwrap(), terms(USER, false, None)).await {
            Err(NotGot::Failed(why)) => answers.push(why),
            other => panic!("{other:?}"),
        }
    }
    assert!(answers[..4].iter().all(|why| why.contains("through the proxy")), "{answers:?}");
    assert!(answers[4].contains("asked often"), "{answers:?}");
}
