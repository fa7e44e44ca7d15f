//! `exp` and what is one exponential and little more: `expm1`, `sigmoid`, `tanh`, `sinh`, `cosh`.
//!
//! With `n` the whole number nearest to `x / ln 2` and `r = x - n ln 2`, in `[-0.35, 0.35]`:
//! `e^x = 2^n (1 + p)` where `p = e^r - 1` is a polynomial. The subtraction of `n ln 2` is in two steps whose
//! first is exact (W. J. Cody and W. Waite, *Software Manual for the Elementary Functions*, 1980, chapter 6).

use super::vector::{F32, F64, Float, Unary, Vector, VectorExt};

/// The constants of the reduction and of the polynomial, for one type of float.
pub(super) trait Exponential: Float {
    /// ln 2 in two parts; the first has so few bits that its product with any `n` here is exact.
    const LN_2: [Self; 2];
    /// Where `e^x` is rounded to zero.
    const LOW: Self;
    /// Where `e^x / 2`, hence `sinh`, is infinite; less than 2^(bias + 3/2).
    const HIGH: Self;
    /// Where `e^x - 1` is rounded to -1.
    const LOW_EXPM1: Self;
    /// Where `tanh x` is rounded to 1, times two.
    const HIGH_TANH: Self;
    /// Below this `e^x - 1` and `sinh x` are rounded to `x`.
    const TINY: Self;
    /// `(e^r - 1 - r) / r^2`.
    const POLYNOMIAL: &'static [Self];
}

impl Exponential for f32 {
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    const LOW: f32 = -104.0;
    const HIGH: f32 = 89.6;
    const LOW_EXPM1: f32 = -18.0;
    const HIGH_TANH: f32 = 18.1;
    const TINY: f32 = 5.960_464_5e-8;
    // S. L. Moshier, Cephes, `single/expf.c`.
    const POLYNOMIAL: &'static [f32] =
        &[0.5, 1.666_666_5e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_199_9e-3, 1.987_569_1e-4];
}

impl Exponential for f64 {
    // fdlibm, `e_exp.c`.
    const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const LOW: f64 = -746.0;
    const HIGH: f64 = 710.6;
    const LOW_EXPM1: f64 = -38.0;
    const HIGH_TANH: f64 = 38.2;
    const TINY: f64 = 5.551_115_123_125_783e-17;
    // Taylor's series to r^13: what is left out is less than 2^-57 of the sum.
    const POLYNOMIAL: &'static [f64] = &[
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
}

/// `e^x = 2^n (1 + p)`.
struct Reduced<V> {
    /// A whole number.
    n: V,
    /// The same whole number in the lowest bits.
    n_bits: V,
    /// `e^r - 1`.
    p: V,
}

/// The reduction described above, for `x` between `LOW` and `HIGH`.
#[inline(always)]
fn reduce<V: Vector<Scalar: Exponential>>(x: V) -> Reduced<V> {
    let [ln_2_high, ln_2_low] = V::Scalar::LN_2;
    let (n, n_bits) = x.mul(V::constant(std::f64::consts::LOG2_E)).round();
    let minus_n = n.neg();
    let r = minus_n.mul_add(V::splat(ln_2_high), x);
    let r = minus_n.mul_add(V::splat(ln_2_low), r);
    let p = r.polynomial(V::Scalar::POLYNOMIAL).mul_add(r.mul(r), r);
    Reduced { n, n_bits, p }
}

/// `x` between two limits; NaN stays NaN.
#[inline(always)]
fn clamp<V: Vector>(low: V::Scalar, x: V, high: V::Scalar) -> V {
    V::splat(low).max(V::splat(high).min(x))
}

/// `e^x`.
#[inline(always)]
pub(super) fn exp<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let Reduced { n, p, .. } = reduce(clamp(V::Scalar::LOW, x, V::Scalar::HIGH));
    p.add(V::constant(1.0)).scale(n)
}

/// `e^x` for `-80 <= x <= 80`, where no power of two is out of range.
#[inline(always)]
pub(super) fn exp_inside<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let Reduced { n_bits, p, .. } = reduce(x);
    let power = n_bits.power_of_two();
    p.mul_add(power, power)
}

/// `(e^x - 1) / 4` for `x <= HIGH`: the quarter keeps 2^n in range; `|x|` is not tiny.
#[inline(always)]
fn quarter_expm1<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let Reduced { n, p, .. } = reduce(x);
    let (_, n_bits) = n.sub(V::constant(2.0)).round();
    let power = n_bits.power_of_two();
    p.mul_add(power, power.sub(V::constant(0.25)))
}

/// `e^x - 1`.
#[inline(always)]
fn expm1<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let y = quarter_expm1(clamp(V::Scalar::LOW_EXPM1, x, V::Scalar::HIGH)).mul(V::constant(4.0));
    V::select(x.abs().lt(V::splat(V::Scalar::TINY)), x, y)
}

/// `1 / (1 + e^-x)` as `e^min(x, 0) / (1 + e^-|x|)`: small results keep their precision.
#[inline(always)]
fn sigmoid<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let one = V::constant(1.0);
    let e = exp(x.or(V::splat_bits(V::Scalar::SIGN_BIT)));
    V::select(x.lt(V::constant(0.0)), e, one).div(one.add(e))
}

/// `t / (t + 2)` with `t = e^2|x| - 1`, and the sign of `x`.
#[inline(always)]
fn tanh<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let z = V::splat(V::Scalar::HIGH_TANH).min(x.abs().mul(V::constant(2.0)));
    let Reduced { n_bits, p, .. } = reduce(z);
    let power = n_bits.power_of_two();
    let t = p.mul_add(power, power.sub(V::constant(1.0)));
    t.div(t.add(V::constant(2.0))).or(x.sign())
}

/// `2q + 2q / (4q + 1)` with `q = (e^|x| - 1) / 4`, which is never infinite, and the sign of `x`.
#[inline(always)]
fn sinh<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let a = x.abs();
    let q = quarter_expm1(V::splat(V::Scalar::HIGH).min(a));
    let y = q.add(q.div(q.mul_add(V::constant(4.0), V::constant(1.0)))).mul(V::constant(2.0));
    V::select(a.lt(V::splat(V::Scalar::TINY)), x, y.or(x.sign()))
}

/// `h + 1 / 4h` with `h = e^|x| / 2`.
#[inline(always)]
fn cosh<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let Reduced { n, p, .. } = reduce(V::splat(V::Scalar::HIGH).min(x.abs()));
    let half = p.add(V::constant(1.0)).scale(n.sub(V::constant(1.0)));
    half.add(V::constant(0.25).div(half))
}

/// Names a formula that is the same in both precisions.
macro_rules! routine {
    ($($(#[$doc:meta])* $name:ident = $formula:ident;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl Unary for $name {
            #[inline(always)]
            fn f32<V: F32>(x: V) -> V {
                $formula(x)
            }
            #[inline(always)]
            fn f64<V: F64>(x: V) -> V {
                $formula(x)
            }
        }
    )*};
}
pub(super) use routine;

routine! {
    /// `e^x`.
    Exp = exp;
    /// `e^x - 1`.
    Expm1 = expm1;
    /// The logistic function.
    Sigmoid = sigmoid;
    /// The hyperbolic tangent.
    Tanh = tanh;
    /// The hyperbolic sine.
    Sinh = sinh;
    /// The hyperbolic cosine.
    Cosh = cosh;
}
