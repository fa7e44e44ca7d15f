//! Vectors of one lane, in plain Rust: for machines without vectors of their own here.
//!
//! A loop over plain floats is what compilers vectorize best, with whatever every machine of the target has
//! (SSE2 on x86-64). There is no FMA to rely on.

use super::vector::{Binary, F32, Unary, Vector, Wide, scale_in_two};

/// Implements [`Vector`] for one type of lane.
macro_rules! vector {
    ($name:ident of $scalar:ident as $bits:ident) => {
        #[doc = concat!("One ", stringify!($scalar), ".")]
        #[derive(Clone, Copy)]
        pub(super) struct $name($scalar);

        impl $name {
            #[inline(always)]
            fn bitwise(self, other: Self, f: impl Fn($bits, $bits) -> $bits) -> Self {
                Self($scalar::from_bits(f(self.0.to_bits(), other.0.to_bits())))
            }
        }

        impl Vector for $name {
            type Scalar = $scalar;
            type Mask = bool;
            const LANES: usize = 1;

            #[inline(always)]
            fn splat(x: $scalar) -> Self {
                Self(x)
            }
            #[inline(always)]
            fn splat_bits(bits: $bits) -> Self {
                Self($scalar::from_bits(bits))
            }
            #[inline(always)]
            unsafe fn load(src: *const $scalar) -> Self {
                // SAFETY: the caller vouches for one element.
                Self(unsafe { src.read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, dst: *mut $scalar) {
                // SAFETY: the caller vouches for one element.
                unsafe { dst.write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn load_first(_: *const $scalar, _: usize) -> Self {
                // Less than one lane: nothing is read.
                Self(0.0)
            }
            #[inline(always)]
            unsafe fn store_first(self, _: *mut $scalar, _: usize) {}
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                Self(self.0 * other.0)
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                Self(self.0 / other.0)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                Self(self.0.sqrt())
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                Self(self.0 * factor.0 + term.0)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Self(if self.0 < other.0 { self.0 } else { other.0 })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                Self(if self.0 > other.0 { self.0 } else { other.0 })
            }
            #[inline(always)]
            fn lt(self, other: Self) -> bool {
                self.0 < other.0
            }
            #[inline(always)]
            fn eq(self, other: Self) -> bool {
                self.0 == other.0
            }
            #[inline(always)]
            fn both(a: bool, b: bool) -> bool {
                a & b
            }
            #[inline(always)]
            fn either(a: bool, b: bool) -> bool {
                a | b
            }
            #[inline(always)]
            fn not(mask: bool) -> bool {
                !mask
            }
            #[inline(always)]
            fn any(mask: bool) -> bool {
                mask
            }
            #[inline(always)]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self.bitwise(other, |a, b| a & b)
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self.bitwise(other, |a, b| a | b)
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                self.bitwise(other, |a, b| a ^ b)
            }
            #[inline(always)]
            fn add_bits(self, other: Self) -> Self {
                self.bitwise(other, $bits::wrapping_add)
            }
            #[inline(always)]
            fn shift_left(self, n_bits: u32) -> Self {
                Self($scalar::from_bits(self.0.to_bits() << n_bits))
            }
            #[inline(always)]
            fn shift_right(self, n_bits: u32) -> Self {
                Self($scalar::from_bits(self.0.to_bits() >> n_bits))
            }
            #[inline(always)]
            fn scale(self, n: Self) -> Self {
                scale_in_two(self, n)
            }
            #[inline(always)]
            fn unary<M: Unary>(self) -> Self {
                M::$scalar(self)
            }
            #[inline(always)]
            fn binary<M: Binary>(self, other: Self) -> Self {
                M::$scalar(self, other)
            }
        }
    };
}

vector!(OneF32 of f32 as u32);
vector!(OneF64 of f64 as u64);

impl F32 for OneF32 {
    #[inline(always)]
    fn fma(self, factor: Self, term: Self) -> Self {
        Self((f64::from(self.0) * f64::from(factor.0) + f64::from(term.0)) as f32)
    }
    #[inline(always)]
    fn in_f64<W: Wide>(self, other: Self) -> Self {
        Self(W::apply(OneF64(self.0.into()), OneF64(other.0.into())).0 as f32)
    }
}

super::instantiate::instantiate!("portable", OneF32, OneF64);
