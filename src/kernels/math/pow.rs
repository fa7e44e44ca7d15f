//! `pow` and `rem`: the special cases of ISO C (C17, annex F.10.4.4 and F.10.7.1) hold.

use super::exp::exp;
use super::log::log;
use super::vector::{Binary, F32, F64, Wide};

/// `x^y`.
pub(super) struct Pow;

/// `e^(y log x)` in f64: with 29 more bits than the result has, the product's error is of no account.
struct PowWide;

impl Wide for PowWide {
    #[inline(always)]
    fn apply<V: F64>(x: V, y: V) -> V {
        exp(y.mul(log(x)))
    }
}

impl Binary for Pow {
    #[inline(always)]
    fn f32<V: F32>(x: V, y: V) -> V {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let a = x.abs();
        let size = V::select(a.eq(one), one, a.in_f64::<PowWide>(y));

        // 2^23 + |y| has no bit for a fraction, and the lowest bit says whether it is odd; above 2^23 `y`
        // itself is such a number, and from 2^24 on it is even.
        let whole = V::splat(8_388_608.0);
        let b = y.abs();
        let units = V::select(b.lt(whole), b.add(whole), b);
        let is_whole = V::either(whole.lt(b), units.sub(whole).eq(b));
        let is_whole = V::either(is_whole, b.eq(whole));
        let odd_bit = V::select(b.lt(V::splat(16_777_216.0)), units.shift_left(31), zero);
        let odd = V::both(is_whole, one.or(odd_bit).lt(zero));

        let negative = V::select(odd, x.sign(), zero);
        let no_root = V::both(V::both(x.lt(zero), V::splat(f32::NEG_INFINITY).lt(x)), V::not(is_whole));
        let y_or_nan =
            V::select(V::both(x.is_number(), y.is_number()), size.or(negative), V::splat(f32::NAN));
        let power = V::select(no_root, V::splat(f32::NAN), y_or_nan);
        V::select(V::either(x.eq(one), y.eq(zero)), one, power)
    }
    #[inline(always)]
    fn f64<V: F64>(x: V, y: V) -> V {
        x.zip_lanes(y, libm::pow)
    }
}

/// The remainder of `x / y` rounded towards zero, with the sign of `x`: exact.
pub(super) struct Rem;

/// Quotients from here on go through `libm`: rounding to a whole number is right below 2^22.
const QUOTIENT_LIMIT: f32 = 4_194_304.0;

impl Binary for Rem {
    /// With `q` the quotient, cut: `x - q y` is a multiple of the unit of `y` and not larger than `y`, so that
    /// `fma` computes it exactly. A quotient that was rounded up to a whole number is one too large.
    #[inline(always)]
    fn f32<V: F32>(x: V, y: V) -> V {
        let zero = V::splat(0.0);
        let (a, b) = (x.abs(), y.abs());
        let quotient = a.div(b);
        let (q, _) = quotient.round();
        let q = V::select(quotient.lt(q), q.sub(V::splat(1.0)), q);
        let r = q.neg().fma(b, a);
        let r = V::select(r.lt(zero), r.add(b), r);
        let r = V::select(a.lt(b), a, r).or(x.sign());
        let slow = V::not(quotient.lt(V::splat(QUOTIENT_LIMIT)));
        if V::any(slow) {
            // Also zeros and NaN.
            let right =
                x.zip_lanes(y, |x, y| if (x / y).abs() < QUOTIENT_LIMIT { 0.0 } else { libm::fmodf(x, y) });
            V::select(slow, right, r)
        } else {
            r
        }
    }
    #[inline(always)]
    fn f64<V: F64>(x: V, y: V) -> V {
        x.zip_lanes(y, libm::fmod)
    }
}
