//! Moments on the boot clock go in, nanoseconds since the epoch come out.

use std::time::{Duration, Instant};

use crate::event::BootTime;

/// How often the distance between the clocks is measured anew, so that steps and slewing of the wall clock are followed.
const RESAMPLE: Duration = Duration::from_secs(1);

/// A difference between two measurements that is taken for their own error: 20 us, in ns. Following it would let moments a
/// microsecond apart change places.
const NOISE: u64 = 20_000;

/// The distance between the wall clock and the boot clock.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Wall clock minus boot clock, ns: now, and when the daemon started.
    offset: i64,
    first_offset: i64,
    sampled: Instant,
}

impl Clock {
    /// Measures it.
    #[must_use]
    pub fn new() -> Self {
        let offset = sample();
        Self { offset, first_offset: offset, sampled: Instant::now() }
    }

    /// Clocks that were `offset` ns apart when something was written down, and `moved` less when its writer was started.
    #[must_use]
    pub fn recorded(offset: i64, moved: i64) -> Self {
        Self { offset, first_offset: offset.saturating_sub(moved), sampled: Instant::now() }
    }

    /// By how much the wall clock has been set since the daemon started, ns.
    #[must_use]
    pub const fn moved(&self) -> i64 {
        self.offset.saturating_sub(self.first_offset)
    }

    /// Clocks `offset` ns apart for ever.
    #[cfg(test)]
    pub(crate) fn fixed(offset: i64) -> Self {
        Self { offset, first_offset: offset, sampled: Instant::now() }
    }

    /// Measures again if the last time is more than a second ago.
    pub fn refresh(&mut self) {
        if self.sampled.elapsed() >= RESAMPLE {
            let offset = sample();
            if offset.abs_diff(self.offset) > NOISE {
                self.offset = offset;
            }
            self.sampled = Instant::now();
        }
    }

    /// `moment` on the wall clock, ns since 1970, as that clock stands now.
    #[must_use]
    pub fn wall(&self, moment: BootTime) -> u64 {
        shift(moment, self.offset)
    }

    /// `moment` on the wall clock as it stood when the daemon started: the same answer for a moment throughout a run,
    /// which what is computed from start times of processes needs.
    #[must_use]
    pub fn wall_at_start(&self, moment: BootTime) -> u64 {
        shift(moment, self.first_offset)
    }

    /// The boot clock now.
    #[must_use]
    pub fn boot_now() -> BootTime {
        BootTime(read(libc::CLOCK_BOOTTIME).cast_unsigned())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn shift(moment: BootTime, offset: i64) -> u64 {
    moment.0.saturating_add_signed(offset)
}

/// The distance, by the tightest of a few readings: being interrupted between the two clocks makes it wrong.
fn sample() -> i64 {
    let reading = |_| {
        let before = read(libc::CLOCK_BOOTTIME);
        let wall = read(libc::CLOCK_REALTIME);
        let after = read(libc::CLOCK_BOOTTIME);
        (after - before, wall - before - (after - before) / 2)
    };
    (0..5).map(reading).min().map_or(0, |(_, offset)| offset)
}

/// A clock of clock_gettime(2), ns; in 292 years it overflows.
fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing. It cannot fail: both clocks exist on every Linux the daemon runs on.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_now_is_now() {
        let clock = Clock::new();
        let before = read(libc::CLOCK_REALTIME).cast_unsigned();
        let wall = clock.wall(Clock::boot_now());
        let after = read(libc::CLOCK_REALTIME).cast_unsigned();
        let slack = 1_000_000;
        assert!((before - slack..=after + slack).contains(&wall), "{before} {wall} {after}");
    }

    #[test]
    fn the_distance_from_the_start_does_not_move() {
        let clock = Clock { offset: 5, first_offset: 3, sampled: Instant::now() };
        assert_eq!((clock.wall(BootTime(10)), clock.wall_at_start(BootTime(10))), (15, 13));
        let recorded = Clock::recorded(5, clock.moved());
        assert_eq!((recorded.offset, recorded.first_offset), (5, 3));
    }
}
