//! Rules that no real encoder shows.
#![allow(clippy::unwrap_used)]

use super::IngestConfig;
use super::access::Access;
use std::collections::BTreeSet;

#[test]
fn a_token_is_drawn_where_none_is_set_and_none_is_asked_for_where_it_is_empty() {
    let access = |token: Option<&str>| {
        let config = IngestConfig { token: token.map(str::to_owned), ..IngestConfig::default() };
        config.check().unwrap();
        Access::new(&config, BTreeSet::new()).unwrap()
    };
    let [one, two] = [access(None), access(None)];
    assert_eq!(one.token().map(str::len), Some(32));
    assert_ne!(one.token(), two.token());
    assert!(one.check_token(one.token()).is_ok());
    for wrong in [None, Some(""), two.token()] {
        assert_eq!(one.check_token(wrong).unwrap_err().status, 401);
    }
    let open = access(Some(""));
    assert!(open.token().is_none() && open.check_token(None).is_ok());
    let set = access(Some("a-b"));
    assert!(set.check_token(Some("a-b")).is_ok() && set.check_token(Some("a-c")).is_err());
}

#[test]
fn settings_that_cannot_be_used_are_refused_with_a_sentence() {
    let default = IngestConfig::default;
    for (config, name) in [
        (IngestConfig { token: Some("a b".into()), ..default() }, "token"),
        (IngestConfig { allow_hosts: vec!["*".into()], ..default() }, "allow_hosts"),
        (IngestConfig { max_connections: 0, ..default() }, "max_connections"),
        (IngestConfig { max_connections_per_host: 0, ..default() }, "max_connections_per_host"),
    ] {
        let sentence = config.check().unwrap_err().to_string();
        assert!(sentence.contains(name), "{sentence}");
    }
    let shown = format!("{:?}", IngestConfig { token: Some("geheim".into()), ..default() });
    assert!(!shown.contains("geheim"), "{shown}");
}
