//! Routines over a row, for reductions and for softmax: they save trips through the cache.
//!
//! A sum is [`ACCUMULATORS`] vectors of partial sums, to which whole vectors are added in turn, added up at the
//! end in a fixed order: on one instruction set the order depends on the length of the row alone.

use super::exp::{Exponential, exp};
use super::vector::{Float, MAX_LANES, Vector, VectorExt};

/// Partial results kept at once: enough to hide the latency of an addition.
const ACCUMULATORS: usize = 4;

/// `dst[i] = e^(scale * src[i] + shift)`, and the sum of what it wrote.
///
/// # Safety
/// `src` must be readable and `dst` writable for `n` elements; they are equal or do not overlap.
#[inline(always)]
pub(super) unsafe fn exp_sum<V>(
    dst: *mut V::Scalar,
    src: *const V::Scalar,
    n: usize,
    scale: V::Scalar,
    shift: V::Scalar,
) -> V::Scalar
where
    V: Vector<Scalar: Exponential>,
{
    // SAFETY: the caller vouches for `n` elements.
    unsafe { reduce::<V, _>(&ExpSum { dst, src, scale: V::splat(scale), shift: V::splat(shift) }, n) }
}

/// The sum of a row; 0 if it is empty.
///
/// # Safety
/// `src` must be readable for `n` elements.
#[inline(always)]
pub(super) unsafe fn sum<V: Vector>(src: *const V::Scalar, n: usize) -> V::Scalar {
    // SAFETY: the caller vouches for `n` elements.
    unsafe { reduce::<V, _>(&Sum { src }, n) }
}

/// The largest element of a row, NaN if there is one; -infinity if the row is empty.
///
/// # Safety
/// `src` must be readable for `n` elements.
#[inline(always)]
pub(super) unsafe fn max<V: Vector>(src: *const V::Scalar, n: usize) -> V::Scalar {
    // SAFETY: the caller vouches for `n` elements.
    unsafe { reduce::<V, _>(&Max { src }, n) }
}

/// What is reduced and how. A trait and not closures: those may be left out of line, where the instruction set
/// is not enabled.
trait Reduction<V: Vector> {
    /// The result for an empty row.
    fn start(&self) -> V;
    /// The elements `i .. i + LANES`.
    ///
    /// # Safety
    /// They must be in the row.
    unsafe fn whole(&self, i: usize) -> V;
    /// The elements `i .. i + n`, `n < LANES`, and what changes nothing in the other lanes.
    ///
    /// # Safety
    /// They must be in the row.
    unsafe fn part(&self, i: usize, n: usize) -> V;
    /// Two partial results in one.
    fn combine(x: V, y: V) -> V;
}

struct Sum<T> {
    src: *const T,
}

impl<V: Vector> Reduction<V> for Sum<V::Scalar> {
    #[inline(always)]
    fn start(&self) -> V {
        V::constant(0.0)
    }
    #[inline(always)]
    unsafe fn whole(&self, i: usize) -> V {
        // SAFETY: passed on to the caller.
        unsafe { V::load(self.src.add(i)) }
    }
    #[inline(always)]
    unsafe fn part(&self, i: usize, n: usize) -> V {
        // SAFETY: passed on to the caller.
        unsafe { V::load_first(self.src.add(i), n) }
    }
    #[inline(always)]
    fn combine(x: V, y: V) -> V {
        x.add(y)
    }
}

struct ExpSum<V: Vector> {
    dst: *mut V::Scalar,
    src: *const V::Scalar,
    scale: V,
    shift: V,
}

impl<V: Vector<Scalar: Exponential>> Reduction<V> for ExpSum<V> {
    #[inline(always)]
    fn start(&self) -> V {
        V::constant(0.0)
    }
    #[inline(always)]
    unsafe fn whole(&self, i: usize) -> V {
        // SAFETY: passed on to the caller.
        unsafe {
            let y = exp(V::load(self.src.add(i)).mul_add(self.scale, self.shift));
            y.store(self.dst.add(i));
            y
        }
    }
    #[inline(always)]
    unsafe fn part(&self, i: usize, n: usize) -> V {
        // SAFETY: passed on to the caller.
        unsafe {
            let x = V::load_first(self.src.add(i), n).mul_add(self.scale, self.shift);
            exp(x).store_first(self.dst.add(i), n);
            // Read again, with zeros beyond the row.
            V::load_first(self.dst.add(i), n)
        }
    }
    #[inline(always)]
    fn combine(x: V, y: V) -> V {
        x.add(y)
    }
}

struct Max<T> {
    src: *const T,
}

impl<V: Vector> Reduction<V> for Max<V::Scalar> {
    #[inline(always)]
    fn start(&self) -> V {
        V::constant(f64::NEG_INFINITY)
    }
    #[inline(always)]
    unsafe fn whole(&self, i: usize) -> V {
        // SAFETY: passed on to the caller.
        unsafe { V::load(self.src.add(i)) }
    }
    #[inline(always)]
    unsafe fn part(&self, i: usize, n: usize) -> V {
        let mut lanes = V::constant(f64::NEG_INFINITY).lanes();
        // SAFETY: the caller vouches for the row, and the array has `LANES` elements, more than `n`.
        unsafe {
            lanes.as_mut_ptr().copy_from_nonoverlapping(self.src.add(i), n);
            V::load(lanes.as_ptr())
        }
    }
    /// The larger, NaN if one of them is.
    #[inline(always)]
    fn combine(x: V, y: V) -> V {
        V::select(V::either(x.lt(y), V::not(y.is_number())), y, x)
    }
}

/// Reduces the elements `0 .. n`: each vector is asked for once, in order.
///
/// # Safety
/// The row of the reduction must have `n` elements.
#[inline(always)]
unsafe fn reduce<V: Vector, R: Reduction<V>>(reduction: &R, n: usize) -> V::Scalar {
    let mut partial = [reduction.start(); ACCUMULATORS];
    let mut i = 0;
    while i + ACCUMULATORS * V::LANES <= n {
        for (k, partial) in partial.iter_mut().enumerate() {
            // SAFETY: `i + (k + 1) * LANES <= n`.
            *partial = R::combine(*partial, unsafe { reduction.whole(i + k * V::LANES) });
        }
        i += ACCUMULATORS * V::LANES;
    }
    for partial in &mut partial {
        if i + V::LANES <= n {
            // SAFETY: as the condition says.
            *partial = R::combine(*partial, unsafe { reduction.whole(i) });
            i += V::LANES;
        } else if i < n {
            // SAFETY: `i + (n - i) <= n`.
            *partial = R::combine(*partial, unsafe { reduction.part(i, n - i) });
            i = n;
        }
    }
    let [a, b, c, d] = partial;
    across::<V, R>(R::combine(R::combine(a, b), R::combine(c, d)))
}

/// Combines the lanes of a vector: halves with each other until one is left.
#[inline(always)]
fn across<V: Vector, R: Reduction<V>>(x: V) -> V::Scalar {
    let mut lanes = x.lanes();
    let mut n = V::LANES;
    while n > 1 {
        n /= 2;
        let mut upper = [V::Scalar::from_f64(0.0); MAX_LANES];
        upper[..n].copy_from_slice(&lanes[n..2 * n]);
        // SAFETY: both arrays hold `LANES` elements.
        lanes = unsafe { R::combine(V::load(lanes.as_ptr()), V::load(upper.as_ptr())) }.lanes();
    }
    lanes[0]
}
