//! `status`: a socket goes in; what the daemon behind it says of itself comes out on standard output.

use std::{io, path::Path, time::Duration};

use tokio::{net::UnixStream, time};

use super::{block_on, print};
use crate::{
    failure::Failure,
    status::{LONGEST, Status, StatusError},
};

/// How long to wait for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to leave a daemon at which too many wait.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks the daemon at `path` and prints what it says.
pub(super) fn run(path: &Path, json: bool) -> Result<(), Failure> {
    let status = block_on(async {
        let late = StatusError::Late { path: path.to_owned(), seconds: PATIENCE.as_secs() };
        Ok(time::timeout(PATIENCE, ask(path)).await.unwrap_or(Err(late))?)
    })?;
    print(&if json { status.line() } else { status.to_string() })
}

async fn ask(path: &Path) -> Result<Status, StatusError> {
    let garbage = |error: String| StatusError::Garbage { path: path.to_owned(), error };
    let stream = connect(path).await?;
    let peer = stream.peer_cred().map_err(|error| garbage(error.to_string()))?;
    // SAFETY: no preconditions.
    if peer.uid() != 0 && peer.uid() != unsafe { libc::geteuid() } {
        return Err(StatusError::Stranger { path: path.to_owned(), uid: peer.uid() });
    }
    let answer = read(&stream).await.map_err(|error| garbage(error.to_string()))?;
    Status::parse(&answer).map_err(|error| garbage(error.to_string()))
}

async fn connect(path: &Path) -> Result<UnixStream, StatusError> {
    loop {
        return match UnixStream::connect(path).await {
            Ok(stream) => Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                time::sleep(PAUSE).await;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(StatusError::Denied { path: path.to_owned(), error })
            }
            Err(error) => Err(StatusError::NoDaemon { path: path.to_owned(), error }),
        };
    }
}

/// All until the end, which is bounded.
async fn read(stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; LONGEST];
    let mut length = 0;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut answer[length..]) {
            Ok(0) if length == LONGEST => return Err(io::Error::other(format!("it is longer than {LONGEST} bytes"))),
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    answer.truncate(length);
    Ok(answer)
}
