//! `rules`: nothing goes in, what is known of every rule comes out on standard output, as Markdown.

use super::print;
use crate::{detect, failure::Failure};

pub(super) fn run() -> Result<(), Failure> {
    print(&detect::document())
}
