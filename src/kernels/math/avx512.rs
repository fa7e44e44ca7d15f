//! Vectors of 512 bits: AVX-512 F and DQ.

use std::arch::x86_64::*;

use super::exp::{POWERS, POWERS_ERROR};
use super::registers::{methods, vector};
use super::vector::{F32, Vector, Wide};

vector! {
    /// 16 lanes of f32.
    F32x16(__m512): 16 lanes of f32, bits u32 as i32, mask __mmask16;
    splat: _mm512_set1_ps, splat_bits: _mm512_set1_epi32,
    to_bits: _mm512_castps_si512, from_bits: _mm512_castsi512_ps,
    load: _mm512_loadu_ps, store: _mm512_storeu_ps, load_first: load_first_f32, store_first: store_first_f32,
    add: _mm512_add_ps, sub: _mm512_sub_ps, mul: _mm512_mul_ps, div: _mm512_div_ps, sqrt: _mm512_sqrt_ps,
    mul_add: _mm512_fmadd_ps, min: _mm512_min_ps, max: _mm512_max_ps, scale: scale_f32,
    lt: _mm512_cmp_ps_mask::<_CMP_LT_OQ>, eq: _mm512_cmp_ps_mask::<_CMP_EQ_OQ>,
    both: _kand_mask16, either: _kor_mask16, not: _knot_mask16, any: any_f32,
    select: select_f32, and: _mm512_and_ps, or: _mm512_or_ps, xor: _mm512_xor_ps,
    add_bits: _mm512_add_epi32, shift_left: _mm512_sllv_epi32, shift_right: _mm512_srlv_epi32,
    power_bits: 4, fraction_of_power: fraction_of_power,
}

vector! {
    /// 8 lanes of f64.
    F64x8(__m512d): 8 lanes of f64, bits u64 as i64, mask __mmask8;
    splat: _mm512_set1_pd, splat_bits: _mm512_set1_epi64,
    to_bits: _mm512_castpd_si512, from_bits: _mm512_castsi512_pd,
    load: _mm512_loadu_pd, store: _mm512_storeu_pd, load_first: load_first_f64, store_first: store_first_f64,
    add: _mm512_add_pd, sub: _mm512_sub_pd, mul: _mm512_mul_pd, div: _mm512_div_pd, sqrt: _mm512_sqrt_pd,
    mul_add: _mm512_fmadd_pd, min: _mm512_min_pd, max: _mm512_max_pd, scale: scale_f64,
    lt: _mm512_cmp_pd_mask::<_CMP_LT_OQ>, eq: _mm512_cmp_pd_mask::<_CMP_EQ_OQ>,
    both: _kand_mask8, either: _kor_mask8, not: _knot_mask8, any: any_f64,
    select: select_f64, and: _mm512_and_pd, or: _mm512_or_pd, xor: _mm512_xor_pd,
    add_bits: _mm512_add_epi64, shift_left: _mm512_sllv_epi64, shift_right: _mm512_srlv_epi64,
}

/// What is not one intrinsic, for one type of lane.
macro_rules! beside {
    (
        $vector:ident($register:ty) of $scalar:ty, mask $mask:ty;
        $load_first:ident = $maskz_loadu:ident, $store_first:ident = $mask_storeu:ident,
        $select:ident = $mask_blend:ident, $scale:ident = $scalef:ident, $any:ident
    ) => {
        #[inline(always)]
        unsafe fn $load_first(src: *const $scalar, n: usize) -> $register {
            // SAFETY: lanes outside of the mask are not read; the caller vouches for the rest.
            unsafe { $maskz_loadu((1 << n) - 1, src) }
        }
        #[inline(always)]
        unsafe fn $store_first(dst: *mut $scalar, n: usize, x: $register) {
            // SAFETY: lanes outside of the mask are not written; the caller vouches for the rest.
            unsafe { $mask_storeu(dst, (1 << n) - 1, x) }
        }
        methods! {
            fn $select(mask: $mask, yes: $register, no: $register) -> $register = $mask_blend(mask, no, yes);
            fn $scale(x: $vector, n: $vector) -> $vector = $vector($scalef(x.0, n.0));
        }
        #[inline(always)]
        fn $any(mask: $mask) -> bool {
            mask != 0
        }
    };
}

beside!(
    F32x16(__m512) of f32, mask __mmask16;
    load_first_f32 = _mm512_maskz_loadu_ps, store_first_f32 = _mm512_mask_storeu_ps,
    select_f32 = _mm512_mask_blend_ps, scale_f32 = _mm512_scalef_ps, any_f32
);
beside!(
    F64x8(__m512d) of f64, mask __mmask8;
    load_first_f64 = _mm512_maskz_loadu_pd, store_first_f64 = _mm512_mask_storeu_pd,
    select_f64 = _mm512_mask_blend_pd, scale_f64 = _mm512_scalef_pd, any_f64
);

methods! {
    // Lanes of the tables by the lowest four bits of each index.
    fn fraction_of_power(index: F32x16) -> (F32x16, F32x16) = {
        let index = _mm512_castps_si512(index.0);
        let [power, error] = [POWERS, POWERS_ERROR].map(|table| _mm512_loadu_ps(table.as_ptr()));
        (F32x16(_mm512_permutexvar_ps(index, power)), F32x16(_mm512_permutexvar_ps(index, error)))
    };
    fn widen_low(x: __m512) -> F64x8 = F64x8(_mm512_cvtps_pd(_mm512_castps512_ps256(x)));
    fn widen_high(x: __m512) -> F64x8 = F64x8(_mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(x)));
    fn narrow(low: F64x8, high: F64x8) -> __m512 = _mm512_insertf32x8::<1>(
        _mm512_castps256_ps512(_mm512_cvtpd_ps(low.0)),
        _mm512_cvtpd_ps(high.0),
    );
}

impl F32 for F32x16 {
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

super::instantiate::instantiate!(
    "avx512",
    F32x16,
    F64x8,
    features = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
);
