//! Convolutions whose kernel is as large as an image and whose output is tiny: gradients of weights.
//!
//! Their columns are as expensive to pack as those of other convolutions, and the positions of the kernel, which vectors
//! could be read along, are the depth. So the roles are exchanged: vectors lie along the output channels, for which the
//! kernel, `dy`, is packed, once for all positions of the output; the input is read element by element where it is, in
//! a band of rows that is copied with its padding.
//!
//! ```text
//! y[o, c, r] = sum over n, q of dy[n, o, q] * x[n, c, r * stride + q * dilation - low]
//!               blocks of depth  packed      broadcast from the band
//! ```

use std::ops::Range;

use super::band::{Band, Rows};
use super::{Axis, BROADCAST_ROWS, ConvSpec, Convolution, MOST_DEPTH, SPATIAL_AXES};
use crate::kernels::gemm::nest::{self, Product};
use crate::kernels::gemm::tile::Target;
use crate::kernels::gemm::{Element, Routines};
use crate::kernels::part::{Epilogue, Part};

/// Bytes of results, which are added to for every block of depth.
const RESULT_BYTES: usize = 1 << 20;
/// With more output channels packing the columns is little of the work.
const MOST_CHANNELS: usize = 256;
/// The least positions of the kernel: fewer would be blocks of little depth.
const LEAST_DEPTH: usize = 64;

/// How a convolution is done this way. All sizes are in elements.
pub(super) struct Layout {
    /// The most rows of a tile.
    tile_rows: usize,
    /// The most columns of a tile.
    tile_columns: usize,
    /// Rows of the kernel in a block of depth.
    block_rows: usize,
    /// The band of all images for a block of depth.
    band: Rows,
    /// Elements of scratch for the band, the packed kernel and the results.
    scratch: [usize; 3],
    element_bytes: usize,
    lanes: usize,
}

impl Layout {
    /// Nothing where the kernel is small, the output large, or lanes would be wasted.
    pub fn new<T: Element>(routines: &Routines<T>, spec: &ConvSpec) -> Option<Layout> {
        let [outer, rows, columns] = &spec.axes;
        let extents = spec.extents();
        let element_bytes = size_of::<T>();
        let channels = extents.rows.next_multiple_of(routines.lanes);
        let results = extents.columns * channels;
        let kernel = rows.kernel * columns.kernel;
        if spec.axes.iter().any(|axis| axis.input_dilation != 1)
            || kernel < LEAST_DEPTH
            || spec.axes.iter().any(|axis| axis.output == 0 || axis.output > axis.kernel)
            || extents.rows > MOST_CHANNELS
            || channels * 3 > extents.rows * 4
            || results * element_bytes > RESULT_BYTES
        {
            return None;
        }
        let block_rows = (MOST_DEPTH / columns.kernel).clamp(1, rows.kernel);
        let block_rows = rows.kernel.div_ceil(rows.kernel.div_ceil(block_rows));
        let cover = |axis: &Axis, kernel: usize| {
            (kernel - 1) * axis.kernel_dilation + (axis.output - 1) * axis.stride + 1
        };
        let band = Rows { count: cover(rows, block_rows), width: cover(columns, columns.kernel) };
        let planes = spec.images * outer.output;
        let line = 64 / element_bytes;
        let tile_columns = routines.tiles.vectors() * routines.lanes;
        let scratch = [planes * band.count * band.width, block_rows * columns.kernel * channels, results]
            .map(|elements| (elements + tile_columns).next_multiple_of(line));
        Some(Layout {
            tile_rows: routines.tiles.rows().min(BROADCAST_ROWS),
            tile_columns,
            block_rows,
            band,
            scratch,
            element_bytes,
            lanes: routines.lanes,
        })
    }

