//! Convolutions with windows of 3 by 3 in fewer multiplications, after Winograd.
//!
//! S. Winograd, "Arithmetic Complexity of Computations", SIAM 1980, for convolutional layers A. Lavin and S. Gray, "Fast
//! Algorithms for Convolutional Neural Networks", CVPR 2016 (arXiv:1509.09308): four neighbouring outputs, a tile of 2 by
//! 2, are made of 4 by 4 inputs in 16 multiplications where the definition takes 36. Input and weights are transformed by
//! additions; summed over channels, each of the 16 positions is a product of matrices; a transformation back gives the
//! outputs:
//!
//! ```text
//! v[k][o, c] = (G g G')[k]      u[k][c, t] = (B' d B)[k]      m[k] = v[k] u[k]      y[o, t] = A' m[.][o, t] A
//! ```
//!
//! Larger tiles save more but lose digits: with these, every constant is 1 or 1/2, and the error is that of the sums,
//! of some more terms. What the definition does not promise is lost: an infinite input makes all outputs of its tiles
//! NaN, also those whose window does not cover it.
//!
//! Tiles are taken row by row, of several images if these are small; what is computed of a block of them stays in the
//! second cache. All vectors lie along the tiles of a row.

use std::ops::Range;

use super::band::{Band, Rows};
use super::{Axis, ConvSpec, Convolution, MOST_DEPTH};
use crate::kernels::gemm::nest::Product;
use crate::kernels::gemm::tile::Target;
use crate::kernels::gemm::{Element, Routines};
use crate::kernels::part::{Costs, Epilogue, Part, Share};
use transform::{OutputTiles, POSITIONS, Tiles, WeightTiles};

pub(super) mod gradient;
pub(in crate::kernels) mod transform;

/// Fewer channels are not worth the transformations.
const LEAST_CHANNELS: usize = 16;
/// Bytes of the transformed input of a block of tiles: most of a second cache of 1 MB.
const INPUT_BYTES: usize = 512 << 10;
/// Bytes of the products that are transformed back at once.
const PRODUCT_BYTES: usize = 256 << 10;
/// The least tiles of all images: transforming large weights takes as long as some 60 tiles save.
const LEAST_TILES: usize = 128;
/// The most bytes of transformed weights.
const WEIGHT_BYTES: usize = 32 << 20;
/// The least tiles in a block, in vectors, whatever they take: the weights are read once for each block.
const LEAST_VECTORS: usize = 8;
/// Positions of a window.
const WINDOW: usize = 9;

/// Whether at most a quarter of the outputs of tiles is thrown away: 36 multiplications for 16 is what whole ones save.
fn fits(tiles: [usize; 2], outputs: usize) -> bool {
    outputs > 0 && tiles[0] * tiles[1] * 4 * 3 <= outputs * 4
}

/// How a convolution is done this way. All sizes are in elements.
pub(super) struct Layout {
    /// Tiles of an image: rows and columns.
    tiles: [usize; 2],
    /// Rows of tiles in a block, of one image or several.
    block_rows: usize,
    /// Tiles of a block, filled up to vectors.
    width: usize,
    /// Output channels that are transformed back at once.
    channels: usize,
    /// The most rows of a tile of the products.
    tile_rows: usize,
    tile_columns: usize,
    /// From a position to the next in the transformed weights, the transformed input and the products.
    planes: [usize; 3],
    /// Elements of scratch for the packed weights of a tile of the products, the three above, and a band.
    scratch: [usize; 5],
    element_bytes: usize,
}

impl Layout {
    /// Nothing where windows are others, there are few channels, or much of the tiles would be thrown away.
    pub fn new<T: Element>(routines: &Routines<T>, spec: &ConvSpec) -> Option<Layout> {
        let [outer, rows, columns] = &spec.axes;
        let is_three = |axis: &Axis| {
            axis.kernel == 3 && axis.stride == 1 && axis.input_dilation == 1 && axis.kernel_dilation == 1
        };
        let element_bytes = size_of::<T>();
        let (depth, height) = (spec.in_channels, spec.out_channels);
        if !outer.is_pointwise()
            || outer.output != 1
            || !is_three(rows)
            || !is_three(columns)
            || depth < LEAST_CHANNELS
            || height < LEAST_CHANNELS
            || POSITIONS * depth * height * element_bytes > WEIGHT_BYTES
        {
            return None;
        }
        let tiles = [rows.output.div_ceil(2), columns.output.div_ceil(2)];
        if !fits(tiles, rows.output * columns.output) || spec.images * tiles[0] * tiles[1] < LEAST_TILES {
            return None;
        }
        let lanes = routines.lanes;
        let most_tiles = (INPUT_BYTES / element_bytes / (POSITIONS * depth)).max(LEAST_VECTORS * lanes);
        let block_rows = (most_tiles / tiles[1]).min(spec.images * tiles[0]).max(1);
        let width = (block_rows * tiles[1]).next_multiple_of(lanes);
        let tile_rows = routines.tiles.rows();
        let at_once = PRODUCT_BYTES / element_bytes / (POSITIONS * width);
        let channels = (at_once / tile_rows).max(1) * tile_rows;
        // Vectors are written whole; what is too much of the last is behind the plane.
        let line = 64 / element_bytes;
        let whole = |elements: usize| (elements + 2 * lanes).next_multiple_of(line);
        let planes = [height * depth, depth * width, channels.min(height) * width].map(whole);
        let band = (2 * block_rows.min(tiles[0]) + 2) * (2 * tiles[1] + 2);
        let [v, u, m] = planes.map(|plane| POSITIONS * plane);
        // Tiles of the last vector of a row are made of what is behind the band.
        let scratch = [whole(tile_rows * depth * WINDOW), v, u, m, whole(band + 2 * lanes)];
        let tile_columns = routines.tiles.vectors() * lanes;
        Some(Layout {
            tiles,
            block_rows,
            width,
            channels,
            tile_rows,
            tile_columns,
            planes,
            scratch,
            element_bytes,
        })
    }

