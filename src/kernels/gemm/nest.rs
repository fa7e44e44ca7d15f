//! The loops around the tiles: blocks that fit the caches, packed once and used often.
//!
//! The order is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3),
//! 2008: stripes of columns, blocks of depth, blocks of rows, panels of columns, tiles. A panel of columns is packed
//! when it is first used, so the first block of rows finds it in cache. Left operands that fit in the second cache
//! are packed once for all stripes.
//!
//! The blocks of depth depend on the depth alone, and each element is the work of one thread: the bits of the result
//! depend neither on the number of threads nor on the blocks of rows and columns.

use std::ops::Range;

use super::routines::{Element, Routines};
use super::tile::Target;
use crate::kernels::part::{Costs, Epilogue, Part, Share};

/// The size of the things that the loop nest multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// How many independent products.
    pub batch: usize,
    /// Rows of a result.
    pub rows: usize,
    /// Columns of a result.
    pub columns: usize,
    /// Terms in the sum that an element of the result is.
    pub depth: usize,
    /// Columns of a panel, when the right operand lies in panels.
    pub panel: Option<usize>,
}

/// What the loop nest asks of the operands and the result of a product.
///
/// # Safety
///
/// Of every function: the ranges are within the extents, the pointers of the product are valid, and packed panels
/// have room for a vector behind them.
pub trait Product {
    /// The type of the elements.
    type Element: Element;

    /// The sizes.
    fn extents(&self) -> Extents;

    /// Packs rows of the left operand, `rows.len()` elements a depth.
    unsafe fn pack_rows(
        &self,
        batch: usize,
        rows: Range<usize>,
        depth: Range<usize>,
        panel: *mut Self::Element,
    );

    /// Packs columns of the right operand, `width` elements a depth.
    unsafe fn pack_columns(
        &self,
        batch: usize,
        columns: Range<usize>,
        depth: Range<usize>,
        panel: *mut Self::Element,
        width: usize,
    );

    /// The right operand itself from that element on, and the distance between its depths, if its columns are next
    /// to one another.
    fn columns_in_place(
        &self,
        batch: usize,
        column: usize,
        depth: usize,
    ) -> Option<(*const Self::Element, isize)>;

    /// The result from the first of these columns on, and the distance between its rows, if the columns are next to
    /// one another.
    fn result_in_place(
        &self,
        batch: usize,
        row: usize,
        columns: Range<usize>,
    ) -> Option<(*mut Self::Element, isize)>;

    /// Calls `store` for every run of these columns that are next to one another in the result, with how many
    /// columns are before it.
    fn result_runs(
        &self,
        batch: usize,
        row: usize,
        columns: Range<usize>,
        store: impl FnMut(usize, Target<Self::Element>),
    );

    /// Calls the epilogue on a finished region.
    unsafe fn finish(&self, batch: usize, rows: Range<usize>, columns: Range<usize>, epilogue: &Epilogue);
}

/// The sizes of the blocks, for one type of element and one instruction set. In elements.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    /// The most rows of a tile.
    tile_rows: usize,
    /// The most columns of a tile.
    tile_columns: usize,
    /// Elements of a vector.
    lanes: usize,
    /// The depth of a block.
    depth: usize,
    /// The most rows of a block that is packed for every stripe.
    rows: usize,
    /// The most columns of a stripe.
    columns: usize,
    /// The most elements of a left operand that is packed only once.
    resident: usize,
    /// The most elements of a region that is finished at once.
    region: usize,
    /// Elements of a cache line.
    line: usize,
}

