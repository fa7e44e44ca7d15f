//! Convolutions of few output channels, whose columns are read where they are instead of being packed.
//!
//! Packing costs as much as some 15 rows of multiply-adds, so that with 32 or 64 output channels it is a large part of
//! the work. Where the window moves by single elements it can be avoided. A band of rows of the input is copied once,
//! with its padding, in rows of `width` elements, as many as a row of the output and its windows cover. Then what all
//! positions of the output see at one position of the kernel is the band itself, shifted:
//!
//! ```text
//! y[row * width + column] = sum of w[c, i, j] * band[c][(row + i) * width + column + j]
//! ```
//!
//! The tiles read vectors at any place of it; a table has the shift of every depth. They run over the borders between
//! rows: a few positions at the end of each row, which no output has, are computed and thrown away.

use std::ops::Range;

use super::band::{Band, Rows};
use super::{Axis, ConvSpec, Convolution, MOST_DEPTH, SPATIAL_AXES};
use crate::kernels::gemm::nest;
use crate::kernels::gemm::nest::Product;
use crate::kernels::gemm::tile::Target;
use crate::kernels::gemm::{Element, Routines};
use crate::kernels::part::{Epilogue, Part};

/// Packing a vector of columns costs as much as so many rows of multiply-adds.
const PACKING: usize = 15;
/// Bytes of a band: with the weights and a region of the result it stays in a second cache of 1 MB.
const BAND_BYTES: usize = 256 << 10;
/// Bytes of packed weights, which all bands use.
const WEIGHT_BYTES: usize = 512 << 10;
/// The least rows of the output in a band, since the rows above and below are copied again for the next.
const LEAST_ROWS: usize = 4;
/// Bytes of a region that is finished at once: written and still in the second cache.
const REGION_BYTES: usize = 128 << 10;

/// How a convolution is done this way. All sizes are in elements.
pub(super) struct Layout {
    /// The most rows of a tile.
    tile_rows: usize,
    /// The most columns of a tile.
    tile_columns: usize,
    /// Positions in a row of the band.
    width: usize,
    /// The most rows of the output that a band is for.
    band_rows: usize,
    /// Rows of the input that the window covers beyond those of the output.
    reach: usize,
    /// Elements of one plane of the band: a channel at one position of the outermost axis of the kernel.
    plane: usize,
    /// Elements of scratch for the temporary tile, the packed weights and the band.
    scratch: [usize; 3],
    element_bytes: usize,
    depth: usize,
}

impl Layout {
    /// Nothing where the window moves otherwise, the weights are too large, or too much would be thrown away.
    pub fn new<T: Element>(routines: &Routines<T>, spec: &ConvSpec) -> Option<Layout> {
        let [_, rows, columns] = &spec.axes;
        let unit = |axis: &Axis| axis.stride == 1 && axis.input_dilation == 1 && axis.output > 0;
        let extents = spec.extents();
        let weights = extents.rows * extents.depth;
        let element_bytes = size_of::<T>();
        if !spec.axes.iter().all(unit) || extents.depth == 0 || weights * element_bytes > WEIGHT_BYTES {
            return None;
        }
        let reach_of = |axis: &Axis| (axis.kernel - 1) * axis.kernel_dilation;
        let (width, reach) = (columns.output + reach_of(columns), reach_of(rows));
        let thrown_away = extents.rows * reach_of(columns);
        let planes = spec.in_channels * spec.axes[0].kernel;
        let fitting = (BAND_BYTES / element_bytes / (planes * width)).saturating_sub(reach);
        if thrown_away > PACKING * columns.output || fitting < LEAST_ROWS.min(rows.output) {
            return None;
        }
        let band_rows = rows.output.div_ceil(rows.output.div_ceil(fitting));
        let plane = (band_rows + reach) * width;
        let tile_rows = routines.tiles.rows();
        let tile_columns = routines.tiles.vectors() * routines.lanes;
        // The last tile reads beyond the band, and packing writes whole vectors.
        let slack = 2 * tile_columns;
        let line = 64 / element_bytes;
        let scratch = [tile_rows * tile_columns, weights, planes * plane]
            .map(|elements| (elements + slack).next_multiple_of(line));
        let depth = extents.depth;
        Some(Layout {
            tile_rows,
            tile_columns,
            width,
            band_rows,
            reach,
            plane,
            scratch,
            element_bytes,
            depth,
        })
    }

