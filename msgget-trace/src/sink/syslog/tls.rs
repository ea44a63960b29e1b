//! Certificates in files and a TCP connection go in, a TLS connection with a peer that proved its name comes out.
//!
//! TLS 1.2 and 1.3, the safe suites of rustls with ring. The chain, the name and the times of the certificate are checked; lists of
//! revoked certificates are not looked at.

use std::{io, path::Path, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, CertificateError, ClientConfig, ProtocolVersion, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

use super::{
    connection::hear,
    target::{Peer, TlsOptions},
};

/// How long a peer has to refuse us after the handshake.
const REFUSAL: Duration = Duration::from_millis(250);

/// Why TLS cannot even be tried.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that cannot be read, or is no PEM.
    #[error("cannot read {what} in {path}: {reason}; name a PEM file that this user may read")]
    Read {
        /// What was looked for in it.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// What is in the files does not do.
    #[error("cannot use {what} in {path}: {error}")]
    Use {
        /// What it was to be.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        error: rustls::Error,
    },
    /// Nobody is trusted.
    #[error("this system trusts no certificate authority ({0}); install ca-certificates, or name a file with ca=")]
    NoRoots(String),
    /// The host is no name that can stand in a certificate.
    #[error("{0:?} cannot stand in a certificate; say with name= what does")]
    Name(String),
    /// The library refuses its own settings.
    #[error("TLS: {0}")]
    Setup(rustls::Error),
}

/// What a connection needs.
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the files. That is done for every connection, so that new ones are used as soon as they are there.
    pub(super) fn new(peer: &Peer, options: &TlsOptions) -> Result<Self, TlsError> {
        let name = options.name.as_ref().unwrap_or(&peer.host);
        let server = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()))?;
        let trusting = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots(options.ca.as_deref())?);
        let config = match &options.certificate {
            None => trusting.with_no_client_auth(),
            Some(path) => {
                let chain = certificates("our certificate", path)?;
                let (what, file) = ("the key of our certificate", options.key.as_ref().unwrap_or(path));
                let key = PrivateKeyDer::from_pem_file(file).map_err(|error| unreadable(what, file, error))?;
                trusting.with_client_auth_cert(chain, key).map_err(|error| unusable(what, file, error))?
            }
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name: server })
    }

    /// Shakes hands over `tcp`.
    pub(super) async fn over(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = self.connector.connect(self.name.clone(), tcp).await.map_err(explain)?;
        let (tcp, session) = stream.get_ref();
        // In TLS 1.3 the handshake is over for us before the peer has seen our certificate (RFC 8446 2). Most peers then send a
        // ticket, or say why they refuse us; who does neither in this time is taken at its word.
        if session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            drop(timeout(REFUSAL, tcp.readable()).await);
            hear(&mut stream).await.map_err(explain)?;
        }
        Ok(stream)
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let what = "the certificate of an authority";
            for certificate in certificates(what, path)? {
                roots.add(certificate).map_err(|error| unusable(what, path, error))?;
            }
            Ok(roots)
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            system_roots(found.certs, &found.errors)
        }
    }
}

/// Some of what systems ship cannot be read by everybody; the rest will do.
fn system_roots(
    found: Vec<CertificateDer<'static>>,
    errors: &[rustls_native_certs::Error],
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(found);
    if roots.is_empty() {
        let errors: String = errors.iter().map(|error| format!("{error}, ")).collect();
        return Err(TlsError::NoRoots(format!("{errors}{ignored} of no use")));
    }
    Ok(roots)
}

/// At least one.
fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unreadable(what, path, "there is none")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(what, path, error)),
    }
}

fn unreadable(what: &'static str, path: &Path, reason: impl ToString) -> TlsError {
    TlsError::Read { what, path: path.display().to_string(), reason: reason.to_string() }
}

fn unusable(what: &'static str, path: &Path, error: rustls::Error) -> TlsError {
    TlsError::Use { what, path: path.display().to_string(), error }
}

/// Adds what to do to what is wrong with the peer's certificate, or with ours.
fn explain(error: io::Error) -> io::Error {
    use rustls::{AlertDescription, Error};
    let hint = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidCertificate(reason)) => match reason {
            CertificateError::UnknownIssuer => "its authority is not trusted here: name that with ca=",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "say with name= what stands in it, if that is the right one"
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => "renew it, or set the clock of this host",
            _ => "replace it",
        },
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it wants to know who we are: name a certificate with certificate="
        }
        Some(Error::AlertReceived(_)) => "its log says why",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_trusts_nobody_is_said() {
        let message = system_roots(vec![vec![1, 2, 3].into()], &[]).map(drop).unwrap_err().to_string();
        assert!(message.contains("(1 of no use)") && message.contains("install ca-certificates"), "{message}");
    }
}
