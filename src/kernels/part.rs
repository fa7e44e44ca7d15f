//! Dividing a product among threads, and what is called on the pieces that are finished.

use std::ops::Range;

/// One thread's part of a kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which part; less than `count`.
    pub index: usize,
    /// How many parts there are.
    pub count: usize,
}

impl Part {
    /// All the work.
    pub const WHOLE: Part = Part { index: 0, count: 1 };
}

/// A function to call on regions of the result when they are final and still in cache.
///
/// Over all parts it sees every element exactly once.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Epilogue {
    /// Called with `(context, row_begin, row_end, column_begin, column_end, scratch)`.
    pub function: unsafe extern "C" fn(*const *mut u8, usize, usize, usize, usize, *mut u8),
    /// The first argument of `function`.
    pub context: *const *mut u8,
    /// The last argument of `function`.
    pub scratch: *mut u8,
}

impl Epilogue {
    /// Calls the function on a region.
    ///
    /// # Safety
    ///
    /// What the function asks for, which generated code knows.
    pub(super) unsafe fn call(&self, rows: Range<usize>, columns: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe {
            (self.function)(self.context, rows.start, rows.end, columns.start, columns.end, self.scratch)
        }
    }
}

/// What one thread computes of a batch of matrices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub batch: Range<usize>,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// The costs that decide how a product is divided, in multiply-adds of one column.
pub(super) struct Costs {
    /// The most rows of a tile.
    pub tile_rows: usize,
    /// How many columns belong together: those of a cache line, so that no two threads write to one line.
    pub column_unit: usize,
}

/// What it costs that a row of results is cut between two threads, whatever the depth: each fetches lines ahead that the
/// other writes.
const BORDER: usize = 1600;

/// Packing an element costs about as much as this many of the multiply-adds of a vectorised tile.
const PACKING: usize = 6;

impl Costs {
    /// The time of a share, for each step of the depth.
    fn of(&self, batch: usize, rows: usize, columns: usize) -> usize {
        let tiles = rows.div_ceil(self.tile_rows);
        // A tile of few rows waits for its multiply-adds.
        let height = rows.div_ceil(tiles).max(4);
        batch * (tiles * height * columns + PACKING * (tiles * height + columns))
    }

    /// The share of `part` in `batch` matrices of `rows` by `columns`, sums of `depth` terms, or `None` if there is
    /// nothing left for it.
    ///
    /// Of all ways to cut batch, rows and columns into at most `part.count` shares, takes the one whose largest
    /// share is the cheapest.
    pub(super) fn share(
        &self,
        [batch, rows, columns]: [usize; 3],
        depth: usize,
        part: Part,
    ) -> Option<Share> {
        if batch == 0 || rows == 0 || columns == 0 {
            return None;
        }
        let units = columns.div_ceil(self.column_unit);
        let mut best = (usize::MAX, 1, 1, 1);
        for batches in 1..=part.count.min(batch) {
            let left = part.count / batches;
            for bands in 1..=left.min(rows) {
                let stripes = (left / bands).min(units);
                let widest = units.div_ceil(stripes) * self.column_unit;
                let (matrices, height) = (batch.div_ceil(batches), rows.div_ceil(bands));
                let borders = if stripes > 1 { matrices * height * BORDER / depth.max(1) } else { 0 };
                let cost = self.of(matrices, height, widest.min(columns)) + borders;
                if cost < best.0 {
                    best = (cost, batches, bands, stripes);
                }
            }
        }
        let (_, batches, bands, stripes) = best;
        if part.index >= batches * bands * stripes {
            return None;
        }
        let stripe = cut(units, stripes, part.index % stripes);
        Some(Share {
            batch: cut(batch, batches, part.index / stripes / bands),
            rows: cut(rows, bands, part.index / stripes % bands),
            columns: stripe.start * self.column_unit..(stripe.end * self.column_unit).min(columns),
        })
    }
}

/// Piece `index` of `0..extent` cut into `count` pieces that differ by at most one.
pub(super) fn cut(extent: usize, count: usize, index: usize) -> Range<usize> {
    extent * index / count..extent * (index + 1) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { tile_rows: 14, column_unit: 16 };

    #[test]
    fn shares_cover_everything_once() {
        for (batch, rows, columns) in [(1, 1, 1), (1, 128, 512), (3, 5, 33), (7, 64, 10), (1, 1000, 17)] {
            for count in 1..=9 {
                let mut seen = vec![0; batch * rows * columns];
                for index in 0..count {
                    let Some(share) = COSTS.share([batch, rows, columns], 100, Part { index, count }) else {
                        continue;
                    };
                    for b in share.batch {
                        for row in share.rows.clone() {
                            for column in share.columns.clone() {
                                seen[(b * rows + row) * columns + column] += 1;
                            }
                        }
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "{batch} {rows} {columns} in {count}");
            }
        }
    }

    #[test]
    fn the_larger_side_is_cut() {
        let half = Part { index: 0, count: 2 };
        // Cutting the columns packs the smaller operand twice, not the larger.
        let share = COSTS.share([1, 128, 512], 784, half).unwrap();
        assert_eq!(share, Share { batch: 0..1, rows: 0..128, columns: 0..256 });
        // A shallow product is all results.
        let share = COSTS.share([1, 128, 512], 10, half).unwrap();
        assert_eq!(share, Share { batch: 0..1, rows: 0..64, columns: 0..512 });
        let share = COSTS.share([1, 1024, 64], 100, half).unwrap();
        assert_eq!(share, Share { batch: 0..1, rows: 0..512, columns: 0..64 });
        let share = COSTS.share([12, 64, 64], 64, half).unwrap();
        assert_eq!(share, Share { batch: 0..6, rows: 0..64, columns: 0..64 });
    }

    #[test]
    fn nothing_is_shared_of_nothing() {
        assert_eq!(COSTS.share([0, 4, 4], 4, Part::WHOLE), None);
        assert_eq!(COSTS.share([1, 0, 4], 4, Part::WHOLE), None);
        assert_eq!(COSTS.share([1, 4, 0], 4, Part::WHOLE), None);
    }
}
