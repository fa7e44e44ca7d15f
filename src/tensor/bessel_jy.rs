//! Bessel functions of the first and second kind, and modified ones of the second kind, of orders 0 and 1.
//!
//! Shapes: as `self`. Types: floats; integers are converted to `f32` first. Accuracy: about 5e-7, relative for the modified
//! ones. Sources: Press and others, *Numerical Recipes in C*, second edition, sections 6.5 (`J` and `Y`: rational functions
//! up to 8, Hankel's asymptotic expansions beyond) and 6.6 (`K`: polynomials up to 2 and in `2 / x` beyond).

use super::Tensor;
use std::f64::consts::{FRAC_2_PI, FRAC_PI_4};

/// Numerator and denominator of a rational function in `x^2`, the highest powers first.
type Rational = ([f64; 6], &'static [f64]);

const J: [Rational; 2] = [
    (
        [-184.9052456, 77392.33017, -11214424.18, 651619640.7, -13362590354.0, 57568490574.0],
        &[1.0, 267.8532712, 59272.64853, 9494680.718, 1029532985.0, 57568490411.0],
    ),
    (
        [-30.16036606, 15704.48260, -2972611.439, 242396853.1, -7895059235.0, 72362614232.0],
        &[1.0, 376.9991397, 99447.43394, 18583304.74, 2300535178.0, 144725228442.0],
    ),
];

const Y: [Rational; 2] = [
    (
        [228.4622733, -86327.92757, 10879881.29, -512359803.6, 7062834065.0, -2957821389.0],
        &[1.0, 226.1030244, 47447.26470, 7189466.438, 745249964.8, 40076544269.0],
    ),
    (
        [8511.937935, -4237922.726, 734926455.1, -51534381390.0, 1275274390000.0, -4900604943000.0],
        &[1.0, 354.9632885, 102042.6050, 22459040.02, 3733650367.0, 424441966400.0, 24995805700000.0],
    ),
];

/// Amplitude and phase in `(8 / x)^2` of the functions from 8 on.
const HANKEL: [[[f64; 5]; 2]; 2] = [
    [
        [0.2093887211e-6, -0.2073370639e-5, 0.2734510407e-4, -0.1098628627e-2, 1.0],
        [-0.934935152e-7, 0.7621095161e-6, -0.6911147651e-5, 0.1430488765e-3, -0.1562499995e-1],
    ],
    [
        [-0.240337019e-6, 0.2457520174e-5, -0.3516396496e-4, 0.183105e-2, 1.0],
        [0.105787412e-6, -0.88228987e-6, 0.8449199096e-5, -0.2002690873e-3, 0.04687499995],
    ],
];

/// Modified functions of the second kind: coefficients in `(x / 2)^2` up to 2, and in `2 / x` beyond.
const K: [[[f64; 7]; 2]; 2] = [
    [
        [0.74e-5, 0.10750e-3, 0.262698e-2, 0.3488590e-1, 0.23069756, 0.42278420, -0.57721566],
        [0.53208e-3, -0.251540e-2, 0.587872e-2, -0.1062446e-1, 0.2189568e-1, -0.7832358e-1, 1.25331414],
    ],
    [
        [-0.4686e-4, -0.110404e-2, -0.1919402e-1, -0.18156897, -0.67278579, 0.15443144, 1.0],
        [-0.68245e-3, 0.325614e-2, -0.780353e-2, 0.1504268e-1, -0.3655620e-1, 0.23498619, 1.25331414],
    ],
];

/// Where the approximations of `J` and `Y` meet.
const NEAR: f64 = 8.0;

impl Tensor {
    /// Bessel function of the first kind, of order 0.
    #[track_caller]
    pub fn bessel_j0(&self) -> Tensor {
        self.within("bessel_j0", || self.to_float().bessel_j(0))
    }

    /// Bessel function of the first kind, of order 1.
    #[track_caller]
    pub fn bessel_j1(&self) -> Tensor {
        self.within("bessel_j1", || self.to_float().bessel_j(1))
    }

    /// Bessel function of the second kind, of order 0: `-inf` at 0, NaN below.
    #[track_caller]
    pub fn bessel_y0(&self) -> Tensor {
        self.within("bessel_y0", || self.to_float().bessel_y(0))
    }

    /// Bessel function of the second kind, of order 1: `-inf` at 0, NaN below.
    #[track_caller]
    pub fn bessel_y1(&self) -> Tensor {
        self.within("bessel_y1", || self.to_float().bessel_y(1))
    }

    /// Modified Bessel function of the second kind, of order 0: infinite at 0, NaN below.
    #[track_caller]
    pub fn bessel_k0(&self) -> Tensor {
        self.within("bessel_k0", || self.to_float().bessel_k(0, false))
    }

    /// `e^x k0(x)`.
    #[track_caller]
    pub fn bessel_k0e(&self) -> Tensor {
        self.within("bessel_k0e", || self.to_float().bessel_k(0, true))
    }

    /// Modified Bessel function of the second kind, of order 1: infinite at 0, NaN below.
    #[track_caller]
    pub fn bessel_k1(&self) -> Tensor {
        self.within("bessel_k1", || self.to_float().bessel_k(1, false))
    }

    /// `e^x k1(x)`.
    #[track_caller]
    pub fn bessel_k1e(&self) -> Tensor {
        self.within("bessel_k1e", || self.to_float().bessel_k(1, true))
    }

    fn bessel_j(&self, order: usize) -> Tensor {
        let is_below = self.lt(0.0);
        let size = is_below.select(-self, self);
        let is_far = size.gt(NEAR);
        let near = is_far.select(0.0, self);
        let value = near.rational(&J[order]);
        let far = is_far.select(&size, NEAR).hankel(order, false);
        match order {
            0 => is_far.select(far, value),
            _ => is_far.select(is_below.select(-&far, &far), value * near),
        }
    }

    fn bessel_y(&self, order: usize) -> Tensor {
        let is_far = self.gt(NEAR);
        let is_inside = self.gt(0.0).logical_and(is_far.logical_not());
        let near = is_inside.select(self, 1.0);
        let value = near.rational(&Y[order]);
        let log = near.bessel_j(order) * near.log();
        let value = match order {
            0 => value + log * FRAC_2_PI,
            _ => value * &near + (log - near.reciprocal()) * FRAC_2_PI,
        };
        let far = is_far.select(self, NEAR).hankel(order, true);
        let value = is_far.select(far, value);
        self.at_singularity(f64::NEG_INFINITY, value)
    }

    fn bessel_k(&self, order: usize, scaled: bool) -> Tensor {
        let is_far = self.gt(2.0);
        let is_inside = self.gt(0.0).logical_and(is_far.logical_not());
        let near = is_inside.select(self, 1.0);
        let polynomial = (&near * 0.5).square().polynomial(&K[order][0]);
        let log = (&near * 0.5).log();
        let mut value = match order {
            0 => polynomial - log * near.i0(),
            _ => polynomial / &near + log * near.i1(),
        };
        if scaled {
            value = value * near.exp();
        }
        let far = is_far.select(self, 2.0);
        let mut tail = (2.0 / &far).polynomial(&K[order][1]) * far.rsqrt();
        if !scaled {
            tail = tail * (-far).exp();
        }
        self.at_singularity(f64::INFINITY, is_far.select(tail, value))
    }

    /// A value above 0, `at_zero` at 0, and NaN below.
    fn at_singularity(&self, at_zero: f64, value: Tensor) -> Tensor {
        let at_most = self.eq(0.0).select(at_zero, self.full_like(f64::NAN));
        self.gt(0.0).select(value, at_most)
    }

    fn rational(&self, (numerator, denominator): &Rational) -> Tensor {
        let y = self.square();
        y.polynomial(numerator) / y.polynomial(denominator)
    }

    /// `sqrt(2 / (pi x)) (p cos(x - s) - q sin(x - s))`, or with sine and cosine exchanged for the second kind.
    fn hankel(&self, order: usize, second: bool) -> Tensor {
        let z = NEAR / self;
        let y = z.square();
        let (p, q) = (y.polynomial(&HANKEL[order][0]), y.polynomial(&HANKEL[order][1]) * z);
        let phase = self - (1 + 2 * order) as f64 * FRAC_PI_4;
        let wave = if second { p * phase.sin() + q * phase.cos() } else { p * phase.cos() - q * phase.sin() };
        wave * (FRAC_2_PI / self).sqrt()
    }

    /// Spherical Bessel function of the first kind, of order 0: `sin(x) / x`, and 1 at 0.
    #[track_caller]
    pub fn spherical_bessel_j0(&self) -> Tensor {
        self.within("spherical_bessel_j0", || (self * std::f64::consts::FRAC_1_PI).sinc())
    }
}
