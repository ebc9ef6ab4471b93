//! Who may push: checks of the name of the server against DNS rebinding, of web pages, and of the
//! token.

use super::IngestConfig;
use crate::hosts::Hosts;
use playswarm::live::protocol::ingest::{Refusal, Request};
use playswarm::{Error, Result};
use std::collections::BTreeSet;
use subtle::ConstantTimeEq;

/// Random bytes of a token that the server draws.
const TOKEN_BYTES: usize = 16;

/// The rules of one server.
pub(super) struct Access {
    /// `None` where none is asked for.
    token: Option<String>,
    hosts: Hosts,
}

impl Access {
    pub(super) fn new(config: &IngestConfig, own_names: BTreeSet<String>) -> Result<Access> {
        let token = match &config.token {
            Some(token) => Some(token.clone()).filter(|token| !token.is_empty()),
            None => Some(drawn()?),
        };
        Ok(Access { token, hosts: Hosts::new(own_names, &config.allow_hosts) })
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Checks a request over HTTP.
    pub(super) fn check(&self, request: &Request) -> Result<(), Refusal> {
        if let Some(host) = request.host.as_deref().filter(|host| !self.hosts.is_ours(host)) {
            let sentence = format!(
                "the host name {host} is not accepted, as a protection against DNS rebinding; use the printed address, \
                 or add the name to the setting allow_hosts"
            );
            return Err(Refusal::new(403, sentence));
        }
        if request.is_from_page {
            return Err(Refusal::new(403, "web pages may not push a stream; use an encoder"));
        }
        self.check_token(request.credentials.as_ref().map(|credentials| credentials.secret.as_str()))
    }

    /// Checks what a client shows as a token.
    pub(super) fn check_token(&self, shown: Option<&str>) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let is_right = shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(token.as_bytes())));
        if is_right { Ok(()) } else { Err(Refusal::unauthorized()) }
    }
}

fn drawn() -> Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    let no_randomness = |e: getrandom::Error| Error::Io { doing: "drawing a token", source: e.into() };
    getrandom::fill(&mut bytes).map_err(no_randomness)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
