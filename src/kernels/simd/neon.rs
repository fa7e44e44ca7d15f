//! Vectors of 128 bits on AArch64: 4 `f32` or 2 `f64`.

use std::arch::aarch64::*;

use super::{MOST_LANES, Simd, vector_functions};

/// Writes `load_range` and the stores; there are no masked accesses, and they are only needed at edges.
macro_rules! through_an_array {
    ($element:ty, $lanes:literal, $load:ident, $store:ident) => {
        #[inline(always)]
        unsafe fn load_range(from: *const $element, begin: usize, end: usize) -> Self {
            let mut lanes = [0.0; $lanes];
            for i in begin..end {
                // SAFETY: the caller promises that these lanes can be read.
                lanes[i] = unsafe { *from.add(i) };
            }
            // SAFETY: the array has all lanes.
            unsafe { $load(lanes.as_ptr()) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut $element) {
            // SAFETY: the caller promises the instruction set and the lanes, see the trait.
            unsafe { $store(to, self) }
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut $element, count: usize) {
            let mut lanes = [0.0; $lanes];
            // SAFETY: the array has all lanes, and the caller promises that the first `count` can be written.
            unsafe {
                $store(lanes.as_mut_ptr(), self);
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
            }
        }
    };
}

impl Simd for float32x4_t {
    type Element = f32;
    const LANES: usize = 4;

    through_an_array!(f32, 4, vld1q_f32, vst1q_f32);

    vector_functions! {
        fn splat(x: f32) -> Self { vdupq_n_f32(x) }
        fn load(from: *const f32) -> Self { vld1q_f32(from) }
        fn add(a: Self, b: Self) -> Self { vaddq_f32(a, b) }
        fn sub(a: Self, b: Self) -> Self { vsubq_f32(a, b) }
        fn mul_add(a: Self, b: Self, c: Self) -> Self { vfmaq_f32(c, a, b) }
        fn deinterleave(a: Self, b: Self) -> (Self, Self) { (vuzp1q_f32(a, b), vuzp2q_f32(a, b)) }
        fn interleave(a: Self, b: Self) -> (Self, Self) { (vzip1q_f32(a, b), vzip2q_f32(a, b)) }
        fn transpose(block: &mut [Self; MOST_LANES]) {
            let pair = |x| vreinterpretq_f64_f32(x);
            let single = |x| vreinterpretq_f32_f64(x);
            let (even01, odd01) = (vtrn1q_f32(block[0], block[1]), vtrn2q_f32(block[0], block[1]));
            let (even23, odd23) = (vtrn1q_f32(block[2], block[3]), vtrn2q_f32(block[2], block[3]));
            block[0] = single(vtrn1q_f64(pair(even01), pair(even23)));
            block[1] = single(vtrn1q_f64(pair(odd01), pair(odd23)));
            block[2] = single(vtrn2q_f64(pair(even01), pair(even23)));
            block[3] = single(vtrn2q_f64(pair(odd01), pair(odd23)));
        }
    }
}

impl Simd for float64x2_t {
    type Element = f64;
    const LANES: usize = 2;

    through_an_array!(f64, 2, vld1q_f64, vst1q_f64);

    vector_functions! {
        fn splat(x: f64) -> Self { vdupq_n_f64(x) }
        fn load(from: *const f64) -> Self { vld1q_f64(from) }
        fn add(a: Self, b: Self) -> Self { vaddq_f64(a, b) }
        fn sub(a: Self, b: Self) -> Self { vsubq_f64(a, b) }
        fn mul_add(a: Self, b: Self, c: Self) -> Self { vfmaq_f64(c, a, b) }
        fn deinterleave(a: Self, b: Self) -> (Self, Self) { (vuzp1q_f64(a, b), vuzp2q_f64(a, b)) }
        fn interleave(a: Self, b: Self) -> (Self, Self) { (vzip1q_f64(a, b), vzip2q_f64(a, b)) }
        fn transpose(block: &mut [Self; MOST_LANES]) {
            let (first, second) = (block[0], block[1]);
            block[0] = vtrn1q_f64(first, second);
            block[1] = vtrn2q_f64(first, second);
        }
    }
}
