//! `asin`, `acos`, `atan` and `atan2`. In f64 each lane goes through `libm`.

use std::f32::consts;

use super::trig::routine;
use super::vector::{Binary, F32, F64, Unary};

/// pi/2 and pi, each with what the first float leaves.
const PI_2: [f32; 2] = [consts::FRAC_PI_2, -4.371_139e-8];
const PI: [f32; 2] = [consts::PI, -8.742_278e-8];

/// `asin s` for `s` in `[-1/2, 1/2]`, from `s` and `z = s^2`. S. L. Moshier, Cephes, `single/asinf.c`.
#[inline(always)]
fn asin_small<V: F32>(s: V, z: V) -> V {
    let p = z.polynomial(&[1.666_675_2e-1, 7.495_300_3e-2, 4.547_002_6e-2, 2.418_131_2e-2, 4.216_32e-2]);
    p.mul(z).mul_add(s, s)
}

/// `asin |x|`'s argument for [`asin_small`]: `|x|`, or `sqrt((1 - |x|) / 2)` where that is large, since
/// `asin a = pi/2 - 2 asin sqrt((1 - a) / 2)`.
#[inline(always)]
fn halve<V: F32>(a: V) -> (V::Mask, V) {
    let half = V::splat(0.5);
    let large = half.lt(a);
    let z = half.mul(V::splat(1.0).sub(a));
    (large, asin_small(V::select(large, z.sqrt(), a), V::select(large, z, a.mul(a))))
}

#[inline(always)]
fn asin_f32<V: F32>(x: V) -> V {
    let a = x.abs();
    let (large, t) = halve(a);
    let y = V::select(large, from_sum(PI_2, t.mul(V::splat(-2.0))), t);
    number_within_one(a, y.or(x.sign()))
}

/// `pi/2 - asin x`, or without the subtraction: `2 asin sqrt((1 - x) / 2)` near 1.
#[inline(always)]
fn acos_f32<V: F32>(x: V) -> V {
    let a = x.abs();
    let (large, t) = halve(a);
    let twice = t.mul(V::splat(2.0));
    let far = V::select(x.lt(V::splat(0.0)), from_sum(PI, twice.neg()), twice);
    let near = from_sum(PI_2, t.xor(x.sign()).neg());
    number_within_one(a, V::select(large, far, near))
}

/// `sum + y`, for a sum of two floats.
#[inline(always)]
fn from_sum<V: F32>(sum: [f32; 2], y: V) -> V {
    y.add(V::splat(sum[1])).add(V::splat(sum[0]))
}

/// `y`, but NaN where `a > 1` or `a` is NaN.
#[inline(always)]
fn number_within_one<V: F32>(a: V, y: V) -> V {
    let outside = V::not(V::either(a.lt(V::splat(1.0)), a.eq(V::splat(1.0))));
    V::select(outside, V::splat(f32::NAN), y)
}

/// `atan t` for `t` in `[0, 1]`. N. Shibata, SLEEF, `sleefsp.c`, `xatanf`.
#[inline(always)]
fn atan_unit<V: F32>(t: V) -> V {
    let z = t.mul(t);
    let p = z.polynomial(&[
        -3.333_310_2e-1,
        1.999_269_6e-1,
        -1.420_273_6e-1,
        1.063_479_3e-1,
        -7.489_009e-2,
        4.250_499e-2,
        -1.595_690_3e-2,
        2.823_639e-3,
    ]);
    p.mul(z).mul_add(t, t)
}

/// The angle of the point `(a, b)`, `a` along the first axis; both at least 0.
///
/// `atan(b / a)`, or `pi/2 - atan(a / b)` where that quotient is the smaller.
#[inline(always)]
fn first_quarter<V: F32>(a: V, b: V) -> V {
    let steep = a.lt(b);
    let t = atan_unit(V::select(steep, a, b).div(V::select(steep, b, a)));
    V::select(steep, from_sum(PI_2, t.neg()), t)
}

#[inline(always)]
fn atan_f32<V: F32>(x: V) -> V {
    first_quarter(V::splat(1.0), x.abs()).or(x.sign())
}

/// The angle of `(x, y)` in `[-pi, pi]`; signs of zeros count, as in C.
#[inline(always)]
fn atan2_f32<V: F32>(y: V, x: V) -> V {
    // Quotients of two zeros and of two infinities are NaN: there the point is moved along its ray.
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let (a, b) = (x.abs(), y.abs());
    let origin = V::both(a.eq(zero), b.eq(zero));
    let corner = V::both(a.eq(b), a.eq(V::splat(f32::INFINITY)));
    let a = V::select(V::either(origin, corner), one, a);
    let b = V::select(origin, zero, V::select(corner, one, b));
    let angle = first_quarter(a, b);
    // The sign bit of `x`, also that of -0, as the sign of 1.
    let left = one.or(x.sign()).lt(zero);
    let angle = V::select(left, from_sum(PI, angle.neg()), angle).or(y.sign());
    let numbers = V::both(x.is_number(), y.is_number());
    V::select(numbers, angle, V::splat(f32::NAN))
}

routine! {
    /// The inverse of the sine, in `[-pi/2, pi/2]`.
    Asin = asin_f32, libm::asin;
    /// The inverse of the cosine, in `[0, pi]`.
    Acos = acos_f32, libm::acos;
    /// The inverse of the tangent, in `[-pi/2, pi/2]`.
    Atan = atan_f32, libm::atan;
}

/// The angle of a point from its ordinate and abscissa.
pub(super) struct Atan2;

impl Binary for Atan2 {
    #[inline(always)]
    fn f32<V: F32>(y: V, x: V) -> V {
        atan2_f32(y, x)
    }
    #[inline(always)]
    fn f64<V: F64>(y: V, x: V) -> V {
        y.zip_lanes(x, libm::atan2)
    }
}
