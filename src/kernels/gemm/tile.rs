//! The innermost loop of a product: a tile of the result held in registers over one block of the depth.

#![expect(clippy::needless_range_loop, reason = "arrays of registers, in loops that unroll")]

use crate::kernels::simd::{Float, Simd};

/// Where a tile of results goes.
pub struct Target<T> {
    /// The first element.
    pub at: *mut T,
    /// The distance between rows, in elements.
    pub row_stride: isize,
    /// How many columns there are; the tile may be wider.
    pub columns: usize,
    /// Whether the tile is added to what is there.
    pub accumulate: bool,
}

/// A tile: `depth`, the packed rows, the columns, the distance between depths of the columns, the target.
pub type Tile<T> = unsafe fn(usize, *const T, *const T, isize, &Target<T>);

/// A tile whose columns are scattered: the packed rows, the columns, where each depth of them is, the target.
pub type ScatteredTile<T> = unsafe fn(*const T, *const T, &[isize], &Target<T>);

/// A tile whose rows are elements at any place: the rows, where each row and each depth of them is, the columns, the
/// distance between depths of the columns, the target.
pub type BroadcastTile<T> = unsafe fn(*const T, &[isize], &[isize], *const T, isize, &Target<T>);

/// From this depth on the target is asked for before it is needed. A shallower tile is done before it comes.
const PREFETCH_DEPTH: usize = 32;

/// Computes `R` rows of `N` vectors: the sum over `depth` of outer products.
///
/// `rows` gives the element of a depth and a row, `columns` the `N` vectors of a depth.
/// Every element is one chain of multiply-adds in order of depth, so its bits do not depend on the tile it is in.
///
/// # Safety
///
/// The operands are readable over the whole depth and the target is writable; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn tile<V: Simd, const R: usize, const N: usize>(
    depth: usize,
    rows: impl Fn(usize, usize) -> *const V::Element,
    columns: impl Fn(usize) -> *const V::Element,
    target: &Target<V::Element>,
) {
    // SAFETY: the caller promises the operands, the target and the instruction set.
    unsafe {
        let mut sums = [[V::splat(V::Element::default()); N]; R];
        if depth >= PREFETCH_DEPTH {
            for i in 0..R {
                for j in 0..N {
                    let at = i as isize * target.row_stride + (j * V::LANES) as isize;
                    V::prefetch(target.at.wrapping_offset(at));
                }
            }
        }
        for p in 0..depth {
            let at = columns(p);
            let mut column = [V::splat(V::Element::default()); N];
            for j in 0..N {
                column[j] = V::load(at.add(j * V::LANES));
            }
            for i in 0..R {
                let x = V::splat(*rows(p, i));
                for j in 0..N {
                    sums[i][j] = V::mul_add(x, column[j], sums[i][j]);
                }
            }
        }
        if target.columns == N * V::LANES {
            store_whole(&sums, target);
        } else {
            store_part(&sums, target);
        }
    }
}

#[inline(always)]
unsafe fn store_whole<V: Simd, const R: usize, const N: usize>(
    sums: &[[V; N]; R],
    target: &Target<V::Element>,
) {
    // SAFETY: the caller of `tile` promises that the target has `R` rows of `N` vectors.
    unsafe {
        for i in 0..R {
            let row = target.at.offset(i as isize * target.row_stride);
            for j in 0..N {
                let at = row.add(j * V::LANES);
                let sum = if target.accumulate { V::add(V::load(at), sums[i][j]) } else { sums[i][j] };
                sum.store(at);
            }
        }
    }
}

#[inline(always)]
unsafe fn store_part<V: Simd, const R: usize, const N: usize>(
    sums: &[[V; N]; R],
    target: &Target<V::Element>,
) {
    // SAFETY: the caller of `tile` promises that the target has `R` rows of `columns` elements.
    unsafe {
        for j in 0..N {
            let count = target.columns.saturating_sub(j * V::LANES).min(V::LANES);
            for i in 0..R {
                let at = target.at.wrapping_offset(i as isize * target.row_stride + (j * V::LANES) as isize);
                let sum = if target.accumulate {
                    V::add(V::load_range(at, 0, count), sums[i][j])
                } else {
                    sums[i][j]
                };
                sum.store_first(at, count);
            }
        }
    }
}

/// Adds or copies a packed tile of `rows` by `columns`, `width` elements a row, to a target row by row.
///
/// # Safety
///
/// As for [`tile`].
#[inline(always)]
pub unsafe fn add_tile<V: Simd>(
    rows: usize,
    tile: *const V::Element,
    width: usize,
    target: &Target<V::Element>,
) {
    // SAFETY: the caller promises the tile, the target and the instruction set.
    unsafe {
        for i in 0..rows {
            let row = target.at.offset(i as isize * target.row_stride);
            for j in (0..target.columns).step_by(V::LANES) {
                let count = (target.columns - j).min(V::LANES);
                let mut sum = V::load_range(tile.add(i * width + j), 0, count);
                if target.accumulate {
                    sum = V::add(V::load_range(row.add(j), 0, count), sum);
                }
                sum.store_first(row.add(j), count);
            }
        }
    }
}

/// The tiles of one vector type.
pub struct Tiles<T: Float> {
    /// The tile of `r` rows and `v` vectors at `[v - 1][r - 1]`.
    pub functions: &'static [&'static [Tile<T>]],
    /// The same for scattered columns.
    pub scattered: &'static [&'static [ScatteredTile<T>]],
    /// The same for rows at any place.
    pub broadcast: &'static [&'static [BroadcastTile<T>]],
}

impl<T: Float> Tiles<T> {
    /// The most rows of a tile.
    pub fn rows(&self) -> usize {
        self.functions[0].len()
    }

    /// The most vectors in a row of a tile.
    pub fn vectors(&self) -> usize {
        self.functions.len()
    }

    /// The function for a tile of that shape.
    pub fn of(&self, rows: usize, vectors: usize) -> Tile<T> {
        self.functions[vectors - 1][rows - 1]
    }

    /// The function for a tile of that shape whose columns are scattered.
    pub fn scattered_of(&self, rows: usize, vectors: usize) -> ScatteredTile<T> {
        self.scattered[vectors - 1][rows - 1]
    }

    /// The function for a tile of that shape whose rows are at any place.
    pub fn broadcast_of(&self, rows: usize, vectors: usize) -> BroadcastTile<T> {
        self.broadcast[vectors - 1][rows - 1]
    }
}