/// The depth of a block of f32: a panel of columns streams from the second cache at a rate that it can give, and
/// results are added to memory seldom. On Zen 4 squares of 1024 run at 88% of the peak with 512, 85% with 384 and
/// 83% with 256. But the rounding error of a sum grows with the length of the chain of additions in a block, and the
/// recorded training runs show it: 384 keeps sums as near to the exact ones as those of other libraries.
const DEPTH: usize = 384;
/// The depth of a block of f64: 82% of the peak; 74% with 256.
const DEPTH_F64: usize = 344;
/// Bytes of a packed block of rows: a third of a second cache of 1 MB.
const ROWS_BYTES: usize = 168 * DEPTH * size_of::<f32>();
/// Columns of a stripe: with the depth, 2 MB in the third cache.
const COLUMNS: usize = 1024;
/// Bytes of a left operand that is packed once: half of a second cache of 1 MB.
const RESIDENT_BYTES: usize = 512 << 10;
/// The most rows of a block of a left operand that is packed once.
const RESIDENT_ROWS: usize = 1024;
/// Columns of a stripe when the left operand is resident: its results stay in the second cache over all depths.
const RESIDENT_COLUMNS: usize = 256;
/// Bytes of a region that is finished at once: written and still in the second cache.
const REGION_BYTES: usize = 128 << 10;

impl Blocks {
    fn new<T: Element>(routines: &Routines<T>) -> Blocks {
        let size = size_of::<T>();
        let depth = if size == size_of::<f32>() { DEPTH } else { DEPTH_F64 };
        let tile_rows = routines.tiles.rows();
        Blocks {
            tile_rows,
            tile_columns: routines.tiles.vectors() * routines.lanes,
            lanes: routines.lanes,
            depth,
            rows: (ROWS_BYTES / (depth * size)).next_multiple_of(tile_rows),
            columns: COLUMNS,
            resident: RESIDENT_BYTES / size,
            region: REGION_BYTES / size,
            line: 64 / size,
        }
    }

    /// The depth of each block but the last: as equal as can be.
    fn even_depth(&self, depth: usize) -> usize {
        depth.div_ceil(depth.div_ceil(self.depth).max(1)).max(1)
    }

    /// Whether so many rows are packed once for all columns.
    fn is_resident(&self, rows: usize, depth: usize) -> bool {
        rows.saturating_mul(depth) <= self.resident
    }

    /// Elements of scratch for the temporary tile, the packed rows and the packed columns of any share.
    fn scratch(&self, extents: &Extents) -> [usize; 3] {
        let depth = self.even_depth(extents.depth).min(extents.depth);
        let rows = extents.rows;
        let whole = rows.saturating_mul(extents.depth);
        // A share of few rows is resident though the whole is not.
        let packed_rows = whole.min(self.resident.max(self.rows * depth));
        let one_block = rows <= self.rows || (rows <= RESIDENT_ROWS && self.is_resident(rows, extents.depth));
        let stripe = if one_block { self.tile_columns } else { self.columns };
        let columns = stripe.min(extents.columns.next_multiple_of(self.tile_columns));
        [self.tile_rows * self.tile_columns, packed_rows, columns * depth]
            .map(|elements| (elements + self.lanes).next_multiple_of(self.line))
    }
}

/// How many bytes of scratch [`run`] needs, in every thread.
pub fn scratch_bytes<T: Element>(routines: &Routines<T>, extents: &Extents) -> usize {
    Blocks::new(routines).scratch(extents).iter().sum::<usize>() * size_of::<T>()
}

/// The share of `part`, if there is any.
pub fn share<T: Element>(routines: &Routines<T>, extents: &Extents, part: Part) -> Option<Share> {
    let column_unit = extents.panel.unwrap_or(64 / size_of::<T>());
    let costs = Costs { tile_rows: routines.tiles.rows(), column_unit };
    costs.share([extents.batch, extents.rows, extents.columns], extents.depth, part)
}

