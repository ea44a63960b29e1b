//! Everything that touches the kernel: settings go in, a ring of records and counters come out. Only this module names
//! aya.

mod accounts;
mod attach;
pub mod btf;
pub mod in_flight;
mod ladder;
mod load;
mod logger;
mod mapping;
mod offsets;
pub mod pin;
pub mod require;
pub mod ring;
mod scopes;
mod settings;
mod skipped;
pub mod state;

pub use ladder::{Choice, candidates};
pub use load::{Handles, Kernel};
pub use logger::KernelLogger;
pub use settings::Settings;
pub use skipped::Skipped;

/// The kernel program, as build.rs made it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/msgget-trace-ebpf"));

/// Type information about the running kernel, Documentation/bpf/btf.rst.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";
