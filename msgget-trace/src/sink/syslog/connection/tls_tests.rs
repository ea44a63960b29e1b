//! TLS with certificates made here: whom we trust, who we are, and what is said when that does not do.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
};

use super::{
    open::{dial, tcp},
    tests::octet_counted,
    *,
};
use crate::sink::syslog::{Peer, Target, TlsError, TlsOptions, tls::Tls};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An authority, and files for what it issues.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let key = KeyPair::generate().unwrap();
        // Two of one name are told apart by their signatures only.
        let name: String = key.public_key_raw().iter().map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ca(&self) -> TlsOptions {
        TlsOptions { ca: Some(self.file("ca.pem")), ..TlsOptions::default() }
    }

    /// Certificate and key for `name`, in one file.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = self.file(&format!("{name}.pem"));
        fs::write(&file, certificate.pem() + &key.serialize_pem()).unwrap();
        file
    }
}

/// A server with what `file` holds, for one connection; asks for a certificate of `clients` if there are any. Tells what it
/// read, or the error that ended it.
struct Server {
    address: SocketAddr,
    read: JoinHandle<io::Result<Vec<u8>>>,
}

impl Server {
    async fn new(file: &PathBuf, version: &'static SupportedProtocolVersion, clients: Option<&Authority>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(authority.file("ca.pem")).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                config.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![CertificateDer::from_pem_file(file).unwrap()];
        let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(file).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let read = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
            // So that a sender can come to a stop.
            sleep(Duration::from_millis(50)).await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            Ok(all)
        });
        Self { address, read }
    }

    async fn connect(&self, options: TlsOptions) -> Result<Connection, OpenError> {
        let peer = Peer { host: self.address.ip().to_string(), port: self.address.port() };
        Connection::open(&Target::Tls(peer, options)).await
    }
}

