//! The TLS handshake with a client, as a job beside the session's loop: a gateway that stops, and the session's other
//! deadlines, are heard while it runs. It has one deadline for all it does, the last words in clear included.
//!
//! RFC 4217 §4 (AUTH).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ftpsgate_certs::{SessionResolver, alternative_names_of, subject_of};
use ftpsgate_ftp::codec::Reply;
use ftpsgate_ftp::session::ControlTls;
use ftpsgate_policies::request::Certificate;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tracing::warn;

use super::transfer::{suite_name, version_name};
use crate::control::Drained;
use crate::service::Service;
use crate::tls::{HandshakeError, SessionTls};

/// A handshake under way. Dropping it closes the connection.
pub(super) type Securing = Pin<Box<dyn Future<Output = Result<Box<Secured>, HandshakeError>> + Send>>;

/// What comes of it; boxed, since it is large and the loop that hears of it is to stay small.
pub(super) struct Secured {
    /// For the session's data connections.
    pub(super) tls: SessionTls,
    /// The control connection.
    pub(super) stream: TlsStream<TcpStream>,
    /// What was agreed on.
    pub(super) control: ControlTls,
}

/// AUTH: `reply` behind everything that was said before it, then TLS.
pub(super) fn after(reply: Reply, service: Arc<Service>, drained: Drained, dialled: SocketAddr) -> Securing {
    Box::pin(async move {
        let patience = service.listener.handshake_timeout;
        let handshake = async {
            let stream = drained.say(&reply).await.map_err(HandshakeError::Io)?;
            secure(&service, stream, dialled).await
        };
        timeout(patience, handshake).await.unwrap_or(Err(HandshakeError::Deadline))
    })
}

/// Implicit: TLS before anything is said.
pub(super) fn at_once(service: Arc<Service>, stream: TcpStream, dialled: SocketAddr) -> Securing {
    Box::pin(async move { secure(&service, stream, dialled).await })
}

async fn secure(
    service: &Service,
    stream: TcpStream,
    dialled: SocketAddr,
) -> Result<Box<Secured>, HandshakeError> {
    let offered = service.tls.as_ref().expect("a listener that offers TLS has a profile");
    let dialled = dialled.ip().to_canonical();
    let resolver = Arc::new(SessionResolver::new(Arc::clone(&offered.certificates), dialled));
    let tls = SessionTls::new(Arc::clone(&offered.profile), Arc::clone(&resolver) as _)?;
    let accepted = tls.accept_control(stream, service.listener.handshake_timeout).await;
    if let Some(error) = resolver.refused() {
        warn!(%error, "no certificate for this client");
    }
    let (stream, control) = accepted?;
    let control = ControlTls {
        server_name: control.sni,
        version: version_name(control.version),
        suite: suite_name(control.suite),
        resumed: control.resumed,
        client_certificate: control.client_certificate.as_ref().and_then(describe).map(Box::new),
    };
    Ok(Box::new(Secured { tls, stream, control }))
}

/// What rules may ask of a certificate; `None` where it cannot be read.
fn describe(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    Some(Certificate {
        subject: subject_of(certificate).unwrap_or_default(),
        names: alternative_names_of(certificate),
        key: ftpsgate_certs::Pin::of(certificate)?.to_string(),
    })
}
