//! Lines go in, they leave as messages of RFC 5424, by a socket of this host or over the network.
//!
//! A [`Target`] says whereto, a [`Connection`] leads there, [`message`] makes a line a message, and [`Backoff`] says how long to
//! wait before the next connection is tried. When to try, and which messages to send again, is for the caller to decide.

mod backoff;
mod connection;
pub mod message;
mod target;
mod tls;

pub use backoff::Backoff;
pub use connection::{Attempt, Connection, OpenError, SendError};
pub use target::{Peer, Target, TargetError, TlsOptions};
pub use tls::TlsError;
