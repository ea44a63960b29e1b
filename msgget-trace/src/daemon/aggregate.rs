//! Aggregates: what the kernel side counted instead of sending it goes in, lines of it come out: once a second and at the end.

use super::Daemon;
use crate::failure::Failure;

impl Daemon {
    /// Puts what the source counted since the last time among the lines. True if there was anything.
    pub(super) fn aggregate(&mut self) -> Result<bool, Failure> {
        let aggregates = self.source.aggregates()?;
        for aggregate in &aggregates {
            self.pipeline.aggregate(aggregate, &mut self.outputs, &mut self.batch);
        }
        Ok(!aggregates.is_empty())
    }
}
