//! The token as the password of the user `playswarm` (RFC 2617). Digest is offered without `qop`,
//! which live555 and GStreamer do not know, and Basic for clients that know only that.

use super::request::Request;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// Name of the user, and of the realm.
const USER: &str = "playswarm";

/// The challenges of a connection.
pub(crate) struct Challenge {
    nonce: String,
}

/// What a request proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// That the client knows the token.
    Valid,
    /// The same, with the nonce of another connection. The client can repeat it without asking its
    /// user.
    Stale,
    None,
}

impl Challenge {
    /// Returns the challenges with a nonce that was drawn for the connection.
    pub(crate) fn new(nonce: u128) -> Challenge {
        Challenge { nonce: format!("{nonce:032x}") }
    }

    /// Returns the values of `WWW-Authenticate`, the strongest first.
    pub(crate) fn headers(&self, proof: Proof) -> [String; 2] {
        let stale = if proof == Proof::Stale { ", stale=true" } else { "" };
        [format!("Digest realm=\"{USER}\", nonce=\"{}\"{stale}", self.nonce), format!("Basic realm=\"{USER}\"")]
    }

    /// Checks the `Authorization` of a request.
    pub(crate) fn check(&self, request: &Request, token: &str) -> Proof {
        let Some((scheme, value)) = request.header("Authorization").and_then(|value| value.split_once(' ')) else {
            return Proof::None;
        };
        if scheme.eq_ignore_ascii_case("Basic") {
            let expected = BASE64.encode(format!("{USER}:{token}"));
            let same: bool = value.trim().as_bytes().ct_eq(expected.as_bytes()).into();
            return if same { Proof::Valid } else { Proof::None };
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Proof::None;
        }
        let fields = parameters(value);
        let field = |name: &str| fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let [Some(USER), Some(nonce), Some(uri), Some(response)] = ["username", "nonce", "uri", "response"].map(field)
        else {
            return Proof::None;
        };
        let secret = hash(&format!("{USER}:{USER}:{token}"));
        // The resource is not compared with that of the request: clients take the film's URL for
        // those of its streams, and the token opens all of them.
        let asked = hash(&format!("{}:{uri}", request.method));
        let middle = match field("qop") {
            None => nonce.to_owned(),
            Some(qop) => {
                let [count, client] = ["nc", "cnonce"].map(|name| field(name).unwrap_or_default());
                format!("{nonce}:{count}:{client}:{qop}")
            }
        };
        let expected = hash(&format!("{secret}:{middle}:{asked}"));
        if !bool::from(response.to_ascii_lowercase().as_bytes().ct_eq(expected.as_bytes())) {
            return Proof::None;
        }
        if nonce == self.nonce { Proof::Valid } else { Proof::Stale }
    }
}

fn hash(text: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(text.as_bytes()).into()))
}

/// Splits `name=value, name="value"`. A value in quotes may have commas; escapes are not used by
/// what is compared here.
fn parameters(mut text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let (value, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.push((name.trim_matches([' ', '\t', ',']), value.trim()));
        text = after;
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::request::{Input, Parser};
    use super::*;

    fn request(method: &str, authorization: &str) -> Request {
        let mut parser = Parser::default();
        let head = format!("{method} rtsp://h/0/a RTSP/1.0\r\nCSeq: 1\r\nAuthorization: {authorization}\r\n\r\n");
        parser.feed(head.as_bytes());
        let Ok(Some(Input::Request(request))) = parser.next() else { panic!("{authorization}") };
        request
    }

    /// Returns the example of RFC 2617, section 3.5, with our user, realm and method.
    fn digest(method: &str, password: &str, nonce: &str, more: &str, middle: &str) -> String {
        let secret = hash(&format!("playswarm:playswarm:{password}"));
        let response = hash(&format!("{secret}:{nonce}{middle}:{}", hash(&format!("{method}:rtsp://h/0,b/"))));
        format!(
            "Digest username=\"playswarm\", realm=\"playswarm\",nonce=\"{nonce}\", uri=\"rtsp://h/0,b/\"{more}, response=\"{response}\""
        )
    }

    #[test]
    fn the_hash_is_that_of_rfc_1321() {
        assert_eq!(hash("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn a_digest_proves_the_token_for_its_method_and_connection() {
        let challenge = Challenge::new(7);
        let nonce = format!("{:032x}", 7);
        assert!(challenge.headers(Proof::None)[0].ends_with(&format!("nonce=\"{nonce}\"")));
        let check = |method: &str, header: &str| challenge.check(&request(method, header), "s3cret");
        let good = digest("PLAY", "s3cret", &nonce, "", "");
        assert_eq!(check("PLAY", &good), Proof::Valid);
        assert_eq!(check("SETUP", &good), Proof::None, "of another method");
        assert_eq!(check("PLAY", &digest("PLAY", "secret", &nonce, "", "")), Proof::None);
        assert_eq!(check("PLAY", &good.replace("username=\"playswarm", "username=\"admin")), Proof::None);
        let other = digest("PLAY", "s3cret", "00", "", "");
        assert_eq!(check("PLAY", &other), Proof::Stale, "of another connection");
        assert!(challenge.headers(Proof::Stale)[0].ends_with(", stale=true"));
        let quality = digest("PLAY", "s3cret", &nonce, ", qop=auth, nc=00000001, cnonce=\"c\"", ":00000001:c:auth");
        assert_eq!(check("PLAY", &quality), Proof::Valid);
        for wrong in ["Digest", "Digest x", "Digest username=\"playswarm", "Bearer s3cret", "Digest =,=,\"=\""] {
            assert_eq!(check("PLAY", wrong), Proof::None, "{wrong}");
        }
    }

    #[test]
    fn basic_proves_it_too() {
        let challenge = Challenge::new(7);
        let header = |text: &str| format!("basic {}", BASE64.encode(text));
        assert_eq!(challenge.check(&request("PLAY", &header("playswarm:s3cret")), "s3cret"), Proof::Valid);
        assert_eq!(challenge.check(&request("PLAY", &header("playswarm:S3cret")), "s3cret"), Proof::None);
        assert_eq!(challenge.check(&request("PLAY", &header("admin:s3cret")), "s3cret"), Proof::None);
    }
}
