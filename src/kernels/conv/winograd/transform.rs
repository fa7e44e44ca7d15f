//! The transformations of Winograd's algorithm for tiles of 2 by 2 and windows of 3 by 3, in vectors.
//!
//! Each is a small matrix applied to the rows and then to the columns of what it transforms:
//!
//! ```text
//!      1   0   0          1  0 -1  0          1  1  1  0
//! G = 1/2 1/2 1/2    B' = 0  1  1  0     A' = 0  1 -1 -1
//!     1/2 -1/2 1/2        0 -1  1  0
//!      0   0   1          0  1  0 -1
//! ```
//!
//! The gradient of the weights is what the transposed matrices make of the input and the gradient of the output.

#![expect(clippy::needless_range_loop, reason = "arrays of registers, in loops that unroll")]

use crate::kernels::simd::{Float, MOST_LANES, Simd};

/// Positions of a transformed tile: 4 by 4.
pub const POSITIONS: usize = 16;

/// Weights to transform: windows of rows of a tile of a product.
pub struct WeightTiles {
    /// Input channels.
    pub depth: usize,
    /// Output channels, next to one another.
    pub rows: usize,
    /// Elements from a position of the result to the next.
    pub plane: usize,
}

/// Tiles in rows of a band.
pub struct Tiles {
    /// Rows of tiles.
    pub rows: usize,
    /// Tiles in a row.
    pub columns: usize,
    /// Elements from a position of the result to the next.
    pub plane: usize,
}

/// Outputs to make of products.
pub struct OutputTiles {
    /// Rows of the output, of which the last tiles may have only the first.
    pub rows: usize,
    /// Elements of a row of the output, of which the last tile may have only the first.
    pub columns: usize,
    /// Elements from a position of the products to the next.
    pub plane: usize,
}

/// Gradients of windows to make of products.
pub struct Windows {
    /// How many.
    pub count: usize,
    /// Elements from a window to the next.
    pub stride: isize,
    /// Elements from a position of the products to the next.
    pub plane: usize,
}

/// `G g G'` of packed windows, `rows` elements for each position of the window of each channel.
///
/// # Safety
///
/// There is room for vectors that begin within the rows; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn weights<V: Simd>(tiles: &WeightTiles, from: *const V::Element, to: *mut V::Element) {
    // SAFETY: the caller's promise. What a vector writes too much is overwritten by the channel behind it.
    unsafe {
        let half = V::splat(V::Element::HALF);
        let zero = V::splat(V::Element::default());
        let three = |a, b, c| {
            let ends = V::mul_add(half, V::add(a, c), zero);
            [a, V::mul_add(half, b, ends), V::sub(ends, V::mul_add(half, b, zero)), c]
        };
        for channel in 0..tiles.depth {
            for row in (0..tiles.rows).step_by(V::LANES) {
                let at = |q: usize| V::load(from.add((channel * 9 + q) * tiles.rows + row));
                let to = to.add(channel * tiles.rows + row);
                let columns: [[V; 4]; 3] = std::array::from_fn(|j| three(at(j), at(3 + j), at(6 + j)));
                for i in 0..4 {
                    let line = three(columns[0][i], columns[1][i], columns[2][i]);
                    for j in 0..4 {
                        line[j].store(to.add((4 * i + j) * tiles.plane));
                    }
                }
            }
        }
    }
}

/// `B' d B` of the tiles of the input in a band: 4 by 4 elements, 2 from tile to tile.
///
/// # Safety
///
/// The band has two rows more than twice the rows of tiles, each of two elements more than twice the tiles, and vectors
/// that begin in it can be read; there is room for vectors that begin within the tiles; the machine has `V`'s
/// instruction set.
#[inline(always)]
pub unsafe fn input<V: Simd>(tiles: &Tiles, band: *const V::Element, to: *mut V::Element) {
    let width = 2 * tiles.columns + 2;
    // SAFETY: the caller's promise. What a vector writes too much is overwritten by the row behind it.
    unsafe {
        let four =
            |d: [V; 4]| [V::sub(d[0], d[2]), V::add(d[1], d[2]), V::sub(d[2], d[1]), V::sub(d[1], d[3])];
        for row in 0..tiles.rows {
            for column in (0..tiles.columns).step_by(V::LANES) {
                let to = to.add(row * tiles.columns + column);
                let mut lines = [[V::splat(V::Element::default()); 4]; 4];
                for i in 0..4 {
                    let from = band.add((2 * row + i) * width + 2 * column);
                    let (first, second) = V::deinterleave(V::load(from), V::load(from.add(V::LANES)));
                    let after = from.add(2);
                    let (third, fourth) = V::deinterleave(V::load(after), V::load(after.add(V::LANES)));
                    lines[i] = four([first, second, third, fourth]);
                }
                for j in 0..4 {
                    let column = four([lines[0][j], lines[1][j], lines[2][j], lines[3][j]]);
                    for i in 0..4 {
                        column[i].store(to.add((4 * i + j) * tiles.plane));
                    }
                }
            }
        }
    }
}

