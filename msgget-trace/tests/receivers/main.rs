//! Outputs against what stands at their other end in earnest: rsyslog, logrotate, disks that are full or lie, readers that do
//! not read. What was called goes in, and it is counted what arrived, once, twice, or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod dead;
mod files;
mod rsyslog;
mod spool;
mod told;