    /// How many bytes of scratch a thread needs.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.iter().sum::<usize>() * self.element_bytes
    }

    /// The share of `part`, if there is any, with rows of tiles of all images as columns.
    fn share(&self, spec: &ConvSpec, part: Part) -> Option<Share> {
        let [rows, columns] = self.tiles;
        let costs = Costs { tile_rows: self.tile_rows, column_unit: columns };
        let extents = [spec.groups, spec.out_channels, spec.images * rows * columns];
        let share = costs.share(extents, spec.in_channels, part)?;
        Some(Share { columns: share.columns.start / columns..share.columns.end / columns, ..share })
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
    let Some(share) = layout.share(convolution.spec, part) else { return };
    let mut free = scratch;
    let [panel, weights, input, products, band] = layout.scratch.map(|elements| {
        let start = free;
        free = free.wrapping_add(elements);
        start
    });
    for group in share.batch {
        let channels = share.rows.clone();
        let winograd =
            Winograd { convolution, layout, epilogue, group, channels, weights, input, products, band };
        // SAFETY: the caller's promises, and the room of the layout.
        unsafe {
            winograd.transform_weights(panel);
            let mut row = share.columns.start;
            while row < share.columns.end {
                let rows = row..(row + layout.block_rows).min(share.columns.end);
                winograd.transform_input(rows.clone());
                winograd.multiply(rows.clone());
                row = rows.end;
            }
        }
    }
}

/// Rows of tiles cut at the borders between images of so many: the image, and rows within it.
fn images(per_image: usize, rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut start = rows.start;
    std::iter::from_fn(move || {
        let image = start / per_image;
        let end = ((image + 1) * per_image).min(rows.end);
        let within = start - image * per_image..end - image * per_image;
        start = end;
        (!within.is_empty()).then_some((image, within))
    })
}

/// Transforms one channel of these rows of tiles; `offset` is where it begins in an image.
///
/// # Safety
///
/// The convolution is valid; the band has room for the rows of an image and a vector on each side of its end, the result
/// for all tiles, in planes of that size.
unsafe fn transform_input<T: Element>(
    convolution: &Convolution<'_, T>,
    [per_image, columns]: [usize; 2],
    rows: Range<usize>,
    offset: impl Fn(usize) -> isize,
    band: *mut T,
    mut to: *mut T,
    plane: usize,
) {
    for (image, within) in images(per_image, rows) {
        let source = Band {
            axes: &convolution.spec.axes,
            x: convolution.x.wrapping_offset(offset(image)),
            plane: 0,
            row: 2 * within.start,
            rows: Rows { count: 2 * within.len() + 2, width: 2 * columns + 2 },
        };
        // SAFETY: the caller's promises.
        unsafe {
            (convolution.routines.pad)(&source, band);
            (convolution.routines.winograd_input)(&Tiles { rows: within.len(), columns, plane }, band, to);
        }
        to = to.wrapping_add(within.len() * columns);
    }
}

/// What the loops over one group have in common.
struct Winograd<'a, T: Element> {
    convolution: &'a Convolution<'a, T>,
    layout: &'a Layout,
    epilogue: Option<&'a Epilogue>,
    group: usize,
    /// The output channels of the share.
    channels: Range<usize>,
    weights: *mut T,
    input: *mut T,
    products: *mut T,
    band: *mut T,
}

