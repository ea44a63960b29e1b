//! Connections to peers that listen, are slow, go away or never come.

use std::{
    io::{Read, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener},
    thread,
    time::Duration,
};

use socket2::SockRef;
use tokio::time::{Instant, sleep, timeout};

use super::{
    open::{dial, tcp},
    *,
};
use crate::sink::syslog::{Peer, Target};

fn peer(address: SocketAddr) -> Peer {
    Peer { host: address.ip().to_string(), port: address.port() }
}

async fn connect(target: Target) -> Connection {
    Connection::open(&target).await.unwrap()
}

fn listen() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(peer(listener.local_addr().unwrap()));
    (listener, target)
}

/// Reads `MSG-LEN SP MSG` until the end.
pub(super) fn octet_counted(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').unwrap();
        let digits = std::str::from_utf8(&rest[..space]).unwrap();
        assert!(!digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
        let (message, after) = rest[space + 1..].split_at(digits.parse().unwrap());
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

fn read_all(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    })
}

fn numbered(count: usize, length: usize) -> Vec<Vec<u8>> {
    (0..count).map(|nth| format!("{nth:0length$}").into_bytes()).collect()
}

fn slices(messages: &[Vec<u8>]) -> Vec<&[u8]> {
    messages.iter().map(Vec::as_slice).collect()
}

async fn send_all(connection: &mut Connection, messages: &[&[u8]]) {
    let mut sent = 0;
    while sent < messages.len() {
        sent += connection.send(&messages[sent..]).await.unwrap();
    }
}

