//! Vectors of 128 bits: Advanced SIMD of AArch64.

use std::arch::aarch64::*;

use super::registers::{methods, vector};
use super::vector::{F32, Vector, Wide, scale_in_two};

vector! {
    /// 4 lanes of f32.
    F32x4(float32x4_t): 4 lanes of f32, bits u32 as u32, mask uint32x4_t;
    splat: vdupq_n_f32, splat_bits: vdupq_n_u32,
    to_bits: vreinterpretq_u32_f32, from_bits: vreinterpretq_f32_u32,
    load: vld1q_f32, store: vst1q_f32, load_first: load_first_f32, store_first: store_first_f32,
    add: vaddq_f32, sub: vsubq_f32, mul: vmulq_f32, div: vdivq_f32, sqrt: vsqrtq_f32,
    mul_add: mul_add_f32, min: vminq_f32, max: vmaxq_f32, scale: scale_in_two,
    lt: vcltq_f32, eq: vceqq_f32,
    both: vandq_u32, either: vorrq_u32, not: vmvnq_u32, any: any_f32,
    select: vbslq_f32, and: and_f32, or: or_f32, xor: xor_f32,
    add_bits: vaddq_u32, shift_left: shift_left_u32, shift_right: shift_right_u32,
}

vector! {
    /// 2 lanes of f64.
    F64x2(float64x2_t): 2 lanes of f64, bits u64 as u64, mask uint64x2_t;
    splat: vdupq_n_f64, splat_bits: vdupq_n_u64,
    to_bits: vreinterpretq_u64_f64, from_bits: vreinterpretq_f64_u64,
    load: vld1q_f64, store: vst1q_f64, load_first: load_first_f64, store_first: store_first_f64,
    add: vaddq_f64, sub: vsubq_f64, mul: vmulq_f64, div: vdivq_f64, sqrt: vsqrtq_f64,
    mul_add: mul_add_f64, min: vminq_f64, max: vmaxq_f64, scale: scale_in_two,
    lt: vcltq_f64, eq: vceqq_f64,
    both: vandq_u64, either: vorrq_u64, not: not_u64, any: any_f64,
    select: vbslq_f64, and: and_f64, or: or_f64, xor: xor_f64,
    add_bits: vaddq_u64, shift_left: shift_left_u64, shift_right: shift_right_u64,
}

methods! {
    fn mul_add_f32(x: float32x4_t, factor: float32x4_t, term: float32x4_t) -> float32x4_t =
        vfmaq_f32(term, x, factor);
    fn mul_add_f64(x: float64x2_t, factor: float64x2_t, term: float64x2_t) -> float64x2_t =
        vfmaq_f64(term, x, factor);
    fn any_f32(mask: uint32x4_t) -> bool = vmaxvq_u32(mask) != 0;
    fn any_f64(mask: uint64x2_t) -> bool = vmaxvq_u32(vreinterpretq_u32_u64(mask)) != 0;
    fn not_u64(mask: uint64x2_t) -> uint64x2_t = veorq_u64(mask, vdupq_n_u64(u64::MAX));
    // The machine shifts by a signed count: to the right where it is negative.
    fn shift_left_u32(x: uint32x4_t, n: uint32x4_t) -> uint32x4_t = vshlq_u32(x, vreinterpretq_s32_u32(n));
    fn shift_right_u32(x: uint32x4_t, n: uint32x4_t) -> uint32x4_t =
        vshlq_u32(x, vnegq_s32(vreinterpretq_s32_u32(n)));
    fn shift_left_u64(x: uint64x2_t, n: uint64x2_t) -> uint64x2_t = vshlq_u64(x, vreinterpretq_s64_u64(n));
    fn shift_right_u64(x: uint64x2_t, n: uint64x2_t) -> uint64x2_t =
        vshlq_u64(x, vnegq_s64(vreinterpretq_s64_u64(n)));
    fn widen_low(x: float32x4_t) -> F64x2 = F64x2(vcvt_f64_f32(vget_low_f32(x)));
    fn widen_high(x: float32x4_t) -> F64x2 = F64x2(vcvt_high_f64_f32(x));
    fn narrow(low: F64x2, high: F64x2) -> float32x4_t = vcvt_high_f32_f64(vcvt_f32_f64(low.0), high.0);
}

/// Bitwise operations on floats, and loads and stores of the first lanes, for one type of lane.
macro_rules! beside {
    (
        $register:ty, $scalar:ty, $lanes:literal, $to_bits:ident, $from_bits:ident, $load:ident, $store:ident;
        $and:ident = $vand:ident, $or:ident = $vorr:ident, $xor:ident = $veor:ident,
        $load_first:ident, $store_first:ident
    ) => {
        methods! {
            fn $and(a: $register, b: $register) -> $register = $from_bits($vand($to_bits(a), $to_bits(b)));
            fn $or(a: $register, b: $register) -> $register = $from_bits($vorr($to_bits(a), $to_bits(b)));
            fn $xor(a: $register, b: $register) -> $register = $from_bits($veor($to_bits(a), $to_bits(b)));
        }
        #[inline(always)]
        unsafe fn $load_first(src: *const $scalar, n: usize) -> $register {
            let mut lanes = [0.0; $lanes];
            // SAFETY: the caller vouches for `n` elements, less than the array has.
            unsafe {
                src.copy_to_nonoverlapping(lanes.as_mut_ptr(), n);
                $load(lanes.as_ptr())
            }
        }
        #[inline(always)]
        unsafe fn $store_first(dst: *mut $scalar, n: usize, x: $register) {
            let mut lanes = [0.0; $lanes];
            // SAFETY: the caller vouches for `n` elements, less than the array has.
            unsafe {
                $store(lanes.as_mut_ptr(), x);
                dst.copy_from_nonoverlapping(lanes.as_ptr(), n);
            }
        }
    };
}

beside!(
    float32x4_t, f32, 4, vreinterpretq_u32_f32, vreinterpretq_f32_u32, vld1q_f32, vst1q_f32;
    and_f32 = vandq_u32, or_f32 = vorrq_u32, xor_f32 = veorq_u32, load_first_f32, store_first_f32
);
beside!(
    float64x2_t, f64, 2, vreinterpretq_u64_f64, vreinterpretq_f64_u64, vld1q_f64, vst1q_f64;
    and_f64 = vandq_u64, or_f64 = vorrq_u64, xor_f64 = veorq_u64, load_first_f64, store_first_f64
);

impl F32 for F32x4 {
    #[inline(always)]
    fn fma(self, factor: Self, term: Self) -> Self {
        Vector::mul_add(self, factor, term)
    }
    #[inline(always)]
    fn in_f64<W: Wide>(self, other: Self) -> Self {
        let low = W::apply(widen_low(self.0), widen_low(other.0));
        let high = W::apply(widen_high(self.0), widen_high(other.0));
        Self(narrow(low, high))
    }
}

super::instantiate::instantiate!("neon", F32x4, F64x2, features = "neon");
