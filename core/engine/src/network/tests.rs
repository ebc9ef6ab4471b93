//! What the policy permits, and settings that cannot be used.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::ErrorKind;
use futures_util::FutureExt;
use std::io::Write;

fn offline() -> Config {
    Config::offline(".")
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn refused(config: Config) -> Error {
    match Network::new(&config).await {
        Ok(network) => panic!("{network:?}"),
        Err(e) => e,
    }
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_an_error_that_lists_the_others() {
    for (interface, says) in [("no-such-0", "no interface of this name"), ("192.0.2.77", "has the address 192.0.2.77")]
    {
        let e = refused(Config { interface: Some(interface.to_owned()), ..offline() }).await;
        assert_eq!(e.kind(), ErrorKind::BadConfig);
        assert!(e.to_string().contains(says) && e.to_string().contains("lo"), "{e}");
    }
}

#[tokio::test]
async fn an_address_to_listen_at_is_a_choice_unless_it_is_every_address_or_loopback() {
    for (listen, is_chosen) in [("0.0.0.0:1", false), ("[::]:1", false), ("127.0.0.1:1", false), ("192.0.2.1:1", true)]
    {
        let config = Config { listen: Some(listen.parse().unwrap()), ..offline() };
        let network = Network::new(&config).await.unwrap();
        assert_eq!((network.is_chosen(), network.is_restricted()), (is_chosen, is_chosen), "{listen}");
        // The other family would leave by another way.
        assert_eq!(network.permit(ip("2606:4700::1")).is_err(), is_chosen, "{listen}");
        assert!(network.permit(ip("9.9.9.9")).is_ok() && network.permit(ip("::1")).is_ok());
    }
    let (network, far) = (Network::new(&offline()).await.unwrap(), "9.9.9.9:6881".parse().unwrap());
    assert!(network.permit_dial(far).await.is_err(), "a session of this machine alone");
}

#[tokio::test]
async fn with_a_proxy_there_are_no_datagrams_no_lookups_and_no_loopback_listener_that_matters() {
    let config = Config { proxy: Some("socks5://u:s3cret@127.0.0.1:1".parse().unwrap()), ..offline() };
    let network = Network::new(&config).await.unwrap();
    assert!(network.is_proxied() && network.is_restricted() && network.dht_address().is_none());
    assert!(network.udp("9.9.9.9:6969".parse().unwrap()).is_err());
    assert!(network.lookup("localhost", 1).await.is_err());
    assert!(network.permit_dial("9.9.9.9:6881".parse().unwrap()).await.is_ok());
    assert!(!format!("{network:?} {:?}", network.proxy()).contains("s3cret"));
    let why = network.connect("9.9.9.9:6881".parse().unwrap()).await.unwrap_err();
    assert_eq!(why.kind(), io::ErrorKind::ConnectionRefused, "{why}");
    // The session has no port either.
    let session = crate::Session::new(config).await.unwrap();
    assert_eq!(session.listen_addr(), None);
    session.close().await;
}

#[test]
fn a_name_has_one_stand_in_that_leads_back_to_it() {
    let mut names = names::Names::default();
    let one = names.stand_in("Seed.Example", 6881).unwrap();
    assert_eq!(one, "198.18.0.1:6881".parse().unwrap());
    assert_eq!(names.stand_in("seed.example", 6881), Some(one));
    let other = names.stand_in("seed.example", 6882).unwrap();
    assert_eq!(
        (names.destination(one), names.destination(other)),
        ("seed.example:6881".into(), "seed.example:6882".into())
    );
    for unknown in ["198.18.0.1:80", "9.9.9.9:6881", "[2606:4700::1]:6881"] {
        assert_eq!(names.destination(unknown.parse().unwrap()), unknown);
    }
    let all = (0..10_000).filter_map(|n| names.stand_in(&format!("h{n}"), 1)).collect::<std::collections::HashSet<_>>();
    assert_eq!(all.len(), 4096 - 2);
}

#[tokio::test]
async fn a_blocklist_is_read_plain_and_packed_and_holds_in_every_form_of_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let text = b"bad:9.9.9.0-9.9.9.255\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    for bytes in [text.to_vec(), packed.finish().unwrap()] {
        std::fs::write(&path, bytes).unwrap();
        let network = Network::new(&Config { blocklist: Some(path.clone()), listen: None, ..offline() }).await.unwrap();
        for blocked in ["9.9.9.9", "::ffff:9.9.9.9", "64:ff9b::909:909"] {
            assert!(network.blocks(ip(blocked)) && network.permit(ip(blocked)).is_err(), "{blocked}");
            assert!(network.permit_dial(SocketAddr::new(ip(blocked), 6881)).await.is_err(), "{blocked}");
            assert!(network.udp(SocketAddr::new(ip(blocked), 6881)).is_err(), "{blocked}");
        }
        assert!(network.permit(ip("9.9.8.9")).is_ok() && network.is_restricted());
    }
    std::fs::write(&path, "<html>").unwrap();
    let e = refused(Config { blocklist: Some(path.clone()), ..offline() }).await;
    assert!(e.kind() == ErrorKind::BadConfig && e.to_string().contains("no range of addresses"), "{e}");
    let e = refused(Config { blocklist: Some(folder.path().join("none")), ..offline() }).await;
    assert!(e.kind() == ErrorKind::Storage && e.to_string().contains("blocklist"), "{e}");
}

#[test]
fn dials_in_one_network_wait_and_are_then_refused() {
    let network = Network::open();
    let dial = |host: u8| network.permit_dial(SocketAddr::new(IpAddr::from([9, 9, 9, host]), 6881)).now_or_never();
    for host in 0..10 {
        assert!(matches!(dial(host), Some(Ok(()))), "{host}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    // Five wait for two to ten seconds.
    assert!((10..15).all(|host| dial(host).is_none()));
    let refused = dial(15).expect("at once").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
    assert!(matches!(network.permit_dial("8.8.8.8:6881".parse().unwrap()).now_or_never(), Some(Ok(()))));
}
