//! `exp` and what is one exponential and little more: `expm1`, `sigmoid`, `tanh`, `sinh`, `cosh`.
//!
//! With `n` the number nearest to `x / ln 2` in steps of `1 / 2^POWER_BITS`, and `r = x - n ln 2`:
//! `e^x = 2^n (1 + p)` where `p = e^r - 1` is a polynomial. The subtraction of `n ln 2` is in two steps whose
//! first is exact (W. J. Cody and W. Waite, *Software Manual for the Elementary Functions*, 1980, chapter 6).
//!
//! Where the machine looks up 2^(k/16) in a register, `r` is so small that two or three terms are enough (P. T. P. Tang,
//! *Table-driven implementation of the exponential function in IEEE floating-point arithmetic*, ACM TOMS 15, 1989).

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
    /// Where `tanh(x / 2)` and `sigmoid x` are rounded to 1.
    const HIGH_TANH: Self;
    /// Below this `e^x - 1` and `sinh x` are rounded to `x`.
    const TINY: Self;
    /// `(e^r - 1 - r) / r^2` for `|r| <= ln 2 / 2`.
    const POLYNOMIAL: &'static [Self];
    /// The same for `|r| <= ln 2 / 32`, such that `e^r` has the precision of the type.
    const SHORT: &'static [Self];
    /// The same, such that `e^r - 1` has it.
    const SHORT_EXPM1: &'static [Self];
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
    // The best in the greatest error, by Remez' exchange: 5e-9 of e^r, and 5e-10 of e^r - 1.
    const SHORT: &'static [f32] = &[0.500_009_8, 1.666_705_8e-1];
    const SHORT_EXPM1: &'static [f32] = &[0.5, 1.666_696e-1, 4.166_748_3e-2];
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
    // As many terms as needed: no instruction set looks up f64.
    const SHORT: &'static [f64] = Self::POLYNOMIAL;
    const SHORT_EXPM1: &'static [f64] = Self::POLYNOMIAL;
}

/// 2^(k/16) for k = 0 .. 15.
pub(super) const POWERS: [f32; 16] = [
    1.0,
    1.044_273_7,
    1.090_507_7,
    1.138_788_6,
    1.189_207_1,
    1.241_857_8,
    1.296_839_6,
    1.354_255_6,
    std::f32::consts::SQRT_2,
    1.476_826_2,
    1.542_210_8,
    1.610_490_3,
    1.681_792_9,
    1.756_252_2,
    1.834_008_1,
    1.915_206_6,
];

/// What is missing in [`POWERS`], relative to it.
pub(super) const POWERS_ERROR: [f32; 16] = [
    0.0,
    4.628_547e-8,
    -1.199_215_75e-8,
    4.729_782_4e-8,
    3.193_418e-8,
    3.621_057_2e-8,
    -3.099_072e-8,
    -7.475_213e-9,
    1.711_427_1e-8,
    -3.047_683_4e-8,
    5.233_334e-9,
    6.107_591_8e-9,
    -1.471_960_5e-8,
    -5.258_795e-9,
    -6.128_259_7e-9,
    5.140_609_3e-9,
];

/// `e^x = 2^n (1 + p)`.
struct Reduced<V> {
    /// A whole number, or one in steps of `1 / 2^POWER_BITS`.
    n: V,
    /// The number of steps in the lowest bits.
    n_bits: V,
    /// `2^(n - floor n)`: 1 where `n` is a whole number.
    base: V,
    /// `e^r - 1`.
    p: V,
}

impl<V: Vector> Reduced<V> {
    /// `factor 2^n`, for powers of two as factors; normal numbers only.
    #[inline(always)]
    fn power(&self, factor: f64) -> V {
        let floor = if V::POWER_BITS == 0 { self.n_bits } else { self.n_bits.shift_right(V::POWER_BITS) };
        self.base.mul(V::constant(factor)).add_bits(floor.shift_left(V::Scalar::FRACTION_BITS))
    }
}

