//! `log` and `log1p`.
//!
//! With `x = 2^e m` and `m` in `[sqrt 1/2, sqrt 2)`: `log x = e ln 2 + log m`, where `log m` is a polynomial in
//! `f = m - 1` (f32) or in `f / (2 + f)` (f64). `e ln 2` is added in two parts, the small one first.

use super::exp::{Exponential, routine};
use super::vector::{F32, F64, Float, Unary, Vector, VectorExt};

/// The part of the formula that depends on the type of float.
pub(super) trait Logarithm: Exponential {
    /// The bit pattern of sqrt 1/2.
    const SQRT_HALF: Self::Bits;
    /// The bit pattern of 1 less that of sqrt 1/2.
    const ONE_LESS_SQRT_HALF: Self::Bits;
    /// The bits of the fraction.
    const FRACTION: Self::Bits;
    /// The bit pattern of 2^FRACTION_BITS: with a whole number in its fraction, the sum of both.
    const WHOLE: Self::Bits;
    /// 2^FRACTION_BITS, and the bias of the exponent.
    const WHOLE_AND_BIAS: f64;
    /// The least normal number.
    const LEAST_NORMAL: Self;
    /// A power of two that makes all numbers below it normal, and its exponent.
    const LIFT: [f64; 2];
    /// `log(1 + f) + e ln 2`, for `1 + f` in `[sqrt 1/2, sqrt 2)` and whole `e`.
    fn log<V: VectorExt<Scalar = Self>>(f: V, e: V) -> V;
}

impl Logarithm for f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    const ONE_LESS_SQRT_HALF: u32 = 0x3f80_0000 - Self::SQRT_HALF;
    const FRACTION: u32 = 0x007f_ffff;
    const WHOLE: u32 = 0x4b00_0000;
    const WHOLE_AND_BIAS: f64 = 8_388_608.0 + 127.0;
    const LEAST_NORMAL: f32 = f32::MIN_POSITIVE;
    const LIFT: [f64; 2] = [16_777_216.0, 24.0];
    // S. L. Moshier, Cephes, `single/logf.c`.
    #[inline(always)]
    fn log<V: VectorExt<Scalar = f32>>(f: V, e: V) -> V {
        let z = f.mul(f);
        let p = f.polynomial(&[
            3.333_333e-1,
            -2.499_999_4e-1,
            2.000_071_4e-1,
            -1.666_805_8e-1,
            1.424_932_3e-1,
            -1.242_014_1e-1,
            1.167_699_87e-1,
            -1.151_461e-1,
            7.037_683_6e-2,
        ]);
        let y = p.mul(f).mul(z);
        let y = e.mul_add(V::splat(f32::LN_2[1]), y);
        let y = z.mul_add(V::splat(-0.5), y);
        e.mul_add(V::splat(f32::LN_2[0]), f.add(y))
    }
}

impl Logarithm for f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE_LESS_SQRT_HALF: u64 = 0x3ff0_0000_0000_0000 - Self::SQRT_HALF;
    const FRACTION: u64 = 0x000f_ffff_ffff_ffff;
    const WHOLE: u64 = 0x4330_0000_0000_0000;
    const WHOLE_AND_BIAS: f64 = 4_503_599_627_370_496.0 + 1023.0;
    const LEAST_NORMAL: f64 = f64::MIN_POSITIVE;
    const LIFT: [f64; 2] = [18_014_398_509_481_984.0, 54.0];
    // fdlibm, `e_log.c`.
    #[inline(always)]
    fn log<V: VectorExt<Scalar = f64>>(f: V, e: V) -> V {
        let s = f.div(f.add(V::splat(2.0)));
        let z = s.mul(s);
        let r = z.mul(z.polynomial(&[
            6.666_666_666_666_735e-1,
            3.999_999_999_940_942e-1,
            2.857_142_874_366_239e-1,
            2.222_219_843_214_978_4e-1,
            1.818_357_216_161_805e-1,
            1.531_383_769_920_937_3e-1,
            1.479_819_860_511_658_6e-1,
        ]));
        let half_square = f.mul(f).mul(V::splat(0.5));
        let low = e.mul_add(V::splat(f64::LN_2[1]), s.mul(half_square.add(r)));
        e.mul_add(V::splat(f64::LN_2[0]), f.sub(half_square.sub(low)))
    }
}

/// `e` and `m` of a positive normal number; `e` as a float.
#[inline(always)]
fn split<V: Vector<Scalar: Logarithm>>(x: V) -> (V, V) {
    // Bit patterns of positive floats are ordered as the floats are: shifted by the distance from sqrt 1/2 to
    // 1, each interval [2^e sqrt 1/2, 2^e sqrt 2) has one exponent.
    let shifted = x.add_bits(V::splat_bits(V::Scalar::ONE_LESS_SQRT_HALF));
    let exponent = shifted.shift_right(V::Scalar::FRACTION_BITS).or(V::splat_bits(V::Scalar::WHOLE));
    let e = exponent.sub(V::constant(V::Scalar::WHOLE_AND_BIAS));
    let fraction = shifted.and(V::splat_bits(V::Scalar::FRACTION));
    (e, fraction.add_bits(V::splat_bits(V::Scalar::SQRT_HALF)))
}

/// `y`, a logarithm of `x`, with the values at infinity, at 0 and where there is none.
#[inline(always)]
fn limits<V: Vector>(x: V, y: V) -> V {
    let (zero, infinity) = (V::constant(0.0), V::constant(f64::INFINITY));
    let y = V::select(x.lt(infinity), y, x);
    let below = V::select(x.eq(zero), infinity.neg(), V::constant(f64::NAN));
    V::select(zero.lt(x), y, below)
}

/// The natural logarithm.
#[inline(always)]
pub(super) fn log<V: Vector<Scalar: Logarithm>>(x: V) -> V {
    let [lift, lift_exponent] = V::Scalar::LIFT;
    let subnormal = x.lt(V::splat(V::Scalar::LEAST_NORMAL));
    let lifted = V::select(subnormal, x.mul(V::constant(lift)), x);
    let (e, m) = split(lifted);
    let e = V::select(subnormal, e.sub(V::constant(lift_exponent)), e);
    limits(x, V::Scalar::log(m.sub(V::constant(1.0)), e))
}

/// The natural logarithm of `1 + x`.
///
/// `1 + x` is `u` and a rest `c`, both exact; what is lost in `f = m - 1` is added as `c / 2^e`. (The
/// rest as in fdlibm, `s_log1p.c`.)
#[inline(always)]
fn log1p<V: Vector<Scalar: Logarithm>>(x: V) -> V {
    let one = V::constant(1.0);
    let u = one.add(x);
    let from_x = x.sub(u.sub(one));
    let from_one = one.sub(u.sub(x));
    let c = V::select(x.lt(one), from_x, from_one);
    let (e, m) = split(u);
    // Beyond 2^100 the rest is of no account, and 2^-e need not be a normal number.
    let (_, bits) = V::constant(100.0).min(e).neg().round();
    let f = c.mul_add(bits.power_of_two(), m.sub(one));
    let y = limits(u, V::Scalar::log(f, e));
    V::select(x.abs().lt(V::splat(V::Scalar::TINY)), x, y)
}

routine! {
    /// The natural logarithm.
    Log = log;
    /// The natural logarithm of `1 + x`.
    Log1p = log1p;
}
