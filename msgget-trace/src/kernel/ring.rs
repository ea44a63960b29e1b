//! The ring reader: the kernel's ring buffer goes in, records come out with their positions, and a record's room is given
//! back only when the output has accepted it.
//!
//! Ours and not aya's because aya gives the room back as each item is dropped, so a crash would lose what was read but not
//! yet written. The protocol between the two sides stands in kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    slice,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time,
};

use super::mapping::Mapping;
use crate::readiness::watch;

/// `BPF_RINGBUF_HDR_SZ`: length and page offset, before every record.
const HEADER: u64 = 8;
/// `BPF_RINGBUF_BUSY_BIT`: reserved, still being written.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: given up by its writer.
const DISCARDED: u32 = 1 << 30;

/// A record, and where in the ring it stood: the number of bytes that were ever put in before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Position of its header.
    pub position: u64,
    /// The record.
    pub bytes: &'a [u8],
}

/// The reading side of a `BPF_MAP_TYPE_RINGBUF`.
#[derive(Debug)]
pub struct Ring {
    fd: AsyncFd<OwnedFd>,
    /// The page that holds the consumer position: the only one user space may write.
    consumer: Mapping,
    /// The page that holds the producer position, and behind it the data, twice in a row, so that no record is ever cut.
    producer: Mapping,
    page: usize,
    size: u64,
    /// The next record to read; ahead of the consumer position by what the output has not accepted yet.
    cursor: u64,
}

impl Ring {
    /// Maps the ring map `fd` of `size` bytes.
    ///
    /// # Errors
    /// Those of mmap(2) and of registering with the runtime.
    pub fn new(fd: OwnedFd, size: u32) -> io::Result<Self> {
        // SAFETY: no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let consumer = Mapping::new(fd.as_fd(), 0, page, libc::PROT_READ | libc::PROT_WRITE)?;
        let producer = Mapping::new(fd.as_fd(), page, page + 2 * size as usize, libc::PROT_READ)?;
        let fd = watch(fd, Interest::READABLE)?;
        let mut ring = Self { fd, consumer, producer, page, size: size.into(), cursor: 0 };
        ring.cursor = ring.consumer_position().load(Ordering::Relaxed);
        Ok(ring)
    }

    /// The next record that was completely written, in the order of reservation; `None` when there is none yet.
    pub fn take(&mut self) -> Option<Entry<'_>> {
        loop {
            // Acquire: pairs with the kernel's release of the producer position after a reservation.
            if self.cursor >= self.produced() {
                return None;
            }
            let position = self.cursor;
            let header = self.at(position);
            // SAFETY: headers are 8-byte aligned and inside the mapping; the kernel writes the length atomically, with
            // release when the record is complete.
            let length = unsafe { AtomicU32::from_ptr(header.cast()) }.load(Ordering::Acquire);
            if length & BUSY != 0 {
                return None;
            }
            let bytes = length & !DISCARDED;
            self.cursor += (u64::from(bytes) + HEADER).next_multiple_of(8);
            if length & DISCARDED == 0 {
                // SAFETY: the record lies inside the doubled mapping, and the kernel leaves it alone until the consumer
                // position passes it, which takes a `publish`, which takes `&mut self`.
                let bytes = unsafe { slice::from_raw_parts(header.add(HEADER as usize), bytes as usize) };
                return Some(Entry { position, bytes });
            }
        }
    }

    /// Where the next record will be put.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.producer_position().load(Ordering::Acquire)
    }

    /// Where the next record will be taken from.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Up to where the room was given back, by us or by whoever else has the ring.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.consumer_position().load(Ordering::Relaxed)
    }

    /// Gives the room of all records before `position` back to the kernel.
    pub fn publish(&mut self, position: u64) {
        // Release: our reads of the records come before the kernel's next writes there.
        self.consumer_position().store(position, Ordering::Release);
    }

    /// Waits until the kernel program says that the ring fills up, at most `time`.
    ///
    /// # Errors
    /// Those of the runtime's poll.
    pub async fn wait(&self, time: Duration) -> io::Result<()> {
        if let Ok(ready) = time::timeout(time, self.fd.readable()).await {
            ready?.clear_ready();
        }
        Ok(())
    }

    fn at(&self, position: u64) -> *mut u8 {
        let offset = self.page + (position & (self.size - 1)) as usize;
        // SAFETY: less than the mapping's length.
        unsafe { self.producer.start().add(offset) }
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: page-aligned, mapped as long as `self`, accessed atomically by both sides.
        unsafe { AtomicU64::from_ptr(self.consumer.start().cast()) }
    }

    fn producer_position(&self) -> &AtomicU64 {
        // SAFETY: as above; only ever loaded, so that the read-only mapping suffices.
        unsafe { AtomicU64::from_ptr(self.producer.start().cast()) }
    }
}
