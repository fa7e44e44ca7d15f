//! Vectors of 256 bits: 8 `f32` or 4 `f64`.

use std::arch::x86_64::*;

use super::{MOST_LANES, Simd, vector_functions};

/// Lanes `begin..end` all ones, the others zero: 32 bits a lane.
#[inline(always)]
unsafe fn mask32(begin: usize, end: usize) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let before = _mm256_cmpgt_epi32(_mm256_set1_epi32(begin as i32), lane);
        _mm256_andnot_si256(before, _mm256_cmpgt_epi32(_mm256_set1_epi32(end as i32), lane))
    }
}

/// Lanes `begin..end` all ones, the others zero: 64 bits a lane.
#[inline(always)]
unsafe fn mask64(begin: usize, end: usize) -> __m256i {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let lane = _mm256_setr_epi64x(0, 1, 2, 3);
        let before = _mm256_cmpgt_epi64(_mm256_set1_epi64x(begin as i64), lane);
        _mm256_andnot_si256(before, _mm256_cmpgt_epi64(_mm256_set1_epi64x(end as i64), lane))
    }
}

impl Simd for __m256 {
    type Element = f32;
    const LANES: usize = 8;

    vector_functions! {
        fn splat(x: f32) -> Self { _mm256_set1_ps(x) }
        fn load(from: *const f32) -> Self { _mm256_loadu_ps(from) }
        fn load_range(from: *const f32, begin: usize, end: usize) -> Self {
            _mm256_maskload_ps(from, mask32(begin, end))
        }
        fn add(a: Self, b: Self) -> Self { _mm256_add_ps(a, b) }
        fn sub(a: Self, b: Self) -> Self { _mm256_sub_ps(a, b) }
        fn mul_add(a: Self, b: Self, c: Self) -> Self { _mm256_fmadd_ps(a, b, c) }
        fn deinterleave(a: Self, b: Self) -> (Self, Self) {
            // Within halves, and then the pairs in order.
            let order = |x| _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(x)));
            (order(_mm256_shuffle_ps::<0x88>(a, b)), order(_mm256_shuffle_ps::<0xDD>(a, b)))
        }
        fn interleave(a: Self, b: Self) -> (Self, Self) {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        }
        fn prefetch(at: *const f32) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        fn transpose(block: &mut [Self; MOST_LANES]) {
            // Within 128-bit halves first: `t[4 * g + c]` holds in half `l` column `4 * l + c` of rows `4 * g..`.
            let mut t = *block;
            for g in 0..2 {
                let r = &block[4 * g..4 * g + 4];
                let (low01, high01) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
                let (low23, high23) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
                t[4 * g] = _mm256_shuffle_ps::<0x44>(low01, low23);
                t[4 * g + 1] = _mm256_shuffle_ps::<0xEE>(low01, low23);
                t[4 * g + 2] = _mm256_shuffle_ps::<0x44>(high01, high23);
                t[4 * g + 3] = _mm256_shuffle_ps::<0xEE>(high01, high23);
            }
            for c in 0..4 {
                block[c] = _mm256_permute2f128_ps::<0x20>(t[c], t[4 + c]);
                block[4 + c] = _mm256_permute2f128_ps::<0x31>(t[c], t[4 + c]);
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises the instruction set and the lanes, see the trait.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as above.
        unsafe { _mm256_maskstore_ps(to, mask32(0, count), self) }
    }
}

impl Simd for __m256d {
    type Element = f64;
    const LANES: usize = 4;

    vector_functions! {
        fn splat(x: f64) -> Self { _mm256_set1_pd(x) }
        fn load(from: *const f64) -> Self { _mm256_loadu_pd(from) }
        fn load_range(from: *const f64, begin: usize, end: usize) -> Self {
            _mm256_maskload_pd(from, mask64(begin, end))
        }
        fn add(a: Self, b: Self) -> Self { _mm256_add_pd(a, b) }
        fn sub(a: Self, b: Self) -> Self { _mm256_sub_pd(a, b) }
        fn mul_add(a: Self, b: Self, c: Self) -> Self { _mm256_fmadd_pd(a, b, c) }
        fn deinterleave(a: Self, b: Self) -> (Self, Self) {
            let order = |x| _mm256_permute4x64_pd::<0xD8>(x);
            (order(_mm256_unpacklo_pd(a, b)), order(_mm256_unpackhi_pd(a, b)))
        }
        fn interleave(a: Self, b: Self) -> (Self, Self) {
            let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            (_mm256_permute2f128_pd::<0x20>(low, high), _mm256_permute2f128_pd::<0x31>(low, high))
        }
        fn prefetch(at: *const f64) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        fn transpose(block: &mut [Self; MOST_LANES]) {
            let (low01, high01) = (_mm256_unpacklo_pd(block[0], block[1]), _mm256_unpackhi_pd(block[0], block[1]));
            let (low23, high23) = (_mm256_unpacklo_pd(block[2], block[3]), _mm256_unpackhi_pd(block[2], block[3]));
            block[0] = _mm256_permute2f128_pd::<0x20>(low01, low23);
            block[1] = _mm256_permute2f128_pd::<0x20>(high01, high23);
            block[2] = _mm256_permute2f128_pd::<0x31>(low01, low23);
            block[3] = _mm256_permute2f128_pd::<0x31>(high01, high23);
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        // SAFETY: the caller promises the instruction set and the lanes, see the trait.
        unsafe { _mm256_storeu_pd(to, self) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, count: usize) {
        // SAFETY: as above.
        unsafe { _mm256_maskstore_pd(to, mask64(0, count), self) }
    }
}
