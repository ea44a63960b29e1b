//! The sink against real pipes and files.

use std::{
    io::{BufRead as _, BufReader, Read as _, pipe},
    os::fd::OwnedFd,
    time::Duration,
};

use super::*;

fn stream(file: impl Into<OwnedFd>) -> Sink {
    let way = Way::Stream(watch(File::from(file.into()), Interest::WRITABLE).unwrap());
    Sink { name: "a pipe".into(), way, pending: Vec::new(), written: 0, total: 0 }
}

#[tokio::test]
async fn a_full_pipe_waits_and_loses_nothing() {
    let (mut reader, writer) = pipe().unwrap();
    let mut sink = stream(writer);
    let text: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    sink.buffer().extend_from_slice(text.as_bytes());
    // Twice interrupted while the pipe is full, as a signal would.
    for _ in 0..2 {
        assert!(tokio::time::timeout(Duration::from_millis(20), sink.flush()).await.is_err());
    }
    let read = std::thread::spawn(move || {
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        all
    });
    sink.flush().await.unwrap();
    drop(sink);
    assert_eq!(read.join().unwrap(), text);
}

#[tokio::test]
async fn a_pipe_never_holds_half_a_line() {
    let (reader, writer) = pipe().unwrap();
    let mut sink = stream(writer);
    let line = format!("{}\n", "x".repeat(700));
    sink.buffer().extend_from_slice(line.repeat(500).as_bytes());
    // The pipe fills up, and we end.
    assert!(tokio::time::timeout(Duration::from_millis(20), sink.flush()).await.is_err());
    drop(sink);
    let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    assert!(lines.len() > 50 && lines.iter().all(|line| line.len() == 700), "{}", lines.len());
}

#[tokio::test]
async fn a_reader_that_goes_is_no_error_of_ours() {
    let (reader, writer) = pipe().unwrap();
    let mut sink = stream(writer);
    assert!(!sink.closed());
    drop(reader);
    assert!(sink.closed());
    sink.buffer().extend_from_slice(b"x\n");
    assert!(matches!(sink.flush().await, Err(SinkError::Closed)));
}

#[tokio::test]
async fn a_full_disk_is_said() {
    let mut sink = Sink::open(&To::File(FileOptions::new("/dev/full"))).unwrap();
    sink.buffer().extend_from_slice(b"x\n");
    match sink.flush().await {
        Err(SinkError::Io(error)) => assert_eq!(error.raw_os_error(), Some(libc::ENOSPC)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lines_are_cut_at_pages() {
    assert_eq!(whole_lines(b"a\nbc\nd"), 5);
    let long = [vec![b'x'; 5000], b"\ny\n".to_vec()].concat();
    assert_eq!(whole_lines(&long), 4096, "a piece that does not block");
    assert_eq!(whole_lines(&long[4096..]), 907);
    assert_eq!(whole_lines(&[vec![b'x'; 4000], b"\n".to_vec(), vec![b'y'; 200], b"\n".to_vec()].concat()), 4001);
}

#[tokio::test]
async fn a_torn_line_does_not_swallow_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let append = async |name: &str, before: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, before).unwrap();
        let mut sink = Sink::open(&To::File(FileOptions::new(&path))).unwrap();
        sink.buffer().extend_from_slice(b"whole\n");
        sink.flush().await.unwrap();
        std::fs::read_to_string(path).unwrap()
    };
    assert_eq!(append("torn", "a\nhal").await, "a\nhal\nwhole\n");
    assert_eq!(append("whole", "a\n").await, "a\nwhole\n");
    assert_eq!(append("empty", "").await, "whole\n");
}