/// What `p` is wanted for.
#[derive(PartialEq, Eq)]
enum For {
    /// Sums with numbers near 1.
    Exp,
    /// Itself.
    Expm1,
}

/// The reduction described above, for `x` between `LOW` and `HIGH`.
#[inline(always)]
fn reduce<V: Vector<Scalar: Exponential>>(x: V, purpose: For) -> Reduced<V> {
    let [ln_2_high, ln_2_low] = V::Scalar::LN_2;
    let is_short = V::POWER_BITS > 0;
    let steps = V::constant(1.0 / f64::from(1 << V::POWER_BITS));
    // A sum with this has no bit left for anything finer than a step.
    let rounding = V::splat(V::Scalar::ROUNDING).mul(steps);
    let n_bits = x.mul_add(V::constant(std::f64::consts::LOG2_E), rounding);
    let n = n_bits.sub(rounding);
    let minus_n = n.neg();
    let r = minus_n.mul_add(V::splat(ln_2_high), x);
    let r = minus_n.mul_add(V::splat(ln_2_low), r);
    let coefficients = match purpose {
        _ if !is_short => V::Scalar::POLYNOMIAL,
        For::Exp => V::Scalar::SHORT,
        For::Expm1 => V::Scalar::SHORT_EXPM1,
    };
    let (base, error) = n_bits.fraction_of_power();
    let first = if is_short && purpose == For::Expm1 { r.add(error) } else { r };
    let p = r.polynomial(coefficients).mul_add(r.mul(r), first);
    Reduced { n, n_bits, base, p }
}

/// `x` between two limits; NaN stays NaN.
#[inline(always)]
fn clamp<V: Vector>(low: V::Scalar, x: V, high: V::Scalar) -> V {
    V::splat(low).max(V::splat(high).min(x))
}

/// `e^x` for `LOW <= x <= HIGH`.
#[inline(always)]
fn exp_within<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let Reduced { n, base, p, .. } = reduce(x, For::Exp);
    base.mul_add(p, base).scale(n)
}

/// `e^x`.
#[inline(always)]
pub(super) fn exp<V: Vector<Scalar: Exponential>>(x: V) -> V {
    exp_within(clamp(V::Scalar::LOW, x, V::Scalar::HIGH))
}

/// `e^x - 1` for `-80 <= x <= 80`, where no power of two is out of range.
#[inline(always)]
pub(super) fn expm1_inside<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let reduced = reduce(x, For::Expm1);
    let power = reduced.power(1.0);
    reduced.p.mul_add(power, power.sub(V::constant(1.0)))
}

/// `(e^x - 1) / 4` for `x <= HIGH`: the quarter keeps 2^n in range; `|x|` is not tiny.
#[inline(always)]
fn quarter_expm1<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let reduced = reduce(x, For::Expm1);
    let power = reduced.power(0.25);
    reduced.p.mul_add(power, power.sub(V::constant(0.25)))
}

/// `e^x - 1`.
#[inline(always)]
fn expm1<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let y = quarter_expm1(clamp(V::Scalar::LOW_EXPM1, x, V::Scalar::HIGH)).mul(V::constant(4.0));
    V::select(x.abs().lt(V::splat(V::Scalar::TINY)), x, y)
}

/// `1 / (1 + e^-x)` as `e^x / (1 + e^x)`: small results keep their precision.
#[inline(always)]
fn sigmoid<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let e = exp_within(clamp(V::Scalar::LOW, x, V::Scalar::HIGH_TANH));
    e.div(e.add(V::constant(1.0)))
}

/// `t / (t + 2)` with `t = e^2|x| - 1`, and the sign of `x`.
#[inline(always)]
fn tanh<V: Vector<Scalar: Exponential>>(x: V) -> V {
    let t = expm1_inside(V::splat(V::Scalar::HIGH_TANH).min(x.abs().mul(V::constant(2.0))));
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
    let Reduced { n, base, p, .. } = reduce(V::splat(V::Scalar::HIGH).min(x.abs()), For::Exp);
    let half = base.mul_add(p, base).scale(n.sub(V::constant(1.0)));
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
