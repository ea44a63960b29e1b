//! `unpin`: the pins that a daemon left which is gone go in, and are removed; how many calls are lost by it comes out.

use super::{block_on, say};
use crate::{
    config::Pins,
    failure::Failure,
    kernel::pin::{self, Folder},
};

pub(super) fn run(pins: &Pins) -> Result<(), Failure> {
    block_on(async {
        // Opening makes the folder.
        let folder = if pins.path.is_dir() { Folder::open(&Pins { wished: true, ..pins.clone() })? } else { None };
        let sets = folder.as_ref().map_or(Ok(Vec::new()), Folder::sets)?;
        for set in &sets {
            let lost = pin::abandon(set)?.map_or("an unknown number".to_owned(), |calls| calls.to_string());
            say(format_args!("removed {}; calls in its ring that nobody read: {lost}", set.display()));
        }
        if sets.is_empty() {
            say(format_args!("nothing is pinned in {}", pins.path.display()));
        }
        Ok(())
    })
}
