//! Lines against the schema, and against hostile names.
