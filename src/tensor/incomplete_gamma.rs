//! Hurwitz's zeta function and incomplete gamma functions.
//!
//! Shapes: operands broadcast to one shape. Types: floats; integers are converted to `f32` first.

use super::{Operand, Scan, Tensor};
use kiln_ir::{DType, TensorData};

/// Terms of the series and of the continued fraction: enough for arguments up to some thousands.
const TERMS: usize = 200;

impl Tensor {
    /// Hurwitz's zeta function: the sum over `k` of `(k + q)^-self`, for `self` above 1 and `q` above 0.
    ///
    /// Euler and Maclaurin's sum (DLMF 25.11.28, <https://dlmf.nist.gov/25.11>) after twelve terms.
    #[track_caller]
    pub fn zeta(&self, q: impl Into<Operand>) -> Tensor {
        const FIRST: i32 = 12;
        let q = q.into();
        self.within("zeta", || {
            let (s, q) = match self.float_pair("zeta", q) {
                Ok(pair) => pair,
                Err(poisoned) => return poisoned,
            };
            let power = |x: &Tensor| x.pow(-&s);
            let sum = (1..FIRST).fold(power(&q), |sum, k| sum + power(&(&q + k)));
            let a = &q + FIRST;
            let inverse = a.reciprocal();
            let square = inverse.square();
            // Bernoulli's numbers over factorials: 1/12, -1/720, 1/30240.
            let third = &s * (&s + 1.0) * (&s + 2.0);
            let fifth = &third * (&s + 3.0) * (&s + 4.0);
            let tail = (&s / 12.0 - &third * &square / 720.0 + fifth * square.square() / 30240.0) * inverse;
            sum + power(&a) * (&a / (&s - 1.0) + 0.5 + tail)
        })
    }

    /// The regularized lower incomplete gamma function `P(self, x)`; `self` and `x` at least 0.
    ///
    /// A series below `self + 1` (DLMF 8.11.4) and a continued fraction above (8.9.2), both in a loop. Source: Press and
    /// others, *Numerical Recipes in C*, second edition, section 6.2.
    #[track_caller]
    pub fn igamma(&self, x: impl Into<Operand>) -> Tensor {
        let x = x.into();
        self.within("igamma", || self.incomplete_gamma(x, false))
    }

    /// The regularized upper incomplete gamma function `Q(self, x) = 1 - P(self, x)`; see [`igamma`](Tensor::igamma).
    #[track_caller]
    pub fn igammac(&self, x: impl Into<Operand>) -> Tensor {
        let x = x.into();
        self.within("igammac", || self.incomplete_gamma(x, true))
    }

    #[track_caller]
    fn incomplete_gamma(&self, x: Operand, upper: bool) -> Tensor {
        let (a, x) = match self.float_pair("igamma", x) {
            Ok(pair) => pair,
            Err(poisoned) => return poisoned,
        };
        // At 0 and at infinity there is nothing to sum: 1 and 1 stand in.
        let is_end = a.le(0.0).logical_or(x.le(0.0)).logical_or(x.isinf());
        let (safe_a, safe_x) = (is_end.select(1.0, &a), is_end.select(1.0, &x));
        let is_near = safe_x.lt(&safe_a + 1.0);
        let near = is_near.select(&safe_x, &safe_a);
        let far = is_near.select(&safe_a + 1.0, &safe_x);
        let scale = |x: &Tensor| (&safe_a * x.log() - x - safe_a.lgamma()).exp();
        let lower = series(&safe_a, &near) * scale(&near);
        let rest = continued_fraction(&safe_a, &far) * scale(&far);
        let value = match upper {
            true => is_near.select(1.0 - &lower, rest),
            false => is_near.select(lower, 1.0 - rest),
        };
        // P(a, 0) = 0 and P(0, x) = P(a, inf) = 1.
        let is_one = x.gt(0.0).eq(!upper);
        let end = is_one.cast(a.dtype());
        let is_wrong = a.lt(0.0).logical_or(x.lt(0.0)).logical_or(a.eq(0.0).logical_and(x.eq(0.0)));
        is_wrong.select(f64::NAN, is_end.select(end, value))
    }
}

/// Counts from 1, as what a loop walks over.
fn counts(x: &Tensor) -> Tensor {
    let numbers: Vec<f32> = (1..=TERMS).map(|i| i as f32).collect();
    x.constant(TensorData::new([TERMS], numbers)).cast(x.dtype())
}

/// The sum over `n` of `x^n / (a (a + 1) ... (a + n))`.
fn series(a: &Tensor, x: &Tensor) -> Tensor {
    let first = a.reciprocal();
    let counts = counts(x);
    let scanned = Scan::over(&[&counts]).carry(&[&first, &first]).run(|carried, count| {
        let term = &carried[0] * (x / (a + &count[0]));
        (vec![term.clone(), &carried[1] + term], vec![])
    });
    scanned.carried[1].clone()
}

/// `1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ...))`, by Lentz's method.
fn continued_fraction(a: &Tensor, x: &Tensor) -> Tensor {
    let tiny = if x.dtype() == DType::F64 { 1e-300 } else { 1e-30 };
    let b = x + 1.0 - a;
    let d = b.reciprocal();
    let c = x.full_like(1.0 / tiny);
    let counts = counts(x);
    let scanned = Scan::over(&[&counts]).carry(&[&c, &d, &d]).run(|carried, count| {
        let i = &count[0];
        let numerator = i * (a - i);
        let b = &b + i * 2.0;
        let away = |y: Tensor| y.abs().lt(tiny).select(tiny, y);
        let d = away(&numerator * &carried[1] + &b).reciprocal();
        let c = away(&b + &numerator / &carried[0]);
        let h = &carried[2] * (&d * &c);
        (vec![c, d, h], vec![])
    });
    scanned.carried[2].clone()
}