    /// How many bytes of scratch a thread needs.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.iter().sum::<usize>() * self.element_bytes + self.depth * size_of::<isize>()
    }

    /// How many bands an image has.
    #[cfg(test)]
    pub fn n_bands(&self, spec: &ConvSpec) -> usize {
        spec.axes[1].output.div_ceil(self.band_rows)
    }

    /// Where the vectors of each depth are, from those of the first.
    fn shifts(&self, spec: &ConvSpec, shifts: &mut [isize]) {
        let [outer, middle, inner] = &spec.axes;
        let kernel = middle.kernel * inner.kernel;
        debug_assert_eq!(shifts.len(), spec.in_channels * outer.kernel * kernel, "a shift for each depth");
        for (depth, shift) in shifts.iter_mut().enumerate() {
            let (plane, row, column) =
                (depth / kernel, depth / inner.kernel % middle.kernel, depth % inner.kernel);
            let in_plane = row * middle.kernel_dilation * self.width + column * inner.kernel_dilation;
            *shift = (plane * self.plane + in_plane) as isize;
        }
    }
}

/// Computes the part of the convolution.
///
/// # Safety
///
/// The convolution is valid, the layout is its own; `scratch` has [`Layout::scratch_bytes`], is aligned to cache lines
/// and used by no one else; the machine has the instruction set of the routines.
pub(super) unsafe fn run<T: Element>(
    convolution: &Convolution<'_, T>,
    layout: &Layout,
    scratch: *mut T,
    part: Part,
    epilogue: Option<&Epilogue>,
) {
    let spec = convolution.spec;
    let extents = spec.extents();
    let Some(share) = nest::share(convolution.routines, &extents, part) else { return };
    let [tile, weights, band] = layout.scratch;
    // SAFETY: the scratch has room for all four, and the last begins at a cache line.
    let (weights, band, shifts) = unsafe {
        let [weights, band, shifts] = [tile, tile + weights, tile + weights + band].map(|n| scratch.add(n));
        let shifts = shifts.cast::<isize>();
        // Memory of any content is a slice of integers once it is written.
        shifts.write_bytes(0, extents.depth);
        (weights, band, std::slice::from_raw_parts_mut(shifts, extents.depth))
    };
    layout.shifts(spec, shifts);
    let tile_rows = share.rows.len().div_ceil(share.rows.len().div_ceil(layout.tile_rows));
    let depth_block = extents.depth.div_ceil(extents.depth.div_ceil(MOST_DEPTH));
    let positions = spec.axes[1].output * spec.axes[2].output;
    let planes = spec.axes[0].output;
    for group in share.batch {
        let rows = share.rows.clone();
        let direct = Direct {
            convolution,
            layout,
            epilogue,
            shifts,
            group,
            rows,
            tile_rows,
            depth_block,
            tile: scratch,
        };
        // SAFETY: the caller's promises, and the room above.
        unsafe {
            direct.pack_weights(weights);
            let mut column = share.columns.start;
            while column < share.columns.end {
                let (plane, first) = (column / positions, column % positions);
                let row = first / spec.axes[2].output;
                let row_end = ((row / layout.band_rows + 1) * layout.band_rows).min(spec.axes[1].output);
                let end = (plane * positions + row_end * spec.axes[2].output).min(share.columns.end);
                let rows = row..(end - 1) % positions / spec.axes[2].output + 1;
                direct.copy_band(plane / planes, plane % planes, rows, band);
                direct.multiply(weights, band, column..end);
                column = end;
            }
        }
    }
}

/// What the loops over one group have in common.
struct Direct<'a, T: Element> {
    convolution: &'a Convolution<'a, T>,
    layout: &'a Layout,
    epilogue: Option<&'a Epilogue>,
    shifts: &'a [isize],
    group: usize,
    rows: Range<usize>,
    tile_rows: usize,
    depth_block: usize,
    tile: *mut T,
}

