//! Products of little depth and not many columns, whose left operand is read where it is.
//!
//! Packing an element costs as much as a few multiply-adds of a tile. Where an element of the left operand meets some
//! hundred columns, that is a tenth of the work: the tiles take it from its place instead. Columns that fill a tile and
//! are next to one another are read where they are, too; others are packed once.

use super::routines::{Element, Routines};
use super::tile::Target;
use super::{Epilogue, GemmSpec, Matrices, Part, nest};
use crate::kernels::gemm::nest::Product;
use crate::kernels::part::Share;
use std::ops::Range;

/// The most depth: all of it fits the table of places, and lines that the rows share stay in the first cache.
const MOST_DEPTH: usize = 32;
/// The most columns: with more, packing is little of the work. All of them stay in the first caches.
const MOST_COLUMNS: usize = 1024;
/// Bytes of a region that is finished at once: written and still in the second cache.
const REGION_BYTES: usize = 128 << 10;
/// The most rows of a tile: the place of each row stays in a register of its own.
const MOST_TILE_ROWS: usize = 8;

/// Whether a product is done this way.
pub fn is_shallow(spec: &GemmSpec) -> bool {
    (1..=MOST_DEPTH).contains(&spec.k) && spec.n <= MOST_COLUMNS && spec.panels.is_none()
}

/// How many bytes of scratch [`run`] needs in every thread.
pub fn scratch_bytes<T: Element>(routines: &Routines<T>, spec: &GemmSpec) -> usize {
    let width = routines.tiles.vectors() * routines.lanes;
    // Packing writes whole vectors.
    (spec.k * spec.n.next_multiple_of(width) + routines.lanes) * size_of::<T>()
}

/// Computes the part.
///
/// # Safety
///
/// As for [`super::gemm`], for a product that [is shallow](is_shallow).
pub(super) unsafe fn run<T: Element>(
    product: &Matrices<'_, T>,
    scratch: *mut T,
    part: Part,
    epilogue: Option<&Epilogue>,
) {
    let (routines, spec) = (product.routines, product.spec);
    let Some(share) = nest::share(routines, &product.extents(), part) else { return };
    let tiles = share.rows.len().div_ceil(routines.tiles.rows().min(MOST_TILE_ROWS));
    let tile_rows = share.rows.len().div_ceil(tiles);
    let in_region = REGION_BYTES / size_of::<T>() / share.columns.len();
    let region_rows = (in_region / tile_rows).max(1) * tile_rows;
    let mut depths = [0; MOST_DEPTH];
    (0..spec.k).for_each(|p| depths[p] = p as isize * spec.a.column);
    let shallow = Shallow { product, packed: scratch, depths: &depths[..spec.k], tile_rows };
    for batch in share.batch.clone() {
        // SAFETY: the caller's promises; there is room for all columns.
        unsafe {
            shallow.pack(batch, &share);
            for first in share.rows.clone().step_by(region_rows) {
                let rows = first..(first + region_rows).min(share.rows.end);
                shallow.multiply(batch, rows.clone(), share.columns.clone());
                if let Some(epilogue) = epilogue {
                    product.finish(batch, rows, share.columns.clone(), epilogue);
                }
            }
        }
    }
}

/// What the loops over one share have in common.
struct Shallow<'a, T: Element> {
    product: &'a Matrices<'a, T>,
    packed: *mut T,
    /// Where each depth of the left operand is, from the first.
    depths: &'a [isize],
    tile_rows: usize,
}

impl<T: Element> Shallow<'_, T> {
    /// The panels of columns of a tile, how many vectors each has, and where it is packed.
    fn panels(&self, columns: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize, *mut T)> {
        let routines = self.product.routines;
        let (size, depth, packed) =
            (routines.tiles.vectors() * routines.lanes, self.depths.len(), self.packed);
        columns.clone().step_by(size).map(move |start| {
            let panel = start..(start + size).min(columns.end);
            let vectors = panel.len().div_ceil(routines.lanes);
            (panel, vectors, packed.wrapping_add((start - columns.start) * depth))
        })
    }

    /// The panel itself and the distance between its depths, if it need not be packed.
    fn in_place(&self, batch: usize, columns: &Range<usize>, vectors: usize) -> Option<(*const T, isize)> {
        let is_whole = columns.len() == vectors * self.product.routines.lanes;
        is_whole.then(|| self.product.columns_in_place(batch, columns.start, 0)).flatten()
    }

    unsafe fn pack(&self, batch: usize, share: &Share) {
        for (columns, vectors, panel) in self.panels(share.columns.clone()) {
            if self.in_place(batch, &columns, vectors).is_some() {
                continue;
            }
            let width = vectors * self.product.routines.lanes;
            // SAFETY: the panels follow one another, and there is room for a vector behind the last.
            unsafe { self.product.pack_columns(batch, columns, 0..self.depths.len(), panel, width) };
        }
    }

    /// Whole rows of the result one after another: what is written then lies together.
    unsafe fn multiply(&self, batch: usize, rows: Range<usize>, columns: Range<usize>) {
        let (spec, tiles) = (self.product.spec, &self.product.routines.tiles);
        let left = self.product.a.wrapping_offset(spec.batch_offset(&spec.a, batch));
        let offsets: [isize; MOST_TILE_ROWS] = std::array::from_fn(|i| i as isize * spec.a.row);
        for first in rows.clone().step_by(self.tile_rows) {
            let count = self.tile_rows.min(rows.end - first);
            let left = left.wrapping_offset(first as isize * spec.a.row);
            for (columns, vectors, panel) in self.panels(columns.clone()) {
                let (at, row_stride) = self.product.place(batch, first, columns.start);
                let target = Target { at, row_stride, columns: columns.len(), accumulate: false };
                let packed = (panel.cast_const(), (vectors * self.product.routines.lanes) as isize);
                let (panel, stride) = self.in_place(batch, &columns, vectors).unwrap_or(packed);
                let tile = tiles.broadcast_of(count, vectors);
                // SAFETY: the caller's promises; the panel is packed or in place.
                unsafe { tile(left, &offsets[..count], self.depths, panel, stride, &target) };
            }
        }
    }
}
