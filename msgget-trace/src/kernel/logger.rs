//! The kernel program's messages: programs that are loaded go in, lines of the `log` crate come out.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::{Interest, unix::AsyncFd};

use super::load::refused;
use crate::{failure::Failure, readiness::watch};

/// Shows what the kernel program says, through the `log` crate.
pub struct KernelLogger {
    logger: EbpfLogger<&'static dyn log::Log>,
    ready: AsyncFd<OwnedFd>,
}

impl KernelLogger {
    /// For these programs.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, Failure> {
        let logger = EbpfLogger::init(ebpf).map_err(|error| refused("the log", &error))?;
        let ready = logger.as_fd().try_clone_to_owned().and_then(|fd| watch(fd, Interest::READABLE));
        Ok(Self { logger, ready: ready.map_err(Failure::internal("watching the kernel log"))? })
    }

    /// Shows messages as they come; does not end by itself.
    ///
    /// # Errors
    /// Those of the runtime's poll.
    pub async fn show(mut self) -> io::Result<()> {
        loop {
            self.ready.readable().await?.clear_ready();
            self.logger.flush();
        }
    }
}