/// Computes the part of the product.
///
/// # Safety
///
/// The product is valid; `scratch` has [`scratch_bytes`] and is used by no one else; the machine has the instruction
/// set of the routines.
pub unsafe fn run<P: Product>(
    routines: &Routines<P::Element>,
    product: &P,
    scratch: *mut P::Element,
    part: Part,
    epilogue: Option<&Epilogue>,
) {
    let extents = product.extents();
    let Some(share) = share(routines, &extents, part) else { return };
    let blocks = Blocks::new(routines);
    let [tile, rows, _] = blocks.scratch(&extents);
    // SAFETY: `scratch` has room for all three.
    let (packed_rows, packed_columns) = unsafe { (scratch.add(tile), scratch.add(tile + rows)) };
    let height = share.rows.len();
    let resident = blocks.is_resident(height, extents.depth);
    let tiles = height.div_ceil(blocks.tile_rows);
    let tile_rows = height.div_ceil(tiles);
    let most_rows = if resident { RESIDENT_ROWS } else { blocks.rows };
    let row_block = even_block(tiles, most_rows / blocks.tile_rows) * tile_rows;
    let nest = Nest {
        routines,
        product,
        epilogue,
        tile: scratch,
        packed_rows,
        packed_columns,
        depth: extents.depth,
        depth_block: blocks.even_depth(extents.depth),
        tile_rows,
        tile_columns: tile_columns(routines, extents.panel),
        row_block,
        stripe: if resident { RESIDENT_COLUMNS } else { blocks.columns },
        resident,
        region_columns: (blocks.region / row_block).max(1).next_multiple_of(blocks.tile_columns),
        in_panels: extents.panel.is_some(),
    };
    for batch in share.batch.clone() {
        // SAFETY: the caller's promises.
        unsafe { nest.run(batch, share.rows.clone(), share.columns.clone()) }
    }
}

/// The most columns of a tile; with panels, of which none crosses a border.
fn tile_columns<T: Element>(routines: &Routines<T>, panel: Option<usize>) -> usize {
    let widths = (1..=routines.tiles.vectors()).map(|vectors| vectors * routines.lanes);
    let fits = |width: &usize| panel.is_none_or(|panel| panel.is_multiple_of(*width));
    widths.rev().find(fits).expect("a panel is a whole number of vectors")
}

/// The size of the blocks when `count` things are cut into as few blocks of at most `most` as possible.
fn even_block(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most.max(1)))
}

/// The loop nest over one share.
struct Nest<'a, P: Product> {
    routines: &'a Routines<P::Element>,
    product: &'a P,
    epilogue: Option<&'a Epilogue>,
    tile: *mut P::Element,
    packed_rows: *mut P::Element,
    packed_columns: *mut P::Element,
    depth: usize,
    depth_block: usize,
    tile_rows: usize,
    tile_columns: usize,
    row_block: usize,
    stripe: usize,
    resident: bool,
    region_columns: usize,
    in_panels: bool,
}

/// A block of the nest: what the tiles of the inner loops have in common.
#[derive(Clone)]
struct Block {
    batch: usize,
    rows: Range<usize>,
    stripe: Range<usize>,
    depth: Range<usize>,
    /// Whether this is the first block of rows: panels of columns are packed here.
    first_rows: bool,
    /// Whether panels of columns are used again, by other blocks of rows.
    keep_columns: bool,
    last_depth: bool,
}

