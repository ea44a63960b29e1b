//! Failures and random numbers go in, the times to wait come out: exponential, with full jitter. Pure.

use std::time::Duration;

/// Longest wait after the first failure.
const BASE: Duration = Duration::from_millis(200);
/// Longest wait after any.
const CAP: Duration = Duration::from_secs(30);

/// How long to wait between attempts: a random time from 0 up to a limit that doubles with each failure in a row, so that many
/// senders that lost the same receiver do not come back all at once ("full jitter", AWS Architecture Blog, Exponential Backoff
/// And Jitter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    /// In a row.
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure, below 200 ms after the first and never above 30 s; `random` is to be any
    /// number, each as likely as the others.
    pub fn failed(&mut self, random: u64) -> Duration {
        let limit = BASE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let share = (limit.as_nanos() * u128::from(random)) >> u64::BITS;
        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// Begins anew: an attempt has succeeded.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NS: Duration = Duration::from_nanos(1);

    #[test]
    fn limits_double_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let limits: Vec<Duration> = (0..10).map(|_| backoff.failed(u64::MAX) + NS).collect();
        let ms = [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000];
        assert_eq!(limits, ms.map(Duration::from_millis));
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            backoff.failed(7);
        }
        assert_eq!(backoff.failed(u64::MAX) + NS, CAP);
        backoff.reset();
        assert_eq!(backoff.failed(u64::MAX) + NS, BASE);
    }

    #[test]
    fn half_the_numbers_are_half_the_time() {
        assert_eq!(Backoff::default().failed(1 << 63), BASE / 2);
        assert_eq!(Backoff::default().failed(0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn never_above_the_cap(failures: u32, random: u64) {
            let mut backoff = Backoff { failures };
            prop_assert!(backoff.failed(random) < CAP);
            prop_assert_eq!(backoff.failures, failures.saturating_add(1));
        }
    }
}
