//! Matrix times vector, bound by the reading of the matrix: every element is read once, in order. And dot products of
//! the lines of two matrices.

#![expect(clippy::needless_range_loop, reason = "arrays of registers, in loops that unroll")]

use crate::kernels::simd::{MOST_LANES, Simd};

/// The matrix of a matrix-vector product, `lines` results from `depth` terms each; or one of two matrices whose lines
/// are multiplied with each other.
pub struct Lines<T> {
    /// Element `(line 0, depth 0)`.
    pub at: *const T,
    /// The distance of the axis whose elements are not next to one another.
    pub stride: isize,
    /// How many results there are.
    pub lines: usize,
    /// How many terms each is the sum of.
    pub depth: usize,
}

/// How many lines [`dot`] reads at once: enough accumulators to hide the latency of a multiply-add.
const LINES: usize = 4;

/// `result[line] = sum over depth of matrix[line][depth] * x[depth]`, where depths are next to one another.
///
/// The order of the sum depends on the depth and on nothing else.
///
/// # Safety
///
/// The operands are readable, the result is writable; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn dot<V: Simd>(
    matrix: &Lines<V::Element>,
    x: *const V::Element,
    result: *mut V::Element,
    result_stride: isize,
) {
    // SAFETY: the lines from `i` on are there for each call.
    unsafe {
        let mut i = 0;
        while i + LINES <= matrix.lines {
            dot_lines::<V, LINES>(matrix, i, x, result, result_stride);
            i += LINES;
        }
        while i < matrix.lines {
            dot_lines::<V, 1>(matrix, i, x, result, result_stride);
            i += 1;
        }
    }
}

#[inline(always)]
unsafe fn dot_lines<V: Simd, const L: usize>(
    matrix: &Lines<V::Element>,
    first: usize,
    x: *const V::Element,
    result: *mut V::Element,
    result_stride: isize,
) {
    // SAFETY: the caller promises the lines from `first` to `first + L`.
    unsafe {
        let line = |i: usize| matrix.at.offset((first + i) as isize * matrix.stride);
        let zero = V::splat(V::Element::default());
        let mut sums = [[zero; 2]; L];
        let mut p = 0;
        while p + 2 * V::LANES <= matrix.depth {
            for half in 0..2 {
                let at = p + half * V::LANES;
                let term = V::load(x.add(at));
                for i in 0..L {
                    sums[i][half] = V::mul_add(V::load(line(i).add(at)), term, sums[i][half]);
                }
            }
            p += 2 * V::LANES;
        }
        while p < matrix.depth {
            let count = (matrix.depth - p).min(V::LANES);
            let term = V::load_range(x.add(p), 0, count);
            for i in 0..L {
                sums[i][0] = V::mul_add(V::load_range(line(i).add(p), 0, count), term, sums[i][0]);
            }
            p += V::LANES;
        }
        for i in 0..L {
            let sum = V::add(sums[i][0], sums[i][1]).sum();
            *result.offset((first + i) as isize * result_stride) = sum;
        }
    }
}

/// How many depths [`combine`] adds in one visit of the result.
const DEPTHS: usize = 8;

/// `result[line] = sum over depth of x[depth] * matrix[depth][line]`, where lines are next to one another.
///
/// The result is visited once for every few depths, so it should fit in the first cache.
///
/// # Safety
///
/// The operands are readable, the result is writable; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn combine<V: Simd>(matrix: &Lines<V::Element>, x: *const V::Element, result: *mut V::Element) {
    // SAFETY: the depths from `p` on are there for each call.
    unsafe {
        for i in 0..matrix.lines {
            *result.add(i) = V::Element::default();
        }
        let mut p = 0;
        while p + DEPTHS <= matrix.depth {
            combine_depths::<V, DEPTHS>(matrix, p, x, result);
            p += DEPTHS;
        }
        while p < matrix.depth {
            combine_depths::<V, 1>(matrix, p, x, result);
            p += 1;
        }
    }
}

