//! The handwritten digits that come with this crate.

use super::csv::Table;
use super::dataset::{Dataset, Split};
use kiln_ir::TensorData;

/// 1,797 handwritten digits of 8 by 8 pixels, divided once and for all: a fifth of each class is the test.
///
/// Inputs: `f32[n, 64]`, pixels row by row, 0 (paper) to 1 (ink). Targets: `i64[n]`, the digit.
///
/// Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
/// Repository, 1998, <https://doi.org/10.24432/C50P49>, licensed under CC BY 4.0. Here as the table that
/// scikit-learn's `load_digits` gives (the test part of the original; its writers are not those of the
/// training part), with pixels as counts from 0 to 16.
pub fn digits() -> Split {
    whole().split_by_class(TEST_SHARE, SPLIT_SEED)
}

const TEST_SHARE: f64 = 0.2;
/// Any number; changing it changes every accuracy that was ever reported.
const SPLIT_SEED: u64 = 0;
const N_PIXELS: usize = 64;
/// Each pixel counts the dark points of a square of 4 by 4.
const DARKEST: f32 = 16.0;

fn whole() -> Dataset {
    let table =
        Table::parse("digits.csv", include_str!("digits.csv")).expect("the embedded table is well-formed");
    let mut x = Vec::with_capacity(table.n_rows() * N_PIXELS);
    let mut y = Vec::with_capacity(table.n_rows());
    for row in table.rows() {
        x.extend(row[..N_PIXELS].iter().map(|pixel| *pixel as f32 / DARKEST));
        y.push(row[N_PIXELS] as i64);
    }
    let n = y.len();
    Dataset::new(TensorData::new([n, N_PIXELS], x), TensorData::new([n], y)).expect("one label a row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_digits_are_whole() {
        let data = whole();
        assert_eq!(data.x().shape()[..], [1797, 64]);
        let pixels: &[f32] = data.x().as_slice().unwrap();
        assert!(pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        // The sum of all counts, as another reader of tables finds it: a changed file is noticed.
        assert_eq!(pixels.iter().map(|pixel| f64::from(pixel * DARKEST)).sum::<f64>(), 561718.0);
        let labels: &[i64] = data.y().as_slice().unwrap();
        assert_eq!(labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(labels.iter().all(|label| (0..10).contains(label)));
    }

    #[test]
    fn a_fifth_of_each_class_is_the_test() {
        let split = digits();
        assert_eq!((split.train.n_samples(), split.test.n_samples()), (1442, 355));
        for digit in 0..10 {
            let n = split.test.y().as_slice::<i64>().unwrap().iter().filter(|label| **label == digit).count();
            assert!((34..=36).contains(&n), "{n} of digit {digit}");
        }
    }
}
