//! Routines over a row, for reductions and for softmax: they save trips through the cache.
//!
//! A sum is [`ACCUMULATORS`] vectors of partial sums, to which whole vectors are added in turn, added up at the
//! end in a fixed order: on one instruction set the order depends on the length of the row alone.

use super::exp::{Exponential, exp};
use super::vector::{Float, MAX_LANES, Vector, VectorExt};

/// Partial results kept at once: enough to hide the latency of an addition.
const ACCUMULATORS: usize = 4;

/// `dst[i] = e^(src[i] - c)`.
///
/// # Safety
/// `src` must be readable and `dst` writable for `n` elements; they are equal or do not overlap.
#[inline(always)]
pub(super) unsafe fn exp_sub<V>(dst: *mut V::Scalar, src: *const V::Scalar, n: usize, c: V::Scalar)
where
    V: Vector<Scalar: Exponential>,
{
    let c = V::splat(c);
    let whole = n - n % V::LANES;
    for i in (0..whole).step_by(V::LANES) {
        // SAFETY: `i + LANES <= n`, and the caller vouches for `n` elements.
        unsafe { exp(V::load(src.add(i)).sub(c)).store(dst.add(i)) };
    }
    if whole < n {
        // SAFETY: `n - whole` elements are left behind the first `whole`.
        unsafe {
            exp(V::load_first(src.add(whole), n - whole).sub(c)).store_first(dst.add(whole), n - whole)
        };
    }
}

/// [`exp_sub`], and the sum of what it wrote.
///
/// # Safety
/// As [`exp_sub`].
#[inline(always)]
pub(super) unsafe fn exp_sub_sum<V>(
    dst: *mut V::Scalar,
    src: *const V::Scalar,
    n: usize,
    c: V::Scalar,
) -> V::Scalar
where
    V: Vector<Scalar: Exponential>,
{
    let c = V::splat(c);
    // SAFETY: `reduce` asks for the elements of a vector inside of the row, which the caller vouches for.
    unsafe {
        reduce::<V>(
            n,
            V::constant(0.0),
            |i| {
                let y = exp(V::load(src.add(i)).sub(c));
                y.store(dst.add(i));
                y
            },
            |i, n| {
                exp(V::load_first(src.add(i), n).sub(c)).store_first(dst.add(i), n);
                // Read again, with zeros beyond the row.
                V::load_first(dst.add(i), n)
            },
            V::add,
        )
    }
}

/// The sum of a row; 0 if it is empty.
///
/// # Safety
/// `src` must be readable for `n` elements.
#[inline(always)]
pub(super) unsafe fn sum<V: Vector>(src: *const V::Scalar, n: usize) -> V::Scalar {
    // SAFETY: `reduce` asks for the elements of a vector inside of the row, which the caller vouches for.
    unsafe {
        reduce::<V>(n, V::constant(0.0), |i| V::load(src.add(i)), |i, n| V::load_first(src.add(i), n), V::add)
    }
}

/// The largest element of a row, NaN if there is one; -infinity if the row is empty.
///
/// # Safety
/// `src` must be readable for `n` elements.
#[inline(always)]
pub(super) unsafe fn max<V: Vector>(src: *const V::Scalar, n: usize) -> V::Scalar {
    let lowest = V::constant(f64::NEG_INFINITY);
    // SAFETY: `reduce` asks for the elements of a vector inside of the row, which the caller vouches for.
    unsafe {
        reduce::<V>(
            n,
            lowest,
            |i| V::load(src.add(i)),
            |i, n| {
                let mut lanes = lowest.lanes();
                lanes[..n].copy_from_slice(&V::load_first(src.add(i), n).lanes()[..n]);
                V::load(lanes.as_ptr())
            },
            larger,
        )
    }
}

/// The larger of two, NaN if one is.
#[inline(always)]
fn larger<V: Vector>(x: V, y: V) -> V {
    V::select(V::either(x.lt(y), V::not(y.is_number())), y, x)
}

/// Combines the vectors at 0, LANES, ..., of which `whole(i)` is the one at `i`, and the last one, of `n` lanes,
/// `part(i, n)`.
///
/// # Safety
/// None by itself: marked for the closures, which read and write at the indices given.
#[inline(always)]
unsafe fn reduce<V: Vector>(
    n: usize,
    start: V,
    whole: impl Fn(usize) -> V,
    part: impl Fn(usize, usize) -> V,
    combine: impl Fn(V, V) -> V,
) -> V::Scalar {
    let mut partial = [start; ACCUMULATORS];
    let mut i = 0;
    while i + ACCUMULATORS * V::LANES <= n {
        for (k, partial) in partial.iter_mut().enumerate() {
            *partial = combine(*partial, whole(i + k * V::LANES));
        }
        i += ACCUMULATORS * V::LANES;
    }
    for partial in &mut partial {
        if i + V::LANES <= n {
            *partial = combine(*partial, whole(i));
            i += V::LANES;
        } else if i < n {
            *partial = combine(*partial, part(i, n - i));
            i = n;
        }
    }
    let all = combine(combine(partial[0], partial[1]), combine(partial[2], partial[3]));
    across(all, combine)
}

/// Combines the lanes of a vector: halves with each other until one is left.
#[inline(always)]
fn across<V: Vector>(x: V, combine: impl Fn(V, V) -> V) -> V::Scalar {
    let mut lanes = x.lanes();
    let mut n = V::LANES;
    while n > 1 {
        n /= 2;
        let mut upper = [V::Scalar::from_f64(0.0); MAX_LANES];
        upper[..n].copy_from_slice(&lanes[n..2 * n]);
        // SAFETY: both arrays hold `LANES` elements.
        lanes = unsafe { combine(V::load(lanes.as_ptr()), V::load(upper.as_ptr())) }.lanes();
    }
    lanes[0]
}
