//! Random order, the same on every machine for the same seed.
//!
//! This is for the host's choices (which sample comes when). Random numbers inside a program are an op of
//! the graph, with its own generator and state.

/// The numbers `0..n` in an order drawn from `seed`; every order is as likely as any other.
///
/// Source: R. Durstenfeld, *Algorithm 235: Random permutation*, CACM 7(7), 1964 (Fisher and Yates' shuffle).
pub fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..n).collect();
    shuffle(&mut numbers, seed);
    numbers
}

/// Brings the elements into an order drawn from `seed`.
pub(super) fn shuffle<T>(elements: &mut [T], seed: u64) {
    let mut random = SplitMix64 { state: seed };
    for last in (1..elements.len()).rev() {
        let other = random.below(last as u64 + 1);
        elements.swap(last, other as usize);
    }
}

/// A seed for part `index` of what `seed` decides; nearby seeds and indices give unrelated results.
pub(super) fn derived_seed(seed: u64, index: u64) -> u64 {
    let first = SplitMix64 { state: seed }.next();
    SplitMix64 { state: first ^ index }.next()
}

/// The generator SplitMix64: 64 bits of state, all seeds good.
///
/// Source: G. Steele, D. Lea, C. Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014;
/// constants of S. Vigna's `splitmix64.c` (public domain).
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`, each equally likely; `bound` is not zero.
    ///
    /// Source: D. Lemire, *Fast random integer generation in an interval*, ACM TOMACS 29(1), 2019.
    fn below(&mut self, bound: u64) -> u64 {
        let mut product = u128::from(self.next()) * u128::from(bound);
        // Of the 2^64 values, 2^64 mod bound are too many for all results to be equally likely.
        let n_rejected = bound.wrapping_neg() % bound;
        while (product as u64) < n_rejected {
            product = u128::from(self.next()) * u128::from(bound);
        }
        (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of `splitmix64.c` for the seed 1234567, as listed on
    /// <https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64>.
    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix64 { state: 1234567 };
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        for n in [0, 1, 2, 3, 100] {
            let mut numbers = permutation(n, 7);
            numbers.sort_unstable();
            assert_eq!(numbers, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_depends_on_the_seed_alone() {
        assert_eq!(permutation(50, 3), permutation(50, 3));
        assert_ne!(permutation(50, 3), permutation(50, 4));
    }

    /// Chi-squared over the 24 orders of 4 elements: 23 degrees of freedom, 49.7 is passed once in 1000.
    #[test]
    fn all_orders_are_equally_likely() {
        let n_draws = 24_000;
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..n_draws {
            *counts.entry(permutation(4, seed)).or_insert(0.0) += 1.0;
        }
        let expected = n_draws as f64 / 24.0;
        let chi_squared: f64 = counts.values().map(|n: &f64| (n - expected).powi(2) / expected).sum();
        assert_eq!(counts.len(), 24);
        assert!(chi_squared < 49.7, "chi squared is {chi_squared}");
    }

    #[test]
    fn derived_seeds_differ_in_both_arguments() {
        let mut seeds: Vec<u64> =
            (0..10).flat_map(|seed| (0..10).map(move |index| derived_seed(seed, index))).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 100);
    }
}