impl<T: Element> Direct<'_, T> {
    fn row_blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.rows.end;
        self.rows.clone().step_by(self.tile_rows).map(move |start| start..(start + self.tile_rows).min(end))
    }

    /// The weights of a tile after those of another, each through the whole depth.
    unsafe fn pack_weights(&self, weights: *mut T) {
        let depth = self.shifts.len();
        for rows in self.row_blocks() {
            // SAFETY: there is room for all rows.
            unsafe {
                let panel = weights.add((rows.start - self.rows.start) * depth);
                self.convolution.pack_rows(self.group, rows, 0..depth, panel);
            }
        }
    }

    /// Copies the rows that the windows of these rows of the output cover, in all channels.
    unsafe fn copy_band(&self, image: usize, outer: usize, rows: Range<usize>, to: *mut T) {
        let convolution = self.convolution;
        let (spec, axis) = (convolution.spec, &convolution.spec.axes[0]);
        let count = rows.len() + self.layout.reach;
        for channel in 0..spec.in_channels {
            let offset = image as isize * spec.x_image
                + (self.group * spec.in_channels + channel) as isize * spec.x_channel;
            for position in 0..axis.kernel {
                let band = Band {
                    axes: &spec.axes,
                    x: convolution.x.wrapping_offset(offset),
                    plane: outer + position * axis.kernel_dilation,
                    row: rows.start,
                    rows: Rows { count, width: self.layout.width },
                };
                // SAFETY: there is room for all planes and two tiles of slack.
                unsafe {
                    let to = to.add((channel * axis.kernel + position) * self.layout.plane);
                    (convolution.routines.pad)(&band, to);
                }
            }
        }
    }

    /// Computes these columns, which are in rows of one band.
    unsafe fn multiply(&self, weights: *const T, band: *const T, columns: Range<usize>) {
        let (width, extent) = (self.layout.width, self.convolution.spec.axes[SPATIAL_AXES - 1].output);
        // Positions in the band are counted from the beginning of the row of the first column.
        let before = columns.start - columns.start % extent;
        let padded = |column: usize| (column - before) / extent * width + (column - before) % extent;
        let column_of = |position: usize| before + position / width * extent + (position % width).min(extent);
        let end = padded(columns.end - 1) + 1;
        let region = (REGION_BYTES / size_of::<T>() / self.rows.len()).max(self.layout.tile_columns);
        let mut finished = columns.start;
        for start in (padded(columns.start)..end).step_by(self.layout.tile_columns) {
            let positions = start..(start + self.layout.tile_columns).min(end);
            let last = column_of(positions.end);
            // SAFETY: the caller's promises; the band holds what the windows of these positions cover.
            unsafe {
                for rows in self.row_blocks() {
                    let panel = weights.add((rows.start - self.rows.start) * self.shifts.len());
                    let vectors = positions.len().div_ceil(self.convolution.routines.lanes);
                    self.tile(rows.len(), vectors, panel, band.add(start));
                    self.store(rows, before, positions.clone(), vectors);
                }
                if let Some(epilogue) = self.epilogue
                    && (positions.end == end || last - finished >= region)
                {
                    self.convolution.finish(self.group, self.rows.clone(), finished..last, epilogue);
                    finished = last;
                }
            }
        }
    }

    /// Computes the temporary tile.
    unsafe fn tile(&self, rows: usize, vectors: usize, mut panel: *const T, band: *const T) {
        let routines = self.convolution.routines;
        let function = routines.tiles.scattered_of(rows, vectors);
        let width = vectors * routines.lanes;
        for (block, shifts) in self.shifts.chunks(self.depth_block).enumerate() {
            let target =
                Target { at: self.tile, row_stride: width as isize, columns: width, accumulate: block > 0 };
            // SAFETY: the caller's promises; the temporary tile has room for the largest.
            unsafe {
                function(panel, band, shifts, &target);
                panel = panel.add(rows * shifts.len());
            }
        }
    }

    /// Copies what outputs have of the temporary tile to the result, row of the output by row.
    unsafe fn store(&self, rows: Range<usize>, before: usize, positions: Range<usize>, vectors: usize) {
        let convolution = self.convolution;
        let (width, extent) = (self.layout.width, convolution.spec.axes[SPATIAL_AXES - 1].output);
        for row in positions.start / width..=(positions.end - 1) / width {
            let begin = positions.start.max(row * width);
            let end = positions.end.min(row * width + extent);
            if begin >= end {
                continue;
            }
            let column = before + row * extent + (begin - row * width);
            let target = Target {
                at: convolution.result(self.group, rows.start, column),
                row_stride: convolution.spec.y_channel,
                columns: end - begin,
                accumulate: false,
            };
            // SAFETY: the caller's promises; these columns are next to one another in one row of the result.
            unsafe {
                let from = self.tile.add(begin - positions.start);
                (convolution.routines.add_tile)(
                    rows.len(),
                    from,
                    vectors * convolution.routines.lanes,
                    &target,
                );
            }
        }
    }
}
