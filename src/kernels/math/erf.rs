//! The error function.

use super::exp::exp_inside;
use super::vector::{F32, F64, Unary};

/// The error function.
pub(super) struct Erf;

impl Unary for Erf {
    /// `x + x P(x^2)` near zero and `1 - e^Q(|x|)` elsewhere, chosen at 475/512.
    ///
    /// N. Juffa, answer to *Efficient implementation of erff()*, Stack Overflow 35148198, 2016: both
    /// polynomials.
    #[inline(always)]
    fn f32<V: F32>(x: V) -> V {
        let a = x.abs();
        let near = x.mul(x).polynomial(&[
            1.283_791_7e-1,
            -3.761_253_4e-1,
            1.128_199_25e-1,
            -2.676_813_5e-2,
            4.991_194_2e-3,
            -5.967_617e-4,
        ]);
        let near = near.mul_add(x, x);
        // erf 4 is rounded to 1.
        let t = V::splat(4.0).min(a);
        let q = t.polynomial(&[
            -1.287_175_1e-1,
            -6.348_467e-1,
            -1.067_778_8e-1,
            2.425_462_2e-2,
            -3.883_964_4e-3,
            3.831_971_3e-4,
            -1.728_534_7e-5,
        ]);
        let far = V::splat(1.0).sub(exp_inside(q.mul_add(t, t.neg())));
        V::select(V::splat(475.0 / 512.0).lt(a), far.or(x.sign()), near)
    }
    #[inline(always)]
    fn f64<V: F64>(x: V) -> V {
        x.map_lanes(libm::erf)
    }
}
