//! Special functions, composed of elementary ones.
//!
//! Shapes: as `self`. Types: floats; integers are converted to `f32` first. Accuracy: that of `f32`, unless a function
//! says otherwise. Gradients of all orders follow from the compositions.
//!
//! Source of formulas named DLMF: *NIST Digital Library of Mathematical Functions*, <https://dlmf.nist.gov>.

use super::Tensor;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

/// `2 / sqrt(pi)` is in the standard library; its inverse is not.
const FRAC_SQRT_PI_2: f64 = 0.886_226_925_452_758;

/// What an argument is moved up by before an asymptotic series: these then have errors below 1e-9.
const SHIFT: i32 = 8;

impl Tensor {
    /// A polynomial by Horner's rule; the first coefficient is that of the highest power.
    pub(super) fn polynomial(&self, coefficients: &[f64]) -> Tensor {
        let (first, rest) = coefficients.split_first().expect("a polynomial has coefficients");
        rest.iter().fold(self.full_like(*first), |sum, &c| sum * self + c)
    }

    /// Logarithm of the absolute value of the gamma function; infinite at 0 and the negative integers.
    ///
    /// Stirling's series (DLMF 5.11.1) after moving the argument up by the recurrence (5.5.1), the reflection formula
    /// (5.5.3) below 1/2.
    #[track_caller]
    pub fn lgamma(&self) -> Tensor {
        self.within("lgamma", || {
            let x = self.to_float();
            let is_below = x.lt(0.5);
            let positive = is_below.select(1.0 - &x, &x).lgamma_positive();
            // |sin(pi x)| by the distance from the nearest integer, where no digits are lost.
            let distance = is_below.select(&x - x.round(), 0.5);
            let reflected = PI.ln() - (distance.abs() * PI).sin().log() - &positive;
            is_below.select(reflected, positive)
        })
    }

    fn lgamma_positive(&self) -> Tensor {
        let is_small = self.lt(f64::from(SHIFT));
        let base = is_small.select(self, 1.0);
        let product = (1..SHIFT).fold(base.clone(), |product, k| product * (&base + k));
        let z = is_small.select(self + SHIFT, self);
        let inverse = z.reciprocal();
        let tail = inverse.square().polynomial(&[1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0]) * inverse;
        let stirling = (&z - 0.5) * z.log() - &z + 0.5 * (2.0 * PI).ln() + tail;
        is_small.select(&stirling - product.log(), &stirling)
    }

    /// The logarithm of the multivariate gamma function of dimension `p`:
    /// `p (p - 1) / 4 log(pi) + sum over j < p of lgamma(x - j / 2)`.
    #[track_caller]
    pub fn mvlgamma(&self, p: usize) -> Tensor {
        self.within("mvlgamma", || {
            let constant = self.to_float().full_like((p * p.saturating_sub(1)) as f64 / 4.0 * PI.ln());
            (0..p).fold(constant, |sum, j| sum + (self - j as f64 / 2.0).lgamma())
        })
    }

    /// The derivative of the logarithm of the gamma function.
    ///
    /// Asymptotic series (DLMF 5.11.2), recurrence (5.5.2), reflection (5.5.4) below 1/2; `-inf` at 0, NaN at the
    /// negative integers.
    #[track_caller]
    pub fn digamma(&self) -> Tensor {
        self.within("digamma", || {
            let x = self.to_float();
            let is_below = x.lt(0.5);
            let positive = is_below.select(1.0 - &x, &x).digamma_positive();
            let distance = is_below.select(&x - x.round(), 0.5);
            let reflected = &positive - PI / (distance * PI).tan();
            let is_pole = x.eq(x.round()).logical_and(x.lt(0.0));
            let value = is_below.select(reflected, positive);
            is_pole.select(f64::NAN, x.eq(0.0).select(f64::NEG_INFINITY, value))
        })
    }

    fn digamma_positive(&self) -> Tensor {
        let is_small = self.lt(f64::from(SHIFT));
        let base = is_small.select(self, 1.0);
        let inverses = (1..SHIFT).fold(base.reciprocal(), |sum, k| sum + (&base + k).reciprocal());
        let z = is_small.select(self + SHIFT, self);
        let inverse = z.reciprocal();
        let square = inverse.square();
        let tail = square.polynomial(&[1.0 / 240.0, -1.0 / 252.0, 1.0 / 120.0, -1.0 / 12.0]) * &square;
        let series = z.log() - inverse * 0.5 + tail;
        is_small.select(&series - inverses, &series)
    }