    /// How many bytes of scratch a thread needs.
    pub fn scratch_bytes(&self, spec: &ConvSpec) -> usize {
        let shifts = self.block_rows * spec.axes[SPATIAL_AXES - 1].kernel;
        self.scratch.iter().sum::<usize>() * self.element_bytes + shifts * size_of::<isize>()
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
    let Some(share) = nest::share(convolution.routines, &spec.extents(), part) else { return };
    let [band, packed, results] = layout.scratch;
    let [outer, middle, inner] = &spec.axes;
    let depth = layout.block_rows * inner.kernel;
    // SAFETY: the scratch has room for all four, and the last begins at a cache line. Memory of any content is a slice
    // of integers once it is written.
    let (packed, results, shifts) = unsafe {
        let [packed, results, shifts] =
            [band, band + packed, band + packed + results].map(|before| scratch.add(before));
        let shifts = shifts.cast::<isize>();
        shifts.write_bytes(0, depth);
        (packed, results, std::slice::from_raw_parts_mut(shifts, depth))
    };
    for (p, shift) in shifts.iter_mut().enumerate() {
        let (row, column) =
            (p / inner.kernel * middle.kernel_dilation, p % inner.kernel * inner.kernel_dilation);
        *shift = (row * layout.band.width + column) as isize;
    }
    for group in share.batch {
        let weights = Weights {
            convolution,
            layout,
            group,
            channels: share.rows.clone(),
            columns: share.columns.clone(),
            band: scratch,
            packed,
            results,
        };
        let mut first = true;
        for channel in 0..spec.in_channels {
            for plane in 0..outer.kernel {
                for row in (0..middle.kernel).step_by(layout.block_rows) {
                    let rows = row..(row + layout.block_rows).min(middle.kernel);
                    // SAFETY: the caller's promises, and the room above.
                    unsafe { weights.block(channel, plane, rows, shifts, first) };
                    first = false;
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            weights.store();
            if let Some(epilogue) = epilogue {
                convolution.finish(group, share.rows.clone(), share.columns.clone(), epilogue);
            }
        }
    }
}

/// What the loops over one group have in common.
struct Weights<'a, T: Element> {
    convolution: &'a Convolution<'a, T>,
    layout: &'a Layout,
    group: usize,
    /// Output channels: along vectors.
    channels: Range<usize>,
    /// Images and positions of the output: the rows of tiles.
    columns: Range<usize>,
    band: *mut T,
    packed: *mut T,
    results: *mut T,
}

impl<T: Element> Weights<'_, T> {
    /// Images that there are columns of.
    fn images(&self) -> Range<usize> {
        let positions = self.convolution.spec.positions();
        self.columns.start / positions..(self.columns.end - 1) / positions + 1
    }

    /// Elements of a row of results.
    fn width(&self) -> usize {
        self.channels.len().next_multiple_of(self.layout.lanes)
    }

    /// Adds what rows of the kernel in one plane and one channel of the input give.
    unsafe fn block(&self, channel: usize, plane: usize, rows: Range<usize>, shifts: &[isize], first: bool) {
        let spec = self.convolution.spec;
        let [outer, middle, inner] = &spec.axes;
        let depth = rows.len() * inner.kernel;
        let images = self.images();
        let before = (self.group * spec.in_channels + channel) as isize * spec.x_channel;
        for image in images.clone() {
            for position in 0..outer.output {
                let offset = before + image as isize * spec.x_image;
                let band = Band {
                    axes: &spec.axes,
                    x: self.convolution.x.wrapping_offset(offset),
                    plane: position * outer.stride + plane * outer.kernel_dilation,
                    row: rows.start * middle.kernel_dilation,
                    rows: self.layout.band,
                };
                let to = ((image - images.start) * outer.output + position) * self.layout.band.elements();
                // SAFETY: the band has room for all images.
                unsafe { (self.convolution.routines.pad)(&band, self.band.add(to)) };
            }
        }
        // SAFETY: the caller's promises.
        unsafe {
            self.pack(((channel * outer.kernel + plane) * middle.kernel + rows.start) * inner.kernel, depth);
            self.multiply(&shifts[..depth], first);
        }
    }

    /// Packs the kernel from that depth on, columns of a tile after those of another.
    unsafe fn pack(&self, first: usize, depth: usize) {
        for channels in self.tiles(self.channels.clone(), self.layout.tile_columns) {
            let width = channels.len().next_multiple_of(self.layout.lanes);
            // SAFETY: there is room for all channels, filled up to a vector.
            unsafe {
                let panel = self.packed.add((channels.start - self.channels.start) * depth);
                self.convolution.pack_channels(self.group, channels, first..first + depth, panel, width);
            }
        }
    }

    unsafe fn multiply(&self, shifts: &[isize], first: bool) {
        let routines = self.convolution.routines;
        let tile_rows = self.columns.len().div_ceil(self.columns.len().div_ceil(self.layout.tile_rows));
        let width = self.width();
        for columns in self.tiles(self.columns.clone(), tile_rows) {
            let mut offsets = [0; BROADCAST_ROWS];
            for (offset, column) in offsets.iter_mut().zip(columns.clone()) {
                *offset = self.offset(column);
            }
            for channels in self.tiles(self.channels.clone(), self.layout.tile_columns) {
                let vectors = channels.len().div_ceil(self.layout.lanes);
                let before = channels.start - self.channels.start;
                // SAFETY: the results have room for all rows; the band holds what the windows of the columns cover.
                unsafe {
                    let target = Target {
                        at: self.results.add((columns.start - self.columns.start) * width + before),
                        row_stride: width as isize,
                        columns: vectors * self.layout.lanes,
                        accumulate: !first,
                    };
                    let panel = self.packed.add(before * shifts.len());
                    let tile = routines.tiles.broadcast_of(columns.len(), vectors);
                    let stride = (vectors * self.layout.lanes) as isize;
                    tile(self.band, &offsets[..columns.len()], shifts, panel, stride, &target);
                }
            }
        }
    }

    /// Where in the band the window of a column begins.
    fn offset(&self, column: usize) -> isize {
        let [outer, middle, inner] = &self.convolution.spec.axes;
        let band = &self.layout.band;
        let (row, column) = (column / inner.output, column % inner.output);
        let (plane, row) = (row / middle.output, row % middle.output);
        let plane = plane - self.images().start * outer.output;
        (plane * band.elements() + row * middle.stride * band.width + column * inner.stride) as isize
    }

    /// Writes the results where they belong.
    unsafe fn store(&self) {
        let width = self.width();
        for (i, channel) in self.channels.clone().enumerate() {
            for (j, column) in self.columns.clone().enumerate() {
                // SAFETY: both are within this share.
                unsafe {
                    *self.convolution.result(self.group, channel, column) = *self.results.add(j * width + i);
                }
            }
        }
    }

    fn tiles(&self, range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> + use<T> {
        let end = range.end;
        range.step_by(size).map(move |start| start..(start + size).min(end))
    }
}
