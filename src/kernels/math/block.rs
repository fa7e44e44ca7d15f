//! Loops over contiguous arrays: whole vectors, then one masked vector.
//!
//! The tail runs the same instructions as the body with the missing lanes zero, so the value of an element
//! does not depend on where it stands.

use super::vector::{Binary, Unary, Vector};

/// `dst[i] = M(src[i])`.
///
/// # Safety
/// `src` must be readable and `dst` writable for `n` elements; they are equal or do not overlap.
#[inline(always)]
pub(super) unsafe fn map<V: Vector, M: Unary>(dst: *mut V::Scalar, src: *const V::Scalar, n: usize) {
    let whole = n - n % V::LANES;
    for i in (0..whole).step_by(V::LANES) {
        // SAFETY: `i + LANES <= n`, and the caller vouches for `n` elements.
        unsafe { V::load(src.add(i)).unary::<M>().store(dst.add(i)) };
    }
    if whole < n {
        // SAFETY: `n - whole` elements are left behind the first `whole`.
        unsafe {
            V::load_first(src.add(whole), n - whole).unary::<M>().store_first(dst.add(whole), n - whole)
        };
    }
}

/// `dst[i] = M(scale * src[i] + shift)`.
///
/// # Safety
/// As [`map`].
#[inline(always)]
pub(super) unsafe fn map_affine<V: Vector, M: Unary>(
    dst: *mut V::Scalar,
    src: *const V::Scalar,
    n: usize,
    scale: V::Scalar,
    shift: V::Scalar,
) {
    let (scale, shift) = (V::splat(scale), V::splat(shift));
    let whole = n - n % V::LANES;
    for i in (0..whole).step_by(V::LANES) {
        // SAFETY: `i + LANES <= n`, and the caller vouches for `n` elements.
        unsafe { V::load(src.add(i)).mul_add(scale, shift).unary::<M>().store(dst.add(i)) };
    }
    if whole < n {
        // SAFETY: `n - whole` elements are left behind the first `whole`.
        unsafe {
            let x = V::load_first(src.add(whole), n - whole).mul_add(scale, shift);
            x.unary::<M>().store_first(dst.add(whole), n - whole);
        }
    }
}

/// `dst[i] = M(lhs[i], rhs[i])`.
///
/// # Safety
/// `lhs` and `rhs` must be readable and `dst` writable for `n` elements; `dst` equals an operand or does not
/// overlap it.
#[inline(always)]
pub(super) unsafe fn zip<V: Vector, M: Binary>(
    dst: *mut V::Scalar,
    lhs: *const V::Scalar,
    rhs: *const V::Scalar,
    n: usize,
) {
    let whole = n - n % V::LANES;
    for i in (0..whole).step_by(V::LANES) {
        // SAFETY: `i + LANES <= n`, and the caller vouches for `n` elements.
        unsafe { V::load(lhs.add(i)).binary::<M>(V::load(rhs.add(i))).store(dst.add(i)) };
    }
    if whole < n {
        // SAFETY: `n - whole` elements are left behind the first `whole`.
        unsafe {
            let (x, y) = (V::load_first(lhs.add(whole), n - whole), V::load_first(rhs.add(whole), n - whole));
            x.binary::<M>(y).store_first(dst.add(whole), n - whole);
        }
    }
}

/// The first lane of `M(x, x, ...)`: the same bits as an element of a block.
#[inline(always)]
pub(super) fn map_one<V: Vector, M: Unary>(x: V::Scalar) -> V::Scalar {
    let mut y = x;
    // SAFETY: `y` is one element, and no more is written, since `LANES` is 1 or more than 1.
    unsafe { first_lane(V::splat(x).unary::<M>(), &mut y) };
    y
}

/// The first lane of `M(lhs, rhs)`: the same bits as an element of a block.
#[inline(always)]
pub(super) fn zip_one<V: Vector, M: Binary>(lhs: V::Scalar, rhs: V::Scalar) -> V::Scalar {
    let mut y = lhs;
    // SAFETY: `y` is one element, as `first_lane` wants.
    unsafe { first_lane(V::splat(lhs).binary::<M>(V::splat(rhs)), &mut y) };
    y
}

/// Writes the first lane to `dst`.
///
/// # Safety
/// `dst` must be writable for one element.
#[inline(always)]
unsafe fn first_lane<V: Vector>(x: V, dst: *mut V::Scalar) {
    // SAFETY: one element is written in either case.
    unsafe { if V::LANES == 1 { x.store(dst) } else { x.store_first(dst, 1) } };
}