    /// Derivative number `n` of [`digamma`](Tensor::digamma): `(-1)^(n + 1) n! zeta(n + 1, x)`, with the sum of Hurwitz's
    /// zeta function by Euler and Maclaurin (DLMF 25.11.28). Exact for `x` above -10.
    #[track_caller]
    pub fn polygamma(&self, n: usize) -> Tensor {
        if n == 0 {
            return self.digamma();
        }
        self.within("polygamma", || {
            const TERMS: i32 = 20;
            let x = self.to_float();
            let s = n as f64 + 1.0;
            let power = |x: &Tensor| (1..=n).fold(x.clone(), |product, _| product * x).reciprocal();
            let sum = (1..TERMS).fold(power(&x), |sum, k| sum + power(&(&x + k)));
            let a = &x + TERMS;
            let inverse = a.reciprocal();
            let coefficients = [
                s * (s + 1.0) * (s + 2.0) * (s + 3.0) * (s + 4.0) / 30240.0,
                -s * (s + 1.0) * (s + 2.0) / 720.0,
                s / 12.0,
            ];
            let tail = inverse.square().polynomial(&coefficients) * inverse + 0.5;
            let zeta = sum + power(&a) * (&a * (1.0 / (s - 1.0)) + tail);
            let factorial: f64 = (1..=n).map(|k| k as f64).product();
            zeta * if n % 2 == 1 { factorial } else { -factorial }
        })
    }

    /// Complementary error function `1 - erf(x)`, without loss of digits for large `x`.
    #[track_caller]
    pub fn erfc(&self) -> Tensor {
        self.within("erfc", || {
            let x = self.to_float();
            let is_far = x.gt(1.5);
            let far = is_far.select(&x, 1.5);
            is_far.select((-far.square()).exp() * far.erfcx_tail(), 1.0 - is_far.select(0.0, &x).erf())
        })
    }

    /// Scaled complementary error function: `e^(x^2) erfc(x)`.
    #[track_caller]
    pub fn erfcx(&self) -> Tensor {
        self.within("erfcx", || {
            let x = self.to_float();
            let is_far = x.gt(1.5);
            let near = is_far.select(0.0, &x);
            is_far.select(is_far.select(&x, 1.5).erfcx_tail(), near.square().exp() * (1.0 - near.erf()))
        })
    }

    /// `e^(x^2) erfc(x)` from 1.5 on, by its continued fraction (DLMF 7.9.1, in the form `1 / (x + (1/2) / (x + ...))`).
    fn erfcx_tail(&self) -> Tensor {
        let fraction = (1..30).rev().fold(self.clone(), |below, k| self + f64::from(k) * 0.5 / below);
        (0.5 / FRAC_SQRT_PI_2) / fraction
    }

    /// The distribution function of the standard normal distribution: `erfc(-x / sqrt(2)) / 2`.
    #[track_caller]
    pub fn ndtr(&self) -> Tensor {
        self.within("ndtr", || (self * -FRAC_1_SQRT_2).erfc() * 0.5)
    }

    /// The logarithm of [`ndtr`](Tensor::ndtr), without underflow.
    #[track_caller]
    pub fn log_ndtr(&self) -> Tensor {
        self.within("log_ndtr", || {
            let y = self.to_float() * -FRAC_1_SQRT_2;
            let is_far = y.gt(1.5);
            let far = is_far.select(&y, 1.5);
            let near = (is_far.select(0.0, -&y).erfc() * -0.5).log1p();
            is_far.select((far.erfcx_tail() * 0.5).log() - far.square(), near)
        })
    }

    /// Entropy of one outcome: `-x log(x)`, 0 at 0, `-inf` below.
    #[track_caller]
    pub fn entr(&self) -> Tensor {
        self.within("entr", || {
            let entropy = -self.xlogy(self);
            self.lt(0.0).select(f64::NEG_INFINITY, entropy)
        })
    }

    /// `sin(pi x) / (pi x)`, and 1 at 0.
    #[track_caller]
    pub fn sinc(&self) -> Tensor {
        self.within("sinc", || {
            let x = self * PI;
            let is_zero = x.eq(0.0);
            let safe = is_zero.select(1.0, &x);
            is_zero.select(1.0, safe.sin() / &safe)
        })
    }

    /// `self * log1p(rhs)`, and 0 where `self` is 0.
    #[track_caller]
    pub fn xlog1py(&self, rhs: impl Into<super::Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("xlog1py", || match self.float_pair("xlog1py", rhs) {
            Ok((x, y)) => {
                let is_zero = x.eq(0.0).logical_and(y.isnan().logical_not());
                &x * is_zero.select(0.0, &y).log1p()
            }
            Err(poisoned) => poisoned,
        })
    }

    /// `log2(2^self + 2^rhs)`, without overflow.
    #[track_caller]
    pub fn logaddexp2(&self, rhs: impl Into<super::Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("logaddexp2", || match self.float_pair("logaddexp2", rhs) {
            Ok((a, b)) => (a * LN_2).logaddexp(b * LN_2) / LN_2,
            Err(poisoned) => poisoned,
        })
    }
}