fn lost(sent: Result<usize, SendError>) -> (usize, io::ErrorKind) {
    match sent {
        Err(SendError::Lost { sent, error, .. }) => (sent, error.kind()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn datagrams_arrive_one_by_one() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut connection = connect(Target::Udp(peer(receiver.local_addr().unwrap()))).await;
    assert_eq!(connection.send(&[b"one", b"two"]).await.unwrap(), 2);
    assert_eq!(connection.send(&[]).await.unwrap(), 0);
    let mut buffer = [0; 10];
    for expected in [b"one", b"two"] {
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], expected);
    }
    assert_eq!(connection.unconfirmed().unwrap(), 0);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_message_that_no_datagram_holds_is_put_aside() {
    let receiver = UdpSocket::bind("[::1]:0").unwrap();
    let mut connection = connect(Target::Udp(peer(receiver.local_addr().unwrap()))).await;
    let long = vec![b'x'; 70_000];
    match connection.send(&[b"one", &long, b"three"]).await {
        Err(error @ SendError::TooLong { nth: 1, length: 70_000, .. }) => {
            assert!(error.to_string().contains("message 1 has 70000 bytes"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(connection.send(&[b"three"]).await.unwrap(), 1);
    let mut buffer = [0; 10];
    for expected in ["one", "three"] {
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], expected.as_bytes());
    }
}

#[tokio::test]
async fn a_port_that_nobody_has_is_noticed_by_the_second_datagram() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut connection = connect(Target::Udp(peer(address))).await;
    assert_eq!(connection.send(&[b"one"]).await.unwrap(), 1);
    assert_eq!(lost(connection.send(&[b"two"]).await), (0, io::ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn a_unix_socket_may_vanish_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let target = Target::Unix(path.clone());
    let receive = |receiver: &UnixDatagram| {
        let mut buffer = [0; 10];
        let length = receiver.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    let receiver = UnixDatagram::bind(&path).unwrap();
    let mut connection = connect(target.clone()).await;
    assert_eq!(connection.send(&[b"one"]).await.unwrap(), 1);
    assert_eq!(receive(&receiver), b"one");
    assert!(matches!(connection.send(&[&vec![b'x'; 1 << 20]]).await, Err(SendError::TooLong { nth: 0, .. })));

    drop(receiver);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(lost(connection.send(&[b"two"]).await), (0, io::ErrorKind::ConnectionRefused));
    let error = Connection::open(&target).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unreachable { tried, .. } if tried[0].error.kind() == io::ErrorKind::NotFound));
    assert!(error.to_string().starts_with(&format!("unix:{}", path.display())), "{error}");

    let receiver = UnixDatagram::bind(&path).unwrap();
    assert_eq!(connect(target).await.send(&[b"two"]).await.unwrap(), 1);
    assert_eq!(receive(&receiver), b"two");
}

#[tokio::test]
async fn a_slow_reader_of_datagrams_gets_each_once_though_sending_is_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let mut connection = connect(Target::Unix(path)).await;
    let messages = numbered(1_000, 10);
    for _ in 0..2 {
        assert!(timeout(Duration::from_millis(20), connection.send(&slices(&messages))).await.is_err());
    }
    let reader = thread::spawn(move || {
        let mut buffer = [0; 10];
        (0..1_000)
            .map(|_| receiver.recv(&mut buffer).map(|length| buffer[..length].to_vec()).unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(connection.send(&slices(&messages)).await.unwrap(), 1_000);
    assert_eq!(reader.join().unwrap(), messages);
}

#[tokio::test]
async fn a_unix_stream_gets_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let listener = UnixListener::bind(&path).unwrap();
    let mut connection = connect(Target::Unix(path)).await;
    let (stream, _) = listener.accept().unwrap();
    assert_eq!(connection.send(&[b"one", b"two"]).await.unwrap(), 2);
    assert!(connection.unconfirmed().unwrap() > 0, "nobody has read it");
    let reader = read_all(stream);
    connection.close().await.unwrap();
    assert_eq!(reader.join().unwrap(), b"one\ntwo\n");
}

#[tokio::test]
async fn a_stream_counts_octets() {
    let (listener, target) = listen();
    let mut connection = connect(target).await;
    let reader = read_all(listener.accept().unwrap().0);
    let mut messages = numbered(10_000, 100);
    messages.push("käse".as_bytes().repeat(100_000));
    messages.push(b"end".to_vec());
    let messages_ = slices(&messages);
    let first = connection.send(&messages_).await.unwrap();
    assert!((1..10_000).contains(&first), "{first}: not all at once");
    send_all(&mut connection, &messages_[first..]).await;
    connection.close().await.unwrap();
    assert_eq!(octet_counted(&reader.join().unwrap()), messages);
}

#[tokio::test]
async fn a_peer_that_stalls_gets_each_once_though_sending_is_cancelled() {
    let (listener, target) = listen();
    let mut connection = connect(target).await;
    let stream = listener.accept().unwrap().0;
    let messages = numbered(200_000, 100);
    let messages_ = slices(&messages);
    let mut sent = 0;
    let mut cancelled = 0;
    // Until its window and our buffer are full, and twice more.
    while cancelled < 3 {
        match timeout(Duration::from_millis(50), connection.send(&messages_[sent..])).await {
            Ok(more) => sent += more.unwrap(),
            Err(_) => cancelled += 1,
        }
    }
    assert!(sent < messages.len());
    assert!(connection.unconfirmed().unwrap() > 0);
    let reader = read_all(stream);
    send_all(&mut connection, &messages_[sent..]).await;
    let end = Instant::now() + Duration::from_secs(10);
    while connection.unconfirmed().unwrap() > 0 {
        assert!(Instant::now() < end);
        sleep(Duration::from_millis(1)).await;
    }
    connection.close().await.unwrap();
    assert!(octet_counted(&reader.join().unwrap()) == messages);
}

#[tokio::test]
async fn a_peer_that_closed_gets_nothing_more() {
    let (listener, target) = listen();
    let mut connection = connect(target).await;
    let (stream, _) = listener.accept().unwrap();
    assert_eq!(connection.send(&[b"one"]).await.unwrap(), 1);
    // It closes its side and goes on reading, so a write would succeed.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..2 {
        assert_eq!(lost(connection.send(&[b"two"]).await), (0, io::ErrorKind::ConnectionAborted));
    }
    let reader = read_all(stream);
    drop(connection);
    assert_eq!(reader.join().unwrap(), b"3 one");
}

#[tokio::test]
async fn a_peer_that_reset_is_noticed() {
    let (listener, target) = listen();
    let mut connection = connect(target).await;
    let (stream, _) = listener.accept().unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    let sent = connection.send(&[b"one"]).await;
    assert!(matches!(&sent, Err(error) if error.to_string().contains("open a new connection")));
    assert_eq!(lost(sent), (0, io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_peer_that_resets_while_we_write_is_noticed() {
    let (listener, target) = listen();
    let mut connection = connect(target).await;
    let (stream, _) = listener.accept().unwrap();
    let gone = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        // With unread bytes the kernel resets.
        drop(stream);
    });
    let messages = numbered(200_000, 100);
    let messages = slices(&messages);
    let mut sent = 0;
    let error = loop {
        match timeout(Duration::from_secs(10), connection.send(&messages[sent..])).await.unwrap() {
            Ok(more) => sent += more,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::Lost { sent: 0, .. }), "{error:?}");
    gone.join().unwrap();
}

#[tokio::test]
async fn what_a_peer_says_is_passed_over() {
    let (listener, target) = listen();
    let mut connection = connect(target).await;
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(&[b'x'; 100_000]).unwrap();
    for _ in 0..3 {
        assert_eq!(connection.send(&[b"one"]).await.unwrap(), 1);
    }
    let reader = read_all(stream);
    connection.close().await.unwrap();
    assert_eq!(octet_counted(&reader.join().unwrap()).len(), 3);
}

#[tokio::test]
async fn a_peer_that_does_not_close_is_not_waited_for() {
    let (listener, target) = listen();
    let connection = connect(target).await;
    let stream = listener.accept().unwrap();
    let begin = Instant::now();
    assert_eq!(connection.close().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(begin.elapsed() < FAREWELL * 2);
    drop(stream);
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let (listener, target) = listen();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Connection::open(&target).await.unwrap_err();
    let OpenError::Unreachable { tried, .. } = &error else { panic!("{error:?}") };
    assert_eq!((&tried[0].address, tried[0].error.kind()), (&address, io::ErrorKind::ConnectionRefused));
    let message = error.to_string();
    assert!(message.starts_with(&format!("tcp://{address}: {address}: ")), "{message}");
    assert!(message.ends_with("is the receiver running?"), "{message}");
}

#[tokio::test]
async fn a_name_without_address_is_said() {
    // Longer than a name may be (RFC 1035 2.3.4), so nobody is asked.
    let target = Target::Tcp(Peer { host: "x".repeat(300), port: 601 });
    let error = Connection::open(&target).await.unwrap_err();
    assert!(matches!(&error, OpenError::Resolve { .. }), "{error:?}");
    assert!(error.to_string().contains("has no address"), "{error}");
}

#[tokio::test]
async fn every_address_has_its_turn() {
    let addresses: Vec<SocketAddr> = (1..=3).map(|port| ([127, 0, 0, 1], port).into()).collect();
    let end = Instant::now() + Duration::from_millis(600);
    // The first never answers, the second refuses, the third is it.
    let open = async |address: SocketAddr| match address.port() {
        1 => std::future::pending().await,
        2 => Err(io::ErrorKind::ConnectionRefused.into()),
        port => Ok(port),
    };
    assert_eq!(dial(&addresses, end, open).await.unwrap(), 3);
    let end = Instant::now() + Duration::from_millis(50);
    let kinds: Vec<_> =
        dial(&addresses[..2], end, open).await.unwrap_err().iter().map(|one| one.error.kind()).collect();
    assert_eq!(kinds, [io::ErrorKind::TimedOut, io::ErrorKind::ConnectionRefused]);
}

#[tokio::test]
async fn a_connection_notices_a_dead_peer_and_holds_little() {
    let (listener, _) = listen();
    let stream = tcp(listener.local_addr().unwrap()).await.unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
    assert!(socket.send_buffer_size().unwrap() <= 512 << 10);
}
