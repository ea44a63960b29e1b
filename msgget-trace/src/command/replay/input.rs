//! The recording: a path goes in, its bytes come out; of a pipe as they come, without holding up what else there is to do.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    failure::Failure,
    readiness::{poll, watch},
};

/// What is replayed.
#[derive(Debug)]
pub(super) struct Input {
    name: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// What has everything at hand.
    File(File),
    /// What may have nothing yet.
    Stream(AsyncFd<File>),
}

impl Input {
    /// Opens the file at `path`, or standard input if that is `-`.
    ///
    /// # Errors
    /// [`Failure::Input`].
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let stdin = path.as_os_str() == "-";
        let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
        let opened = if stdin {
            io::stdin().as_fd().try_clone_to_owned().map(|fd: OwnedFd| File::from(fd))
        } else {
            File::open(path)
        };
        match opened.and_then(way) {
            Ok(way) => Ok(Self { name, way }),
            Err(error) => Err(Failure::Input { input: name, error }),
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Puts the next bytes into `buffer`, and says how many; 0 at the end.
    ///
    /// # Errors
    /// [`Failure::Input`].
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = match &mut self.way {
            Way::File(file) => retry(|| file.read(buffer)),
            Way::Stream(stream) => read_stream(stream, buffer).await,
        };
        read.map_err(|error| Failure::Input { input: self.name.clone(), error })
    }
}

fn way(file: File) -> io::Result<Way> {
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match watch(file.try_clone()?, Interest::READABLE) {
        Ok(stream) => Ok(Way::Stream(stream)),
        // epoll(7) takes no regular files.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(Way::File(file)),
        Err(error) => Err(error),
    }
}

/// As the descriptor may be shared, it is asked whether it has something instead of being told not to block.
async fn read_stream(stream: &AsyncFd<File>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut guard = stream.readable().await?;
        let result = guard.try_io(|stream| {
            if poll(stream.get_ref(), libc::POLLIN)? == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            retry(|| stream.get_ref().read(buffer))
        });
        if let Ok(read) = result {
            return read;
        }
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
