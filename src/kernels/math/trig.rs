//! `sin`, `cos` and `tan`.
//!
//! With `k` the whole number nearest to `|x| / (pi/2)` and `r = |x| - k pi/2`, in `[-pi/4, pi/4]`, the lowest
//! two bits of `k` choose between polynomials in `r`. pi/2 is three floats, 72 bits: `fma` makes the first
//! subtraction exact, and the others round once (Cody and Waite, chapter 8). Beyond [`LIMIT`], and in f64,
//! each lane goes through `libm`, whose reduction is right for every float.

use std::f32::consts;

use super::vector::{F32, F64, Unary};

/// The largest `|x|` that the reduction is for. A `k` of 17 bits times the second part of pi/2 still leaves
/// `r` right to its last bit.
const LIMIT: f32 = 131_072.0;

/// pi/2, each part the float nearest to what the parts before it left.
const PI_2: [f32; 3] = [consts::FRAC_PI_2, -4.371_139e-8, -1.715_124_5e-15];

/// The remainder and the quarter of the circle that an angle is in.
struct Reduced<V> {
    /// In `[-pi/4, pi/4]`.
    r: V,
    /// The number of the quarter, in the lowest two bits.
    quarter: V,
}

/// The reduction described above, for `0 <= a <= LIMIT`.
#[inline(always)]
fn reduce<V: F32>(a: V) -> Reduced<V> {
    let (k, quarter) = a.mul(V::splat(consts::FRAC_2_PI)).round();
    let minus_k = k.neg();
    let mut r = a;
    for part in PI_2 {
        r = minus_k.fma(V::splat(part), r);
    }
    Reduced { r, quarter }
}

/// `sin r` or, in odd quarters, `cos r`; with the sign of the quarter.
///
/// S. L. Moshier, Cephes, `single/sinf.c`.
#[inline(always)]
fn circle<V: F32>(r: V, quarter: V) -> V {
    let z = r.mul(r);
    let sin = z.polynomial(&[-1.666_665_5e-1, 8.332_161e-3, -1.951_529_6e-4]).mul(z).mul_add(r, r);
    let cos = z.polynomial(&[4.166_664_6e-2, -1.388_731_6e-3, 2.443_315_7e-5]).mul(z);
    let cos = cos.mul_add(z, V::splat(-0.5).mul_add(z, V::splat(1.0)));
    V::select(is_odd(quarter), cos, sin).xor(quarter.shift_left(30).sign())
}

/// True in the second and fourth quarter.
#[inline(always)]
fn is_odd<V: F32>(quarter: V) -> V::Mask {
    // The lowest bit as the sign bit of 1.
    let sign = quarter.shift_left(31).or(V::splat(1.0));
    sign.lt(V::splat(0.0))
}

#[inline(always)]
fn sin_f32<V: F32>(x: V) -> V {
    let Reduced { r, quarter } = reduce(x.abs());
    beyond_limit(x, circle(r, quarter).xor(x.sign()), libm::sinf)
}

#[inline(always)]
fn cos_f32<V: F32>(x: V) -> V {
    let Reduced { r, quarter } = reduce(x.abs());
    beyond_limit(x, circle(r, quarter.add_bits(V::splat_bits(1))), libm::cosf)
}

/// `tan r` or, in odd quarters, `-1 / tan r`. S. L. Moshier, Cephes, `single/tanf.c`.
#[inline(always)]
fn tan_f32<V: F32>(x: V) -> V {
    let Reduced { r, quarter } = reduce(x.abs());
    let z = r.mul(r);
    let p = z.polynomial(&[
        3.333_315_7e-1,
        1.333_88e-1,
        5.341_128e-2,
        2.443_013_5e-2,
        3.119_922_3e-3,
        9.385_402e-3,
    ]);
    let t = p.mul(z).mul_add(r, r);
    let y = V::select(is_odd(quarter), V::splat(-1.0).div(t), t);
    beyond_limit(x, y.xor(x.sign()), libm::tanf)
}

/// `y`, but `f(x)` in lanes with `|x| > LIMIT`.
#[inline(always)]
fn beyond_limit<V: F32>(x: V, y: V, f: impl Fn(f32) -> f32) -> V {
    if V::any(V::splat(LIMIT).lt(x.abs())) {
        y.zip_lanes(x, |y, x| if x.abs() > LIMIT { f(x) } else { y })
    } else {
        y
    }
}

/// Names a formula for f32, with a function of `libm` for f64.
macro_rules! routine {
    ($($(#[$doc:meta])* $name:ident = $f32:ident, $f64:path;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl Unary for $name {
            #[inline(always)]
            fn f32<V: F32>(x: V) -> V {
                $f32(x)
            }
            #[inline(always)]
            fn f64<V: F64>(x: V) -> V {
                x.map_lanes($f64)
            }
        }
    )*};
}
pub(super) use routine;

routine! {
    /// The sine.
    Sin = sin_f32, libm::sin;
    /// The cosine.
    Cos = cos_f32, libm::cos;
    /// The tangent.
    Tan = tan_f32, libm::tan;
}