/// The error of the only address.
fn refused(opened: Result<Connection, OpenError>) -> String {
    match opened {
        Err(error @ OpenError::Unreachable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_arrive_and_the_end_is_said() {
    for version in VERSIONS {
        let authority = Authority::new();
        let server = Server::new(&authority.issue("127.0.0.1", |_| ()), version, None).await;
        let mut connection = server.connect(authority.ca()).await.unwrap();
        let long = vec![b'x'; 100_000];
        assert_eq!(connection.send(&[b"one", &long]).await.unwrap(), 2);
        assert_eq!(connection.send(&[b"three"]).await.unwrap(), 1);
        connection.close().await.unwrap();
        // Without close_notify reading to the end would fail.
        let read = server.read.await.unwrap().unwrap();
        assert_eq!(octet_counted(&read), [b"one".to_vec(), long, b"three".to_vec()]);
    }
}

#[tokio::test]
async fn a_stranger_is_not_trusted() {
    for version in VERSIONS {
        let (theirs, ours) = (Authority::new(), Authority::new());
        let server = Server::new(&theirs.issue("127.0.0.1", |_| ()), version, None).await;
        let message = refused(server.connect(ours.ca()).await);
        assert!(message.contains("UnknownIssuer") && message.contains("name that with ca="), "{message}");
        assert!(server.read.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_ours() {
    let authority = Authority::new();
    let server = Server::new(&authority.issue("127.0.0.1", |_| ()), &TLS13, None).await;
    match server.connect(TlsOptions::default()).await {
        // Where there are none at all.
        Err(OpenError::Tls { error: TlsError::NoRoots(_), .. }) => {}
        other => assert!(refused(other).contains("UnknownIssuer")),
    }
}

#[tokio::test]
async fn the_name_has_to_be_right() {
    for version in VERSIONS {
        let authority = Authority::new();
        let file = authority.issue("collector.example", |_| ());
        let server = Server::new(&file, version, None).await;
        let message = refused(server.connect(authority.ca()).await);
        assert!(message.contains("not valid for") && message.contains("say with name="), "{message}");

        let server = Server::new(&file, version, None).await;
        let named = TlsOptions { name: Some("collector.example".into()), ..authority.ca() };
        server.connect(named).await.unwrap();
    }
}

#[tokio::test]
async fn its_time_has_to_be_right() {
    for (since, until) in [(2010, 2011), (4000, 4001)] {
        let authority = Authority::new();
        let file = authority.issue("127.0.0.1", |params| {
            params.not_before = date_time_ymd(since, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
        });
        let server = Server::new(&file, &TLS13, None).await;
        let message = refused(server.connect(authority.ca()).await);
        assert!(message.contains("renew it, or set the clock"), "{message}");
    }
}

#[tokio::test]
async fn who_asks_for_our_certificate_gets_it() {
    for version in VERSIONS {
        let authority = Authority::new();
        let server = Server::new(&authority.issue("127.0.0.1", |_| ()), version, Some(&authority)).await;
        let certificate = authority.issue("sensor.example", |_| ());
        let mut connection =
            server.connect(TlsOptions { certificate: Some(certificate), ..authority.ca() }).await.unwrap();
        assert_eq!(connection.send(&[b"one"]).await.unwrap(), 1);
        connection.close().await.unwrap();
        assert_eq!(server.read.await.unwrap().unwrap(), b"3 one");
    }
}

#[tokio::test]
async fn who_asks_and_gets_none_or_a_strangers_refuses_before_anything_is_sent() {
    for version in VERSIONS {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let file = authority.issue("127.0.0.1", |_| ());
        let server = Server::new(&file, version, Some(&authority)).await;
        let message = refused(server.connect(authority.ca()).await);
        // TLS 1.2 has no alert of its own for it.
        assert!(message.contains("certificate=") || message.contains("its log says why"), "{message}");

        let server = Server::new(&file, version, Some(&authority)).await;
        let certificate = Some(stranger.issue("sensor.example", |_| ()));
        let message = refused(server.connect(TlsOptions { certificate, ..authority.ca() }).await);
        assert!(message.contains("its log says why"), "{message}");
    }
}

#[tokio::test]
async fn a_peer_that_ends_tls_gets_nothing_more() {
    for version in VERSIONS {
        let authority = Authority::new();
        let server = Server::new(&authority.issue("127.0.0.1", |_| ()), version, None).await;
        let mut connection = server.connect(authority.ca()).await.unwrap();
        assert_eq!(connection.send(&[b"one"]).await.unwrap(), 1);
        server.read.abort();
        assert!(server.read.await.unwrap_err().is_cancelled());
        assert!(matches!(connection.send(&[b"two"]).await, Err(SendError::Lost { sent: 0, .. })));
    }
}

#[tokio::test]
async fn a_stalled_peer_of_tls_gets_each_message_once() {
    let authority = Authority::new();
    let server = Server::new(&authority.issue("127.0.0.1", |_| ()), &TLS13, None).await;
    let mut connection = server.connect(authority.ca()).await.unwrap();
    let messages: Vec<Vec<u8>> = (0..50_000).map(|nth| format!("{nth:0100}").into_bytes()).collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut sent = 0;
    let mut cancelled = 0;
    while sent < slices.len() {
        // Cancelled whenever it has to wait: the peer, a task of this thread, reads only in between.
        match timeout(Duration::ZERO, connection.send(&slices[sent..])).await {
            Ok(more) => sent += more.unwrap(),
            Err(_) => {
                cancelled += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert!(cancelled > 0);
    connection.close().await.unwrap();
    assert!(octet_counted(&server.read.await.unwrap().unwrap()) == messages);
}

#[tokio::test]
async fn a_peer_that_never_shakes_hands_costs_its_share_of_time_only() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = Peer { host: "127.0.0.1".into(), port: address.port() };
    let tls = Tls::new(&peer, &authority.ca()).unwrap();
    let end = Instant::now() + Duration::from_millis(100);
    let tried = dial(&[address], end, async |address| tls.over(tcp(address).await?).await).await.unwrap_err();
    assert_eq!(tried[0].error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn files_that_do_not_do_are_said() {
    let authority = Authority::new();
    let peer = Peer { host: "collector".into(), port: 6514 };
    let certificate = authority.issue("a.example", |_| ());
    let other = authority.issue("b.example", |_| ());
    let (missing, empty, broken) = (authority.file("missing"), authority.file("empty"), authority.file("broken"));
    fs::write(&empty, "nothing\n").unwrap();
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let ca = authority.ca();
    for (options, reason) in [
        (TlsOptions { ca: Some(missing.clone()), ..ca.clone() }, "cannot read the certificate of an authority in"),
        (TlsOptions { ca: Some(empty.clone()), ..ca.clone() }, "empty: there is none"),
        (TlsOptions { ca: Some(broken), ..ca.clone() }, "cannot use the certificate of an authority in"),
        (TlsOptions { certificate: Some(missing), ..ca.clone() }, "cannot read our certificate in"),
        (
            TlsOptions { certificate: Some(certificate.clone()), key: Some(empty), ..ca.clone() },
            "cannot read the key of our certificate in",
        ),
        (
            TlsOptions { certificate: Some(certificate), key: Some(other), ..ca.clone() },
            "cannot use the key of our certificate in",
        ),
        (TlsOptions { name: Some("not a name".into()), ..ca }, "\"not a name\" cannot stand in a certificate"),
    ] {
        let message = Tls::new(&peer, &options).map(drop).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
}
