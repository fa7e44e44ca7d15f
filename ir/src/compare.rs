//! How tests and `kiln verify` compare a value with the expected one, and the inputs they draw.

use crate::{Axes, DType, Literal, Shape, TensorData, TensorType};
use std::fmt;
use std::ops::Range;

/// How far a float may be from the expected one: within `absolute + relative * |expected|`, or `ulps` steps of its
/// type. Integers and truth values must be equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Share of the expected magnitude.
    pub relative: f64,
    /// Distance allowed whatever the magnitude.
    pub absolute: f64,
    /// Number of representable values between the two.
    pub ulps: u64,
}

impl Tolerance {
    /// The same value (a zero of either sign, any NaN).
    pub const EXACT: Tolerance = Tolerance { relative: 0.0, absolute: 0.0, ulps: 0 };

    /// A distance relative to the expected value, and the same as an absolute one for values below 1.
    pub const fn mixed(distance: f64) -> Tolerance {
        Tolerance { relative: distance, absolute: distance, ulps: 0 }
    }

    /// A number of representable values.
    pub const fn ulps(ulps: u64) -> Tolerance {
        Tolerance { relative: 0.0, absolute: 0.0, ulps }
    }

    /// Whether `got` is near enough. NaN is near NaN only, an infinity itself only.
    pub fn accepts(self, got: Literal, expected: Literal) -> bool {
        if !expected.dtype().is_float() || got.dtype() != expected.dtype() {
            return got == expected;
        }
        let (g, e) = (got.as_f64(), expected.as_f64());
        if g.is_nan() || e.is_nan() {
            return g.is_nan() && e.is_nan();
        }
        if g.is_infinite() || e.is_infinite() {
            return g == e;
        }
        (g - e).abs() <= self.absolute + self.relative * e.abs()
            || distance_in_ulps(got, expected) <= self.ulps
    }
}

/// Number of steps from one finite float to the next between two of one type.
fn distance_in_ulps(a: Literal, b: Literal) -> u64 {
    // The bits of a float less its sign count up with its magnitude.
    let position = |x: Literal| {
        let sign = 1u64 << (8 * x.dtype().n_bytes() - 1);
        let magnitude = i128::from(x.bits() & !sign);
        if x.bits() & sign == 0 { magnitude } else { -magnitude }
    };
    u64::try_from((position(a) - position(b)).unsigned_abs()).unwrap_or(u64::MAX)
}

/// What differs between a value and the expected one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Difference {
    /// The types.
    #[error("the type is {got}, expected {expected}")]
    Type {
        /// Type of the value.
        got: TensorType,
        /// Type it should have.
        expected: TensorType,
    },
    /// Elements; the one that is farthest off is shown.
    #[error("{0}")]
    Elements(ElementDifference),
}

/// Elements that differ by more than was tolerated.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementDifference {
    /// Type of both values.
    pub ty: TensorType,
    /// Number of elements that differ.
    pub n_different: usize,
    /// Index of the first one in row-major order.
    pub first: Axes,
    /// Index of the one that is farthest off.
    pub worst: Axes,
    /// Its value.
    pub got: Literal,
    /// The value it should have.
    pub expected: Literal,
}

impl fmt::Display for ElementDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ElementDifference { ty, n_different, first, worst, got, expected } = self;
        write!(
            f,
            "{n_different} of the {} elements of {ty} differ, the first at {first:?}; ",
            ty.n_elements()
        )?;
        write!(f, "worst at {worst:?}: {got}, expected {expected}")
    }
}

/// Compares a value with the expected one.
pub fn compare(got: &TensorData, expected: &TensorData, tolerance: Tolerance) -> Result<(), Difference> {
    if got.ty() != expected.ty() {
        return Err(Difference::Type { got: got.ty(), expected: expected.ty() });
    }
    let different: Vec<usize> =
        (0..got.n_elements()).filter(|&i| !tolerance.accepts(got.get(i), expected.get(i))).collect();
    let Some(&first) = different.first() else { return Ok(()) };
    let error = |i: usize| {
        let error = (got.get(i).as_f64() - expected.get(i).as_f64()).abs();
        // One NaN, or two infinities: nothing is farther off.
        if error.is_nan() { f64::INFINITY } else { error }
    };
    let worst = different.iter().fold(first, |worst, &i| if error(i) > error(worst) { i } else { worst });
    Err(Difference::Elements(ElementDifference {
        ty: got.ty(),
        n_different: different.len(),
        first: index_at(got.shape(), first),
        worst: index_at(got.shape(), worst),
        got: got.get(worst),
        expected: expected.get(worst),
    }))
}