/// `A y A'` of the tiles of the gradient of the output in a band: 2 by 2 elements.
///
/// # Safety
///
/// The band has twice the rows of tiles, each of twice the tiles, and vectors that begin in it can be read; there is room
/// for vectors that begin within the tiles; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn cotangent<V: Simd>(tiles: &Tiles, band: *const V::Element, to: *mut V::Element) {
    let width = 2 * tiles.columns;
    // SAFETY: the caller's promise. What a vector writes too much is overwritten by the row behind it.
    unsafe {
        let zero = V::splat(V::Element::default());
        let four = |y: [V; 2]| [y[0], V::add(y[0], y[1]), V::sub(y[0], y[1]), V::sub(zero, y[1])];
        for row in 0..tiles.rows {
            for column in (0..tiles.columns).step_by(V::LANES) {
                let to = to.add(row * tiles.columns + column);
                let mut lines = [[zero; 4]; 2];
                for i in 0..2 {
                    let from = band.add((2 * row + i) * width + 2 * column);
                    let (first, second) = V::deinterleave(V::load(from), V::load(from.add(V::LANES)));
                    lines[i] = four([first, second]);
                }
                for j in 0..4 {
                    let column = four([lines[0][j], lines[1][j]]);
                    for i in 0..4 {
                        column[i].store(to.add((4 * i + j) * tiles.plane));
                    }
                }
            }
        }
    }
}

/// `G' m G` of products, into windows of 9 elements.
///
/// # Safety
///
/// Vectors that begin within the products can be read, and the windows written; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn gradient<V: Simd>(windows: &Windows, products: *const V::Element, to: *mut V::Element) {
    // SAFETY: the caller's promise; the array has room for 9 of the longest vectors.
    unsafe {
        let (half, zero) = (V::splat(V::Element::HALF), V::splat(V::Element::default()));
        let three = |m: [V; 4]| {
            let sum = V::mul_add(half, V::add(m[1], m[2]), zero);
            [V::add(m[0], sum), V::mul_add(half, V::sub(m[1], m[2]), zero), V::add(sum, m[3])]
        };
        let mut lanes = [V::Element::default(); 9 * MOST_LANES];
        for first in (0..windows.count).step_by(V::LANES) {
            let mut lines = [[zero; 3]; 4];
            for i in 0..4 {
                let at = |j| V::load(products.add((4 * i + j) * windows.plane + first));
                lines[i] = three(std::array::from_fn(at));
            }
            for j in 0..3 {
                let column = three([lines[0][j], lines[1][j], lines[2][j], lines[3][j]]);
                for i in 0..3 {
                    column[i].store(lanes.as_mut_ptr().add((3 * i + j) * V::LANES));
                }
            }
            for lane in 0..(windows.count - first).min(V::LANES) {
                let window = to.offset((first + lane) as isize * windows.stride);
                for q in 0..9 {
                    *window.add(q) = lanes[q * V::LANES + lane];
                }
            }
        }
    }
}

/// `A' m A` of products, into rows of the output that follow one another.
///
/// # Safety
///
/// Vectors that begin within the products can be read, and the rows written; the machine has `V`'s instruction set.
#[inline(always)]
pub unsafe fn output<V: Simd>(tiles: &OutputTiles, products: *const V::Element, to: *mut V::Element) {
    let per_row = tiles.columns.div_ceil(2);
    // SAFETY: the caller's promise.
    unsafe {
        let two = |m: [V; 4]| {
            let (sum, difference) = (V::add(m[1], m[2]), V::sub(m[1], m[2]));
            [V::add(m[0], sum), V::sub(difference, m[3])]
        };
        for row in (0..tiles.rows).step_by(2) {
            for column in (0..per_row).step_by(V::LANES) {
                let from = products.add(row / 2 * per_row + column);
                let mut lines = [[V::splat(V::Element::default()); 2]; 4];
                for i in 0..4 {
                    lines[i] = two(std::array::from_fn(|j| V::load(from.add((4 * i + j) * tiles.plane))));
                }
                let [left, right] =
                    std::array::from_fn(|j| two([lines[0][j], lines[1][j], lines[2][j], lines[3][j]]));
                for i in 0..2.min(tiles.rows - row) {
                    let (low, high) = V::interleave(left[i], right[i]);
                    let to = to.add((row + i) * tiles.columns + 2 * column);
                    let left = tiles.columns - 2 * column;
                    low.store_first(to, left.min(V::LANES));
                    if left > V::LANES {
                        high.store_first(to.add(V::LANES), (left - V::LANES).min(V::LANES));
                    }
                }
            }
        }
    }
}