#[inline(always)]
unsafe fn combine_depths<V: Simd, const D: usize>(
    matrix: &Lines<V::Element>,
    first: usize,
    x: *const V::Element,
    result: *mut V::Element,
) {
    // SAFETY: the caller promises the depths from `first` to `first + D`.
    unsafe {
        let mut terms = [V::splat(V::Element::default()); D];
        for p in 0..D {
            terms[p] = V::splat(*x.add(first + p));
        }
        let from = matrix.at.offset(first as isize * matrix.stride);
        let mut i = 0;
        while i + V::LANES <= matrix.lines {
            let mut sum = V::load(result.add(i));
            for p in 0..D {
                sum = V::mul_add(terms[p], V::load(from.offset(p as isize * matrix.stride).add(i)), sum);
            }
            sum.store(result.add(i));
            i += V::LANES;
        }
        let count = matrix.lines - i;
        if count > 0 {
            let mut sum = V::load_range(result.add(i), 0, count);
            for p in 0..D {
                let at = from.offset(p as isize * matrix.stride).add(i);
                sum = V::mul_add(terms[p], V::load_range(at, 0, count), sum);
            }
            sum.store_first(result.add(i), count);
        }
    }
}

/// `result[i, j] = sum over depth of a[i][depth] * b[j][depth]`, where depths are next to one another in both; the
/// strides of the result are those of `i` and of `j`.
///
/// The order of each sum depends on the depth and on nothing else.
///
/// # Safety
///
/// The operands are readable and have at least a line, the result is writable; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn dots<V: Simd>(
    a: &Lines<V::Element>,
    b: &Lines<V::Element>,
    result: *mut V::Element,
    [a_stride, b_stride]: [isize; 2],
) {
    // As many sums as a vector has lanes, in two columns: few loads for many multiply-adds.
    let rows = V::LANES / 2;
    for i in (0..a.lines).step_by(rows) {
        for j in (0..b.lines).step_by(2) {
            let mut sums = [V::Element::default(); MOST_LANES];
            // SAFETY: the lines from `i` and from `j` on are there; those that are not are not stored.
            unsafe {
                dots_tile::<V>(a, i, b, j).store(sums.as_mut_ptr());
                for row in 0..rows.min(a.lines - i) {
                    for column in 0..(b.lines - j).min(2) {
                        let at = (i + row) as isize * a_stride + (j + column) as isize * b_stride;
                        *result.offset(at) = sums[2 * row + column];
                    }
                }
            }
        }
    }
}

/// The products of `LANES / 2` lines of `a` from `i` on with two lines of `b` from `j` on, lines of `b` fastest. Lines
/// beyond the last are the last.
#[inline(always)]
unsafe fn dots_tile<V: Simd>(a: &Lines<V::Element>, i: usize, b: &Lines<V::Element>, j: usize) -> V {
    // SAFETY: lines are taken from those that are there.
    unsafe {
        let line = |of: &Lines<V::Element>, i: usize| of.at.offset(i.min(of.lines - 1) as isize * of.stride);
        let mut left = [a.at; MOST_LANES / 2];
        for row in 0..V::LANES / 2 {
            left[row] = line(a, i + row);
        }
        let right = [line(b, j), line(b, j + 1)];
        let mut sums = [V::splat(V::Element::default()); MOST_LANES];
        let mut p = 0;
        while p + V::LANES <= a.depth {
            let terms = right.map(|right| V::load(right.add(p)));
            for row in 0..V::LANES / 2 {
                let x = V::load(left[row].add(p));
                for column in 0..2 {
                    sums[2 * row + column] = V::mul_add(x, terms[column], sums[2 * row + column]);
                }
            }
            p += V::LANES;
        }
        if p < a.depth {
            let count = a.depth - p;
            let terms = right.map(|right| V::load_range(right.add(p), 0, count));
            for row in 0..V::LANES / 2 {
                let x = V::load_range(left[row].add(p), 0, count);
                for column in 0..2 {
                    sums[2 * row + column] = V::mul_add(x, terms[column], sums[2 * row + column]);
                }
            }
        }
        V::sums(&mut sums)
    }
}
