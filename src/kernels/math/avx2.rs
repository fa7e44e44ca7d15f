//! Vectors of 256 bits: AVX2 and FMA.

use std::arch::x86_64::*;

use super::registers::{methods, vector};
use super::vector::{F32, Vector, Wide, scale_in_two};

vector! {
    /// 8 lanes of f32. Masks are registers of ones and zeros.
    F32x8(__m256): 8 lanes of f32, bits u32 as i32, mask __m256;
    splat: _mm256_set1_ps, splat_bits: _mm256_set1_epi32,
    to_bits: _mm256_castps_si256, from_bits: _mm256_castsi256_ps,
    load: _mm256_loadu_ps, store: _mm256_storeu_ps, load_first: load_first_f32, store_first: store_first_f32,
    add: _mm256_add_ps, sub: _mm256_sub_ps, mul: _mm256_mul_ps, div: _mm256_div_ps, sqrt: _mm256_sqrt_ps,
    mul_add: _mm256_fmadd_ps, min: _mm256_min_ps, max: _mm256_max_ps, scale: scale_in_two,
    lt: _mm256_cmp_ps::<_CMP_LT_OQ>, eq: _mm256_cmp_ps::<_CMP_EQ_OQ>,
    both: _mm256_and_ps, either: _mm256_or_ps, not: not_f32, any: any_f32,
    select: select_f32, and: _mm256_and_ps, or: _mm256_or_ps, xor: _mm256_xor_ps,
    add_bits: _mm256_add_epi32, shift_left: _mm256_sllv_epi32, shift_right: _mm256_srlv_epi32,
}

vector! {
    /// 4 lanes of f64. Masks are registers of ones and zeros.
    F64x4(__m256d): 4 lanes of f64, bits u64 as i64, mask __m256d;
    splat: _mm256_set1_pd, splat_bits: _mm256_set1_epi64x,
    to_bits: _mm256_castpd_si256, from_bits: _mm256_castsi256_pd,
    load: _mm256_loadu_pd, store: _mm256_storeu_pd, load_first: load_first_f64, store_first: store_first_f64,
    add: _mm256_add_pd, sub: _mm256_sub_pd, mul: _mm256_mul_pd, div: _mm256_div_pd, sqrt: _mm256_sqrt_pd,
    mul_add: _mm256_fmadd_pd, min: _mm256_min_pd, max: _mm256_max_pd, scale: scale_in_two,
    lt: _mm256_cmp_pd::<_CMP_LT_OQ>, eq: _mm256_cmp_pd::<_CMP_EQ_OQ>,
    both: _mm256_and_pd, either: _mm256_or_pd, not: not_f64, any: any_f64,
    select: select_f64, and: _mm256_and_pd, or: _mm256_or_pd, xor: _mm256_xor_pd,
    add_bits: _mm256_add_epi64, shift_left: _mm256_sllv_epi64, shift_right: _mm256_srlv_epi64,
}

methods! {
    fn not_f32(mask: __m256) -> __m256 = _mm256_xor_ps(mask, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
    fn not_f64(mask: __m256d) -> __m256d = _mm256_xor_pd(mask, _mm256_castsi256_pd(_mm256_set1_epi64x(-1)));
    fn any_f32(mask: __m256) -> bool = _mm256_movemask_ps(mask) != 0;
    fn any_f64(mask: __m256d) -> bool = _mm256_movemask_pd(mask) != 0;
    fn select_f32(mask: __m256, yes: __m256, no: __m256) -> __m256 = _mm256_blendv_ps(no, yes, mask);
    fn select_f64(mask: __m256d, yes: __m256d, no: __m256d) -> __m256d = _mm256_blendv_pd(no, yes, mask);
    fn first_f32(n: usize) -> __m256i =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    fn first_f64(n: usize) -> __m256i =
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), _mm256_setr_epi64x(0, 1, 2, 3));
    fn widen_low(x: __m256) -> F64x4 = F64x4(_mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    fn widen_high(x: __m256) -> F64x4 = F64x4(_mm256_cvtps_pd(_mm256_extractf128_ps::<1>(x)));
    fn narrow(low: F64x4, high: F64x4) -> __m256 =
        _mm256_set_m128(_mm256_cvtpd_ps(high.0), _mm256_cvtpd_ps(low.0));
}

/// Loads and stores of the first lanes, for one type of lane.
macro_rules! masked {
    (
        $register:ty, $scalar:ty, $first:ident,
        $load_first:ident = $maskload:ident, $store_first:ident = $maskstore:ident
    ) => {
        #[inline(always)]
        unsafe fn $load_first(src: *const $scalar, n: usize) -> $register {
            // SAFETY: lanes outside of the mask are not read; the caller vouches for the rest.
            unsafe { $maskload(src, $first(n)) }
        }
        #[inline(always)]
        unsafe fn $store_first(dst: *mut $scalar, n: usize, x: $register) {
            // SAFETY: lanes outside of the mask are not written; the caller vouches for the rest.
            unsafe { $maskstore(dst, $first(n), x) }
        }
    };
}

masked!(__m256, f32, first_f32, load_first_f32 = _mm256_maskload_ps, store_first_f32 = _mm256_maskstore_ps);
masked!(__m256d, f64, first_f64, load_first_f64 = _mm256_maskload_pd, store_first_f64 = _mm256_maskstore_pd);

impl F32 for F32x8 {
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

super::instantiate::instantiate!("avx2", F32x8, F64x4, features = "avx2,fma");
