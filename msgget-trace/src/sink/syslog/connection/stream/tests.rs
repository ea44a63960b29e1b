//! A stream that takes nothing and has no socket.

use std::{fs::File, task::Context};

use tokio::io::{DuplexStream, duplex};

use super::{
    super::{Connection, Way},
    *,
};

/// A stream whose socket is none of ours: what it says about itself cannot be had.
#[tokio::test]
async fn what_cannot_be_counted_is_an_error() {
    #[derive(Debug)]
    struct Deaf(DuplexStream, File);
    impl AsyncRead for Deaf {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }
    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(0))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    impl Stream for Deaf {
        fn socket(&self) -> BorrowedFd<'_> {
            self.1.as_fd()
        }
    }
    let (near, _far) = duplex(10);
    let deaf = Deaf(near, File::open("/dev/null").unwrap());
    let connection = Connection::new("nowhere".into(), Way::Stream(Box::new(deaf)));
    assert_eq!(connection.unconfirmed().unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    let mut nothing = Vec::from(b"x");
    let Way::Stream(mut stream) = connection.way else { panic!() };
    let error = flush(stream.as_mut(), &mut nothing, &mut 0).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}