fn index_at(shape: &Shape, i: usize) -> Axes {
    shape.strides().iter().zip(shape.extents()).map(|(&stride, &extent)| i / stride % extent).collect()
}

/// A value drawn uniformly from `range`, the same for the same seed on every machine. Integers are those in the range
/// (saturated to their type); `bool` is a coin.
pub fn random_data(ty: &TensorType, seed: u64, range: Range<f64>) -> TensorData {
    let mut generator = SplitMix(seed);
    TensorData::from_fn(ty, |_| {
        let unit = generator.unit();
        let value = range.start + (range.end - range.start) * unit;
        match ty.dtype {
            DType::F32 | DType::F64 => Literal::from_f64(ty.dtype, value),
            DType::I32 | DType::I64 | DType::U8 => Literal::from_f64(ty.dtype, value.floor()),
            DType::Bool => Literal::Bool(unit < 0.5),
        }
    })
}

/// SplitMix64: small, and good enough to draw test inputs.
/// Source: Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A multiple of 2^-53 in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (0.5 / (1u64 << 52) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_finite_values_equal_themselves_only() {
        let accepts = |got: f32, expected: f32| Tolerance::mixed(1.0).accepts(got.into(), expected.into());
        assert!(accepts(f32::NAN, -f32::NAN));
        assert!(accepts(f32::INFINITY, f32::INFINITY));
        assert!(!accepts(f32::INFINITY, f32::NEG_INFINITY));
        assert!(!accepts(f32::NAN, 1.0));
        assert!(!accepts(1.0, f32::NAN));
        assert!(!accepts(f32::MAX, f32::INFINITY));
        assert!(Tolerance::EXACT.accepts((-0.0f32).into(), 0.0f32.into()));
    }

    #[test]
    fn distances_are_absolute_relative_or_in_ulps() {
        let absolute = Tolerance { absolute: 0.5, ..Tolerance::EXACT };
        assert!(absolute.accepts(10.5f64.into(), 10.0.into()));
        assert!(!absolute.accepts(10.6f64.into(), 10.0.into()));
        let relative = Tolerance { relative: 0.1, ..Tolerance::EXACT };
        assert!(relative.accepts(11.0f64.into(), 10.0.into()));
        assert!(!relative.accepts(0.2f64.into(), 0.1.into()));
        let next = f32::from_bits(1f32.to_bits() + 2);
        assert!(Tolerance::ulps(2).accepts(next.into(), 1f32.into()));
        assert!(!Tolerance::ulps(1).accepts(next.into(), 1f32.into()));
        // The smallest numbers of either sign are two steps apart.
        assert!(Tolerance::ulps(2).accepts(f64::from_bits(1).into(), (-f64::from_bits(1)).into()));
    }

    #[test]
    fn integers_must_be_equal() {
        let tolerance = Tolerance { relative: 1.0, absolute: 1.0, ulps: 1 };
        assert!(!tolerance.accepts(Literal::I64(i64::MAX), Literal::I64(i64::MAX - 1)));
        assert!(tolerance.accepts(Literal::U8(3), Literal::U8(3)));
    }

    #[test]
    fn the_worst_element_is_named() {
        let expected = TensorData::new([2, 3], vec![0f32, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let got = TensorData::new([2, 3], vec![0f32, 1.5, 2.0, 3.0, 4.0, 7.0]);
        assert_eq!(compare(&expected, &expected, Tolerance::EXACT), Ok(()));
        let error = compare(&got, &expected, Tolerance::mixed(1e-6)).unwrap_err().to_string();
        let words = "2 of the 6 elements of f32[2, 3] differ, the first at [0, 1]; worst at [1, 2]: 7.0, expected 5.0";
        assert_eq!(error, words);
        let error = compare(&TensorData::scalar(1i32), &expected, Tolerance::EXACT).unwrap_err();
        assert_eq!(error.to_string(), "the type is i32[], expected f32[2, 3]");
    }

    #[test]
    fn random_data_depends_on_the_seed_alone() {
        // The first value of the reference implementation for seed 1234567.
        assert_eq!(SplitMix(1234567).next(), 6457827717110365317);
        let ty = TensorType::new(DType::F32, [100]);
        let data = random_data(&ty, 7, -2.0..3.0);
        assert!(data.same_bits(&random_data(&ty, 7, -2.0..3.0)));
        assert!(!data.same_bits(&random_data(&ty, 8, -2.0..3.0)));
        assert!(data.to_f64_vec().iter().all(|&v| (-2.0..=3.0).contains(&v)));
        let ints = random_data(&ty.with_dtype(DType::I32), 7, -2.0..3.0).to_f64_vec();
        assert!((-2..3).all(|v| ints.contains(&f64::from(v))) && !ints.contains(&3.0));
    }
}
