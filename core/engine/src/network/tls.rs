//! TLS for connections that the HTTP client does not make.
//!
//! It is the same implementation with the same certificates: those of this machine. Without any,
//! only https fails.

use super::Network;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What to do where no authority vouches for a server.
const NO_AUTHORITY: &str = "no authority known to this machine vouches for the server's certificate; install CA \
    certificates (the package ca-certificates), or name a file that holds them by the environment's SSL_CERT_FILE";

/// The settings of TLS, made on first use.
#[derive(Debug, Default)]
pub(super) struct Tls(OnceLock<Result<Arc<ClientConfig>, String>>);

impl Network {
    /// Begins TLS on a connection to a host, a name or an address. HTTP/1.1 is spoken on it.
    ///
    /// # Errors
    ///
    /// Returns those of the connection, and an error if the certificate is not trusted.
    pub(crate) async fn secure(&self, stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let config = self.tls.0.get_or_init(config).clone().map_err(io::Error::other)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

fn config() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?;
    // Fails only without certificates.
    let verified = builder.with_platform_verifier().map_err(|_| NO_AUTHORITY.to_owned())?;
    let mut config = verified.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns a sentence about a certificate that is not trusted, from the TLS crate's error as text.
/// `None` for other errors. `has_certificates` says whether this machine has any of authorities.
pub(crate) fn certificate_trouble(cause: &str, has_certificates: bool) -> Option<String> {
    let (_, what) = cause.split_once("invalid peer certificate: ")?;
    Some(match what {
        // An authority of the same name with another key signed nothing.
        what if !matches!(what, "UnknownIssuer" | "BadSignature") && has_certificates => {
            format!("the server's certificate is not trusted ({what}); check its name and this machine's clock")
        }
        _ => NO_AUTHORITY.to_owned(),
    })
}
