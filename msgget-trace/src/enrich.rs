//! Enrich: what user space knows and the kernel's record does not say: which host this is, and what its clock shows.

mod clock;
mod host;

pub use clock::Clock;
pub use host::Host;