impl<P: Product> Nest<'_, P> {
    unsafe fn run(&self, batch: usize, rows: Range<usize>, columns: Range<usize>) {
        let one_block = rows.len() <= self.row_block;
        for stripe in blocks_of(columns.clone(), self.stripe) {
            // No depth at all is one empty block: it stores zeros.
            let mut depth = 0..self.depth_block.min(self.depth);
            loop {
                let last_depth = depth.end == self.depth;
                for block_rows in blocks_of(rows.clone(), self.row_block) {
                    let block = Block {
                        batch,
                        rows: block_rows.clone(),
                        stripe: stripe.clone(),
                        depth: depth.clone(),
                        first_rows: block_rows.start == rows.start,
                        keep_columns: !one_block,
                        last_depth,
                    };
                    // SAFETY: resident rows have room for all blocks, others for one.
                    unsafe {
                        let packed_rows = if self.resident {
                            let before = block_rows.start - rows.start;
                            self.packed_rows.add(rows.len() * depth.start + before * depth.len())
                        } else {
                            self.packed_rows
                        };
                        if !self.resident || stripe.start == columns.start {
                            self.pack_rows(&block, packed_rows);
                        }
                        self.multiply(&block, packed_rows);
                    }
                }
                if last_depth {
                    break;
                }
                depth = depth.end..(depth.end + self.depth_block).min(self.depth);
            }
        }
    }

    unsafe fn pack_rows(&self, block: &Block, to: *mut P::Element) {
        for rows in blocks_of(block.rows.clone(), self.tile_rows) {
            // SAFETY: the panels of a block follow one another.
            unsafe {
                let panel = to.add((rows.start - block.rows.start) * block.depth.len());
                self.product.pack_rows(block.batch, rows, block.depth.clone(), panel);
            }
        }
    }

    unsafe fn multiply(&self, block: &Block, packed_rows: *const P::Element) {
        let mut finished = block.stripe.start;
        for columns in blocks_of(block.stripe.clone(), self.tile_columns) {
            // SAFETY: the panels of a stripe follow one another; each was packed by the first block of rows.
            unsafe {
                let vectors = columns.len().div_ceil(self.routines.lanes);
                let (panel, stride) = self.columns(block, columns.clone(), vectors * self.routines.lanes);
                for rows in blocks_of(block.rows.clone(), self.tile_rows) {
                    let packed = packed_rows.add((rows.start - block.rows.start) * block.depth.len());
                    self.tile(block, rows, columns.clone(), vectors, packed, panel, stride);
                }
                let Some(epilogue) = self.epilogue.filter(|_| block.last_depth) else { continue };
                if columns.end == block.stripe.end || columns.end - finished >= self.region_columns {
                    self.product.finish(block.batch, block.rows.clone(), finished..columns.end, epilogue);
                    finished = columns.end;
                }
            }
        }
    }

    /// A panel of columns and the distance between its depths: packed, or where they are.
    unsafe fn columns(
        &self,
        block: &Block,
        columns: Range<usize>,
        width: usize,
    ) -> (*const P::Element, isize) {
        // Packing costs as much as a tile of few rows.
        let few_rows = block.rows.len() <= 2 * self.tile_rows && !block.keep_columns;
        if self.in_panels || (few_rows && columns.len() == width) {
            let first = block.depth.start;
            if let Some(place) = self.product.columns_in_place(block.batch, columns.start, first) {
                return place;
            }
        }
        let slot =
            if block.keep_columns { (columns.start - block.stripe.start) * block.depth.len() } else { 0 };
        // SAFETY: there is room for all panels of a stripe if they are kept, and for one if not.
        unsafe {
            let panel = self.packed_columns.add(slot);
            if block.first_rows {
                self.product.pack_columns(block.batch, columns, block.depth.clone(), panel, width);
            }
            (panel, width as isize)
        }
    }

    /// Computes one tile into the result, by way of the temporary tile where the columns are scattered.
    #[expect(clippy::too_many_arguments, reason = "the loop variables of the whole nest")]
    unsafe fn tile(
        &self,
        block: &Block,
        rows: Range<usize>,
        columns: Range<usize>,
        vectors: usize,
        packed: *const P::Element,
        panel: *const P::Element,
        stride: isize,
    ) {
        let accumulate = block.depth.start > 0;
        let function = self.routines.tiles.of(rows.len(), vectors);
        let depth = block.depth.len();
        // SAFETY: the operands are packed, and the product vouches for the result.
        unsafe {
            if let Some((at, row_stride)) =
                self.product.result_in_place(block.batch, rows.start, columns.clone())
            {
                let target = Target { at, row_stride, columns: columns.len(), accumulate };
                return function(depth, packed, panel, stride, &target);
            }
            let width = vectors * self.routines.lanes;
            let target =
                Target { at: self.tile, row_stride: width as isize, columns: width, accumulate: false };
            function(depth, packed, panel, stride, &target);
            self.product.result_runs(block.batch, rows.start, columns, |before, target| {
                let target = Target { accumulate, ..target };
                (self.routines.add_tile)(rows.len(), self.tile.add(before), width, &target);
            });
        }
    }
}

/// The blocks of at most `size` of a range.
fn blocks_of(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(size).map(move |start| start..(start + size).min(end))
}
