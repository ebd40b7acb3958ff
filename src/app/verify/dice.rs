//! Random numbers that a seed repeats.

use std::time::Duration;

/// A generator (`SplitMix64`, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of one player: of one seed, the same for the same number.
    pub(super) fn new(seed: u64, player: u64) -> Self {
        let mut dice = Self(seed ^ player.wrapping_mul(0xd134_2543_de82_ef95));
        dice.roll();
        dice
    }

    /// Any number.
    pub(super) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        usize::try_from(self.roll() % bound).expect("below a usize")
    }

    /// True so many times of a hundred.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    /// A time from nothing to twice the mean.
    pub(super) fn about(&mut self, mean: Duration) -> Duration {
        let micros = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX / 2);
        Duration::from_micros(self.roll() % (2 * micros).max(1))
    }

    /// A time between two.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + self.about(most.saturating_sub(least) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same() {
        let rolls = |seed, player| {
            let mut dice = Dice::new(seed, player);
            [dice.roll(), dice.roll(), dice.roll()]
        };
        assert_eq!(rolls(7, 1), rolls(7, 1));
        assert_ne!(rolls(7, 1), rolls(7, 2));
        assert_ne!(rolls(7, 1), rolls(8, 1));
    }

    #[test]
    fn rolls_stay_in_bounds_and_reach_them() {
        let mut dice = Dice::new(1, 1);
        let second = Duration::from_secs(1);
        let mut seen = [false; 6];
        for _ in 0..1000 {
            seen[dice.below(6)] = true;
            assert!(dice.about(second) < 2 * second);
            assert!((second..3 * second).contains(&dice.between(second, 3 * second)));
        }
        assert_eq!(seen, [true; 6]);
        assert!(!dice.percent(0) && dice.percent(100));
    }
}
