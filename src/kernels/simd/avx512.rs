//! Vectors of 512 bits: 16 `f32` or 8 `f64`.

use std::arch::x86_64::*;

use super::{MOST_LANES, Simd, vector_functions};

/// The mask with bits `begin..end`.
#[inline(always)]
fn bits(begin: usize, end: usize) -> u32 {
    (1 << end) - (1 << begin)
}

impl Simd for __m512 {
    type Element = f32;
    const LANES: usize = 16;

    vector_functions! {
        fn splat(x: f32) -> Self { _mm512_set1_ps(x) }
        fn load(from: *const f32) -> Self { _mm512_loadu_ps(from) }
        fn load_range(from: *const f32, begin: usize, end: usize) -> Self {
            _mm512_maskz_loadu_ps(bits(begin, end) as __mmask16, from)
        }
        fn add(a: Self, b: Self) -> Self { _mm512_add_ps(a, b) }
        fn sub(a: Self, b: Self) -> Self { _mm512_sub_ps(a, b) }
        fn mul_add(a: Self, b: Self, c: Self) -> Self { _mm512_fmadd_ps(a, b, c) }
        fn deinterleave(a: Self, b: Self) -> (Self, Self) {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        }
        fn interleave(a: Self, b: Self) -> (Self, Self) {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        }
        fn prefetch(at: *const f32) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        fn sums(block: &mut [Self; MOST_LANES]) -> Self {
            // Half as many vectors after each step, which adds halves of what is left of each: a third of the work of
            // a transposition.
            let pair = |a, b| {
                _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xEE>(a, b))
            };
            let two_pairs = |a, b| {
                _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b))
            };
            let mut quarters = [_mm512_setzero_ps(); 4];
            for (i, quarter) in quarters.iter_mut().enumerate() {
                let v = &block[4 * i..4 * i + 4];
                *quarter = two_pairs(pair(v[0], v[1]), pair(v[2], v[3]));
            }
            // Quarter `q` of `quarters[i]` has four parts of vector `4 * i + q`.
            let halves = |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (a, b) = (halves(quarters[0], quarters[1]), halves(quarters[2], quarters[3]));
            let sums = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xEE>(a, b));
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_ps(order, sums)
        }
        fn transpose(block: &mut [Self; MOST_LANES]) {
            // Within 128-bit quarters first: `t[4 * g + c]` holds in quarter `l` column `4 * l + c` of rows `4 * g..`.
            let mut t = *block;
            for g in 0..4 {
                let r = &block[4 * g..4 * g + 4];
                let (low01, high01) = (_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpackhi_ps(r[0], r[1]));
                let (low23, high23) = (_mm512_unpacklo_ps(r[2], r[3]), _mm512_unpackhi_ps(r[2], r[3]));
                t[4 * g] = _mm512_shuffle_ps::<0x44>(low01, low23);
                t[4 * g + 1] = _mm512_shuffle_ps::<0xEE>(low01, low23);
                t[4 * g + 2] = _mm512_shuffle_ps::<0x44>(high01, high23);
                t[4 * g + 3] = _mm512_shuffle_ps::<0xEE>(high01, high23);
            }
            // Then the quarters themselves.
            for c in 0..4 {
                let even01 = _mm512_shuffle_f32x4::<0x88>(t[c], t[4 + c]);
                let odd01 = _mm512_shuffle_f32x4::<0xDD>(t[c], t[4 + c]);
                let even23 = _mm512_shuffle_f32x4::<0x88>(t[8 + c], t[12 + c]);
                let odd23 = _mm512_shuffle_f32x4::<0xDD>(t[8 + c], t[12 + c]);
                block[c] = _mm512_shuffle_f32x4::<0x88>(even01, even23);
                block[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd01, odd23);
                block[8 + c] = _mm512_shuffle_f32x4::<0xDD>(even01, even23);
                block[12 + c] = _mm512_shuffle_f32x4::<0xDD>(odd01, odd23);
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises the instruction set and the lanes, see the trait.
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(to, bits(0, count) as __mmask16, self) }
    }
}

impl Simd for __m512d {
    type Element = f64;
    const LANES: usize = 8;

    vector_functions! {
        fn splat(x: f64) -> Self { _mm512_set1_pd(x) }
        fn load(from: *const f64) -> Self { _mm512_loadu_pd(from) }
        fn load_range(from: *const f64, begin: usize, end: usize) -> Self {
            _mm512_maskz_loadu_pd(bits(begin, end) as __mmask8, from)
        }
        fn add(a: Self, b: Self) -> Self { _mm512_add_pd(a, b) }
        fn sub(a: Self, b: Self) -> Self { _mm512_sub_pd(a, b) }
        fn mul_add(a: Self, b: Self, c: Self) -> Self { _mm512_fmadd_pd(a, b, c) }
        fn deinterleave(a: Self, b: Self) -> (Self, Self) {
            let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
            let odd = _mm512_add_epi64(even, _mm512_set1_epi64(1));
            (_mm512_permutex2var_pd(a, even, b), _mm512_permutex2var_pd(a, odd, b))
        }
        fn interleave(a: Self, b: Self) -> (Self, Self) {
            let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
            let high = _mm512_add_epi64(low, _mm512_set1_epi64(4));
            (_mm512_permutex2var_pd(a, low, b), _mm512_permutex2var_pd(a, high, b))
        }
        fn prefetch(at: *const f64) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        fn transpose(block: &mut [Self; MOST_LANES]) {
            // `t[2 * g + c]` holds in quarter `l` column `2 * l + c` of rows `2 * g..`.
            let mut t = *block;
            for g in 0..4 {
                t[2 * g] = _mm512_unpacklo_pd(block[2 * g], block[2 * g + 1]);
                t[2 * g + 1] = _mm512_unpackhi_pd(block[2 * g], block[2 * g + 1]);
            }
            for c in 0..2 {
                let even01 = _mm512_shuffle_f64x2::<0x88>(t[c], t[2 + c]);
                let odd01 = _mm512_shuffle_f64x2::<0xDD>(t[c], t[2 + c]);
                let even23 = _mm512_shuffle_f64x2::<0x88>(t[4 + c], t[6 + c]);
                let odd23 = _mm512_shuffle_f64x2::<0xDD>(t[4 + c], t[6 + c]);
                block[c] = _mm512_shuffle_f64x2::<0x88>(even01, even23);
                block[2 + c] = _mm512_shuffle_f64x2::<0x88>(odd01, odd23);
                block[4 + c] = _mm512_shuffle_f64x2::<0xDD>(even01, even23);
                block[6 + c] = _mm512_shuffle_f64x2::<0xDD>(odd01, odd23);
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        // SAFETY: the caller promises the instruction set and the lanes, see the trait.
        unsafe { _mm512_storeu_pd(to, self) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, count: usize) {
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_pd(to, bits(0, count) as __mmask8, self) }
    }
}