impl<T: Element> Winograd<'_, T> {
    /// These channels cut into the rows of tiles of the products.
    fn row_blocks(&self, channels: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<T> {
        let (end, tile_rows) = (channels.end, self.layout.tile_rows);
        channels.step_by(tile_rows).map(move |start| start..(start + tile_rows).min(end))
    }

    /// Transforms the weights, at each position those of a tile of the products after those of another.
    unsafe fn transform_weights(&self, panel: *mut T) {
        let depth = self.convolution.spec.in_channels;
        for channels in self.row_blocks(self.channels.clone()) {
            // SAFETY: the panel has room for the rows of a tile, and the weights for all channels.
            unsafe {
                self.convolution.pack_rows(self.group, channels.clone(), 0..depth * WINDOW, panel);
                let tiles = WeightTiles { depth, rows: channels.len(), plane: self.layout.planes[0] };
                let to = self.weights.add((channels.start - self.channels.start) * depth);
                (self.convolution.routines.winograd_weights)(&tiles, panel, to);
            }
        }
    }

    /// Transforms the input of these rows of tiles, one channel after the other.
    unsafe fn transform_input(&self, rows: Range<usize>) {
        let (layout, spec) = (self.layout, self.convolution.spec);
        for channel in 0..spec.in_channels {
            let offset = (self.group * spec.in_channels + channel) as isize * spec.x_channel;
            let image = |image| offset + image as isize * spec.x_image;
            let to = self.input.wrapping_add(channel * layout.width);
            // SAFETY: the band has room for the rows of a block, the input for all tiles of it.
            unsafe {
                transform_input(
                    self.convolution,
                    layout.tiles,
                    rows.clone(),
                    image,
                    self.band,
                    to,
                    layout.planes[1],
                )
            }
        }
    }

    /// Computes the outputs of these rows of tiles.
    unsafe fn multiply(&self, rows: Range<usize>) {
        let n_tiles = rows.len() * self.layout.tiles[1];
        let mut start = self.channels.start;
        while start < self.channels.end {
            let channels = start..(start + self.layout.channels).min(self.channels.end);
            // SAFETY: the caller's promises; weights and input are there.
            unsafe {
                for position in 0..POSITIONS {
                    for block in self.row_blocks(channels.clone()) {
                        self.product(position, start, block, n_tiles);
                    }
                }
                self.transform_output(channels.clone(), rows.clone());
            }
            start = channels.end;
        }
    }

    /// The product at a position, for the channels of one tile of it; `first` is the first channel of the products.
    unsafe fn product(&self, position: usize, first: usize, channels: Range<usize>, n_tiles: usize) {
        let (routines, layout) = (self.convolution.routines, self.layout);
        let depth = self.convolution.spec.in_channels;
        let [v, u, m] = layout.planes.map(|plane| plane * position);
        let (height, width) = (channels.len(), layout.width as isize);
        let depth_block = depth.div_ceil(depth.div_ceil(MOST_DEPTH));
        for column in (0..n_tiles).step_by(layout.tile_columns) {
            let vectors = (n_tiles - column).min(layout.tile_columns).div_ceil(routines.lanes);
            let tile = routines.tiles.of(height, vectors);
            for p in (0..depth).step_by(depth_block) {
                // SAFETY: all are within their planes, whose rows are whole vectors.
                unsafe {
                    let rows =
                        self.weights.add(v + (channels.start - self.channels.start) * depth + p * height);
                    let columns = self.input.add(u + p * layout.width + column);
                    let target = Target {
                        at: self.products.add(m + (channels.start - first) * layout.width + column),
                        row_stride: width,
                        columns: vectors * routines.lanes,
                        accumulate: p > 0,
                    };
                    tile(depth_block.min(depth - p), rows, columns, width, &target);
                }
            }
        }
    }

    /// Transforms the products of these channels back, and finishes what they become.
    unsafe fn transform_output(&self, channels: Range<usize>, rows: Range<usize>) {
        let (convolution, layout) = (self.convolution, self.layout);
        let [_, height, width] = convolution.spec.axes.map(|axis| axis.output);
        let columns = layout.tiles[1];
        let mut before = 0;
        for (image, within) in images(layout.tiles[0], rows) {
            let (begin, end) = (2 * within.start, (2 * within.end).min(height));
            let tiles = OutputTiles { rows: end - begin, columns: width, plane: layout.planes[2] };
            let first = image * height * width;
            // SAFETY: the products of these tiles are there, and the rows are of the result.
            unsafe {
                for channel in channels.clone() {
                    let from = self.products.add((channel - channels.start) * layout.width + before);
                    let to = convolution.result(self.group, channel, first + begin * width);
                    (convolution.routines.winograd_output)(&tiles, from, to);
                }
                if let Some(epilogue) = self.epilogue {
                    let columns = first + begin * width..first + end * width;
                    convolution.finish(self.group, channels.clone(), columns, epilogue);
                }
            }
            before += within.len() * columns;
        }
    }
}
