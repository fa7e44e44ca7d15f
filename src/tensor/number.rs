//! Whole numbers, and numbers as fraction and exponent.
//!
//! Shapes: operands broadcast to one shape.

use super::{Operand, Scan, Tensor};
use kiln_ir::DType;

impl Tensor {
    /// The greatest common divisor, at least 0. Types: integers.
    ///
    /// Euclid's algorithm, in as many steps as the type may take (Knuth, *The Art of Computer Programming*, volume 2,
    /// section 4.5.3, corollary L: the worst case are neighbours among Fibonacci's numbers).
    #[track_caller]
    pub fn gcd(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("gcd", || {
            let (a, b) = match self.pair("gcd", rhs) {
                Ok(pair) => pair,
                Err(poisoned) => return poisoned,
            };
            let steps = match a.dtype() {
                DType::U8 => 13,
                DType::I32 => 46,
                DType::I64 => 92,
                DType::Bool | DType::F32 | DType::F64 => return a.refuse("gcd", "it is for integers"),
            };
            let [a, b] = [a, b].map(|x| x.lt(0).select(-&x, &x));
            let scanned = Scan::steps(steps).carry(&[&a, &b]).run(|pair, _| {
                let is_done = pair[1].eq(0);
                let rest = pair[0].remainder(is_done.select(1, &pair[1]));
                (vec![is_done.select(&pair[0], &pair[1]), is_done.select(0, rest)], vec![])
            });
            scanned.carried[0].clone()
        })
    }

    /// The least common multiple, at least 0; 0 of 0 and anything. Types: integers.
    #[track_caller]
    pub fn lcm(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("lcm", || {
            let (a, b) = match self.pair("lcm", rhs) {
                Ok(pair) => pair,
                Err(poisoned) => return poisoned,
            };
            let divisor = a.gcd(&b);
            let product = a.div_trunc(divisor.eq(0).select(1, &divisor)) * b;
            product.lt(0).select(-&product, &product)
        })
    }

    /// Numbers as fraction and exponent: `x = fraction * 2^exponent`, the fraction between 1/2 and 1 in size, the exponent
    /// `i32`. Zero, infinity and NaN are their own fractions, with exponent 0. Types: floats.
    #[track_caller]
    pub fn frexp(&self) -> (Tensor, Tensor) {
        if let Err(poisoned) = self.require_float("frexp") {
            return (poisoned.clone(), poisoned);
        }
        self.within("frexp", || {
            let is_special = self.eq(0.0).logical_or(self.isfinite().logical_not());
            let (fraction, exponent) = is_special.select(1.0, self).halves();
            (is_special.select(self, fraction), is_special.select(0, exponent))
        })
    }

    /// [`frexp`](Tensor::frexp) of finite numbers other than 0: multiplied by powers of two, which is exact, until the size
    /// is between 1/2 and 1.
    fn halves(&self) -> (Tensor, Tensor) {
        // The exponents of subnormal numbers are further from 0 than those of the greatest.
        let powers: &[i32] = if self.dtype() == DType::F64 {
            &[512, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
        } else {
            &[64, 64, 32, 16, 8, 4, 2, 1]
        };
        let (mut fraction, mut exponent) = (self.clone(), self.zeros_like().cast(DType::I32));
        for &power in powers {
            let scale = 2f64.powi(power);
            let size = fraction.abs();
            let (is_great, is_small) = (size.ge(scale), size.lt(1.0 / scale));
            let scaled = is_small.select(&fraction * scale, &fraction);
            fraction = is_great.select(&fraction * (1.0 / scale), scaled);
            exponent = is_great.select(&exponent + power, is_small.select(&exponent - power, &exponent));
        }
        let is_one = fraction.abs().ge(1.0);
        (is_one.select(&fraction * 0.5, &fraction), is_one.select(&exponent + 1, &exponent))
    }

    /// The nearest number of the type in the direction of `rhs`. Types: floats. The gradient is that of `self`.
    #[track_caller]
    pub fn nextafter(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("nextafter", || {
            let (x, to) = match self.float_pair("nextafter", rhs) {
                Ok(pair) => pair,
                Err(poisoned) => return poisoned,
            };
            let (least, epsilon) = match x.dtype() {
                DType::F64 => (5e-324, f64::EPSILON / 2.0),
                DType::F32 | DType::I32 | DType::I64 | DType::U8 | DType::Bool => {
                    (f64::from(f32::from_bits(1)), f64::from(f32::EPSILON) / 2.0)
                }
            };
            let is_special = x.eq(0.0).logical_or(x.isfinite().logical_not());
            let safe = is_special.select(1.0, &x);
            let (fraction, _) = safe.halves();
            let outward = to.gt(&x).eq(x.gt(0.0));
            // Below a power of two numbers lie twice as close.
            let is_power = fraction.abs().eq(0.5).logical_and(outward.logical_not());
            let distance =
                (&safe / &fraction).abs() * is_power.select(0.5 * epsilon, fraction.full_like(epsilon));
            let distance = distance.clamp_min(least);
            let moved = to.gt(&x).select(&safe + &distance, &safe - &distance);
            let from_zero = to.gt(0.0).select(least, x.full_like(-least));
            let step = is_special.select(x.eq(0.0).select(from_zero, 0.0), moved - safe);
            let next = &x + x.eq(&to).select(0.0, step).detach();
            x.isnan().logical_or(to.isnan()).select(f64::NAN, next)
        })
    }
}
