//! msgget-trace: every `msgget(2)` of a host goes in, lines of JSON come out.
//!
//! ```text
//!  kernel │ hook ─► door, slot, task ─► submit ─► ring        counters ─┐
//! ────────┼──────────────────────────────────▼──────────────────────────▼─
//!   user  │ ring ─► decode ─► decide ─► detect ─► enrich ─► policy ─► encode ─┬────────► sink
//!         │   │        │         │         │         │         │         │    └─ spool ─► sink
//!         │   └────────┴─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴───────┴──► ledger
//! ```
//!
//! The upper half is the `msgget-trace-ebpf` crate. Below it each stage is a module, in the order of the flow: [`kernel`],
//! [`event`] (with decode), [`decide`], [`detect`], [`enrich`], [`policy`], [`encode`], [`spool`], [`sink`]. [`source`], [`pipeline`] and
//! [`output`] are a call's way through them, [`daemon`] their life: start, watch, stop. [`recorded`] reads lines back. [`command`] holds what
//! the user can ask for.

pub mod attribution;
pub mod canary;
pub mod cli;
pub mod command;
pub mod config;
pub mod daemon;
pub mod decide;
pub mod detect;
pub mod encode;
pub mod enrich;
pub mod event;
pub mod failure;
pub mod kernel;
pub mod ledger;
pub mod output;
pub mod owners;
pub mod pipeline;
pub mod policy;
mod readiness;
pub mod recorded;
pub mod resolver;
pub mod sink;
pub mod source;
pub mod spool;
pub mod status;
