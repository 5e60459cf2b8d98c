//! Which of many: few are wanted often, most hardly ever. The one at place `n`, counted from one, has a weight of
//! `1 / n^s`.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// How uneven it is: with 1, the first of 10,000 is drawn a tenth of the time.
pub(crate) const EXPONENT: f64 = 1.0;

/// A distribution over so many places.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// The sum of the weights up to each place.
    sums: Vec<f64>,
}

impl Zipf {
    /// Over the places below `count`, of which there is one at least.
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 places")]
    pub(crate) fn over(count: usize) -> Self {
        let mut sum = 0.0;
        let weigh = |place: usize| {
            sum += (place as f64).powf(-EXPONENT);
            sum
        };
        Self { sums: (1..=count.max(1)).map(weigh).collect() }
    }

    /// Draws a place.
    pub(crate) fn draw(&self, random: &mut StdRng) -> usize {
        let last = self.sums.len() - 1;
        let drawn = random.random_range(0.0..self.sums[last]);
        self.sums.partition_point(|sum| *sum <= drawn).min(last)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn drawn(seed: u64, count: usize) -> Vec<usize> {
        let (zipf, mut random) = (Zipf::over(1_000), StdRng::seed_from_u64(seed));
        (0..count).map(|_| zipf.draw(&mut random)).collect()
    }

    #[test]
    fn a_seed_draws_the_same_again() {
        assert_eq!(drawn(17, 100), drawn(17, 100));
        assert_ne!(drawn(17, 100), drawn(18, 100));
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "so few draws are exact")]
    fn each_place_is_drawn_as_often_as_its_weight_says() {
        let draws = drawn(17, 200_000);
        let whole: f64 = (1..=1_000).map(|place| 1.0 / f64::from(place)).sum();
        for place in [0, 1, 2, 9, 99] {
            let share = draws.iter().filter(|drawn| **drawn == place).count() as f64 / draws.len() as f64;
            let wanted = 1.0 / (place + 1) as f64 / whole;
            assert!((share / wanted - 1.0).abs() < 0.1, "{place}: {share} instead of {wanted}");
        }
        assert!(draws.iter().all(|place| *place < 1_000));
        assert!(draws.iter().any(|place| 900 < *place), "the last are drawn, too");
    }

    #[test]
    fn of_one_place_it_is_that() {
        assert_eq!(Zipf::over(1).draw(&mut StdRng::seed_from_u64(1)), 0);
        assert_eq!(Zipf::over(0).draw(&mut StdRng::seed_from_u64(1)), 0);
    }
}
