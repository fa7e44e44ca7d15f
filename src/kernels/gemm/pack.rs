//! Packing: operands copied into the order in which tiles read them, `[depth][width]`.
//!
//! Vectors are stored whole. What is written beyond a row of the panel is overwritten by the rows after it, so a
//! panel must be packed before the panel behind it, and the last needs a vector of slack.

#![expect(clippy::needless_range_loop, reason = "arrays of registers, in loops that unroll")]

use crate::kernels::simd::{MOST_LANES, Simd};

/// A matrix to pack: element `(line, depth)` at `at + line * line_stride + depth * depth_stride`.
pub struct Source<T> {
    /// The first element.
    pub at: *const T,
    /// The distance between lines (rows of the left operand, columns of the right one).
    pub line_stride: isize,
    /// The distance between depths.
    pub depth_stride: isize,
    /// How many lines there are.
    pub lines: usize,
    /// How many depths there are.
    pub depth: usize,
}

/// Packs `source` into a panel of `width >= lines` elements a depth.
///
/// What is in the lanes from `lines` to `width` is of no consequence.
///
/// # Safety
///
/// The source is readable; the panel is writable, with a vector of slack behind it; the machine has `V`'s
/// instruction set.
#[inline(always)]
pub unsafe fn pack<V: Simd>(source: &Source<V::Element>, panel: *mut V::Element, width: usize) {
    // SAFETY: passed on.
    unsafe {
        if source.depth_stride == 1 && source.depth > 1 {
            transpose::<V>(source, panel, width);
        } else if source.line_stride == 1 {
            copy::<V>(source, panel, width);
        } else {
            gather::<V>(source, panel, width);
        }
    }
}

/// Lines next to one another: each depth is a few vectors.
#[inline(always)]
unsafe fn copy<V: Simd>(source: &Source<V::Element>, panel: *mut V::Element, width: usize) {
    // SAFETY: reads `lines` elements a depth; stores as the module says.
    unsafe {
        for p in 0..source.depth {
            let from = source.at.offset(p as isize * source.depth_stride);
            let to = panel.add(p * width);
            let mut i = 0;
            while i + V::LANES <= source.lines {
                V::load(from.add(i)).store(to.add(i));
                i += V::LANES;
            }
            if i < source.lines {
                V::load_range(from.add(i), 0, source.lines - i).store(to.add(i));
            }
        }
    }
}

/// How many vectors ahead lines are fetched: they are more than the machine follows by itself.
const AHEAD: usize = 4;

/// Depths next to one another: squares are transposed in registers.
#[inline(always)]
unsafe fn transpose<V: Simd>(source: &Source<V::Element>, panel: *mut V::Element, width: usize) {
    let last = source.lines - 1;
    // SAFETY: lines are clamped to those there are; stores as the module says. Within a square of depths the last
    // lines go first, so that what they write beyond the width is overwritten by the first lines.
    unsafe {
        for p in (0..source.depth).step_by(V::LANES) {
            let depth = (source.depth - p).min(V::LANES);
            for i in (0..source.lines).step_by(V::LANES).rev() {
                let mut block = [V::splat(V::Element::default()); MOST_LANES];
                for lane in 0..V::LANES {
                    let line = (i + lane).min(last) as isize;
                    let from = source.at.offset(line * source.line_stride).add(p);
                    V::prefetch(from.wrapping_add(AHEAD * V::LANES));
                    block[lane] =
                        if depth == V::LANES { V::load(from) } else { V::load_range(from, 0, depth) };
                }
                store_transposed(block, depth, panel.add(p * width + i), width);
            }
        }
    }
}

/// Stores the first `depth` columns of a square, `width` elements apart.
///
/// # Safety
///
/// `depth` vectors can be stored there; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn store_transposed<V: Simd>(
    mut block: [V; MOST_LANES],
    depth: usize,
    to: *mut V::Element,
    width: usize,
) {
    // SAFETY: the caller promises the room and the instruction set.
    unsafe {
        V::transpose(&mut block);
        if depth == V::LANES {
            for p in 0..V::LANES {
                block[p].store(to.add(p * width));
            }
        } else {
            for p in 0..V::LANES {
                if p < depth {
                    block[p].store(to.add(p * width));
                }
            }
        }
    }
}

/// No stride of one: element by element.
#[inline(always)]
unsafe fn gather<V: Simd>(source: &Source<V::Element>, panel: *mut V::Element, width: usize) {
    // SAFETY: reads and writes exactly the elements of the source.
    unsafe {
        for p in 0..source.depth {
            let from = source.at.offset(p as isize * source.depth_stride);
            for i in 0..source.lines {
                *panel.add(p * width + i) = *from.offset(i as isize * source.line_stride);
            }
        }
    }
}
