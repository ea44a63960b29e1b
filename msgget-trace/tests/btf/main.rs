//! What enters: BTF of this kernel, BTF made here, and bytes made to break the parser. What leaves: proof that
//! `kernel::btf` answers as an independent reader does, refuses what has no exact answer, and always comes to an end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed unwrap is a failed test")]
#![allow(clippy::unnecessary_wraps, reason = "expected answers are written as answers")]

mod agreement;
mod builder;
mod hostile;
mod synthetic;
