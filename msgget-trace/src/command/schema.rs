//! `schema`: nothing goes in, the JSON Schema of our own format comes out on standard output.

use super::print;
use crate::{encode, failure::Failure};

pub(super) fn run() -> Result<(), Failure> {
    print(&format!("{:#}\n", encode::json_schema()))
}
