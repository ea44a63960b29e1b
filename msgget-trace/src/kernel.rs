//! Everything that touches the kernel: settings go in, a ring of records and counters come out. Only this module names
//! aya.

mod accounts;
mod attach;
pub mod btf;
pub mod in_flight;
mod ladder;
mod load;
mod mapping;
mod offsets;
pub mod pin;
pub mod require;
pub mod ring;
pub mod state;

pub use ladder::{Choice, candidates};
pub use load::{Handles, Kernel, KernelLogger, Settings, Skipped};

/// Type information about the running kernel, Documentation/bpf/btf.rst.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";
