//! The resolver against queues and namespaces made for it: what it says, when it cannot, and that it neither hangs nor
//! outlives anybody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod alone;
mod answers;
mod delays;
mod process;
mod side;
mod tenant;
