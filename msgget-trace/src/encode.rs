//! Encode: calls and findings go in, bytes of a line come out. Every rule of escaping lives here.

mod entity;
mod escape;
mod json;

pub use entity::entity_id;
pub use escape::Escaped;
pub use json::Json;
