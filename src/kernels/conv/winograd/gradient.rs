//! Gradients of weights of windows of 3 by 3 in fewer multiplications: see the module above.
//!
//! They are convolutions whose kernel is the gradient of the output, as large as an image, and whose output is 3 by 3. The
//! transposed transformations make products of matrices of them whose depth are the tiles of all images:
//!
//! ```text
//! z[k][o, t] = (A dy A')[k]      u[k][c, t] = (B' d B)[k]      m[k] = z[k] u[k]'      dw[o, c] = G' m[.][o, c] G
//! ```
//!
//! Both are transformed for a block of tiles, which is the depth of a block of the products; the columns, input channels,
//! are packed for each position, the rows are read where they are.

use std::ops::Range;

use super::transform::{POSITIONS, Tiles, Windows};
use super::{LEAST_CHANNELS, LEAST_TILES, WINDOW, fits, images, transform_input};
use crate::kernels::conv::band::{Band, Rows};
use crate::kernels::conv::{Axis, BROADCAST_ROWS, ConvSpec, Convolution, MOST_DEPTH, SPATIAL_AXES};
use crate::kernels::gemm::nest::Product;
use crate::kernels::gemm::pack::Source;
use crate::kernels::gemm::tile::Target;
use crate::kernels::gemm::{Element, Routines};
use crate::kernels::part::{Costs, Epilogue, Part};

/// Bytes of what is transformed of a block of tiles.
const BLOCK_BYTES: usize = 1 << 20;
/// The least tiles in a block, whatever they take: products are added to memory once for each.
const LEAST_DEPTH: usize = 128;
/// The most bytes of products.
const PRODUCT_BYTES: usize = 32 << 20;

/// How a gradient is computed this way. All sizes are in elements.
pub(in crate::kernels::conv) struct Layout {
    /// Tiles of an image: rows and columns.
    tiles: [usize; 2],
    /// Rows of tiles in a block.
    block_rows: usize,
    /// Tiles of a block, filled up to vectors.
    depth: usize,
    tile_rows: usize,
    tile_columns: usize,
    /// Input channels, filled up to vectors.
    width: usize,
    /// From a position to the next in the transformed input, the transformed gradient and the products.
    planes: [usize; 3],
    /// Elements of scratch for these three, a packed panel, and a band.
    scratch: [usize; 5],
    element_bytes: usize,
    lanes: usize,
}

impl Layout {
    /// Nothing where this is not such a gradient, there are few channels, or much of the tiles would be nothing.
    pub fn new<T: Element>(routines: &Routines<T>, spec: &ConvSpec) -> Option<Layout> {
        let [outer, rows, columns] = &spec.axes;
        let is_three = |axis: &Axis| {
            axis.output == 3 && axis.stride == 1 && axis.input_dilation == 1 && axis.kernel_dilation == 1
        };
        let element_bytes = size_of::<T>();
        let lanes = routines.lanes;
        let (width, height) = (spec.images.next_multiple_of(lanes), spec.out_channels);
        let tiles = [rows.kernel.div_ceil(2), columns.kernel.div_ceil(2)];
        if !outer.is_pointwise()
            || outer.output != 1
            || !is_three(rows)
            || !is_three(columns)
            || spec.images < LEAST_CHANNELS
            || height < LEAST_CHANNELS
            || spec.in_channels * tiles[0] * tiles[1] < LEAST_TILES
            || !fits(tiles, rows.kernel * columns.kernel)
            || POSITIONS * width * height * element_bytes > PRODUCT_BYTES
        {
            return None;
        }
        let most_tiles = BLOCK_BYTES / element_bytes / (POSITIONS * (width + height));
        let most_tiles = most_tiles.clamp(LEAST_DEPTH, MOST_DEPTH);
        if tiles[1] > most_tiles {
            return None;
        }
        let block_rows = (most_tiles / tiles[1]).min(spec.in_channels * tiles[0]);
        let depth = (block_rows * tiles[1]).next_multiple_of(lanes);
        let tile_columns = routines.tiles.vectors() * lanes;
        let line = 64 / element_bytes;
        let whole = |elements: usize| (elements + 2 * lanes).next_multiple_of(line);
        let planes = [spec.images * depth, height * depth, height * width].map(whole);
        let band = (2 * block_rows.min(tiles[0]) + 2) * (2 * tiles[1] + 2);
        let [u, z, m] = planes.map(|plane| POSITIONS * plane);
        let scratch = [u, z, m, whole(depth * tile_columns), whole(band + 2 * lanes)];
        Some(Layout {
            tiles,
            block_rows,
            depth,
            tile_rows: routines.tiles.rows().min(BROADCAST_ROWS),
            tile_columns,
            width,
            planes,
            scratch,
            element_bytes,
            lanes,
        })
    }

    /// How many bytes of scratch a thread needs.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.iter().sum::<usize>() * self.element_bytes
    }
}

/// Computes the part of the gradient.
///
/// # Safety
///
/// The convolution is valid, the layout is its own; `scratch` has [`Layout::scratch_bytes`], is aligned to cache lines
/// and used by no one else; the machine has the instruction set of the routines.
pub(in crate::kernels::conv) unsafe fn run<T: Element>(
    convolution: &Convolution<'_, T>,
    layout: &Layout,
    scratch: *mut T,
    part: Part,
    epilogue: Option<&Epilogue>,
) {
    let spec = convolution.spec;
    let costs = Costs { tile_rows: layout.tile_rows, column_unit: layout.lanes };
    let extents = [spec.groups, spec.out_channels, spec.images];
    let n_rows = spec.in_channels * layout.tiles[0];
    let Some(share) = costs.share(extents, n_rows * layout.tiles[1], part) else { return };
    let mut free = scratch;
    let [input, cotangent, products, panel, band] = layout.scratch.map(|elements| {
        let start = free;
        free = free.wrapping_add(elements);
        start
    });
    let (outputs, inputs) = (share.rows.clone(), share.columns.clone());
    // The depths of the rows follow one another.
    let depths: [isize; MOST_DEPTH] = std::array::from_fn(|p| p as isize);
    for group in share.batch {
        let gradient = Gradient {
            convolution,
            layout,
            group,
            outputs: outputs.clone(),
            inputs: inputs.clone(),
            input,
            cotangent,
            products,
            panel,
            band,
        };
        for row in (0..n_rows).step_by(layout.block_rows) {
            let rows = row..(row + layout.block_rows).min(n_rows);
            // SAFETY: the caller's promises, and the room of the layout.
            unsafe {
                gradient.transform(rows.clone());
                gradient.multiply(&depths[..rows.len() * layout.tiles[1]], row == 0);
            }
        }
        // SAFETY: as above.
        unsafe {
            gradient.transform_back();
            if let Some(epilogue) = epilogue {
                let columns = inputs.start * WINDOW..inputs.end * WINDOW;
                convolution.finish(group, outputs.clone(), columns, epilogue);
            }
        }
    }
}

/// What the loops over one group have in common.
struct Gradient<'a, T: Element> {
    convolution: &'a Convolution<'a, T>,
    layout: &'a Layout,
    group: usize,
    /// The output channels of the share: rows of the products.
    outputs: Range<usize>,
    /// The input channels of the share: columns.
    inputs: Range<usize>,
    input: *mut T,
    cotangent: *mut T,
    products: *mut T,
    panel: *mut T,
    band: *mut T,
}

impl<T: Element> Gradient<'_, T> {
    /// Transforms the input and the gradient of the output of these rows of tiles.
    unsafe fn transform(&self, rows: Range<usize>) {
        let (convolution, layout) = (self.convolution, self.layout);
        let spec = convolution.spec;
        for (i, channel) in self.inputs.clone().enumerate() {
            let offset = |image| {
                (self.group * spec.in_channels + image) as isize * spec.x_channel
                    + channel as isize * spec.x_image
            };
            let to = self.input.wrapping_add(i * layout.depth);
            // SAFETY: the band has room for the rows of a block, the input for all tiles of it.
            unsafe {
                let rows = rows.clone();
                transform_input(convolution, layout.tiles, rows, offset, self.band, to, layout.planes[0]);
            }
        }
        for (i, channel) in self.outputs.clone().enumerate() {
            // SAFETY: as above.
            unsafe {
                let to = self.cotangent.add(i * layout.depth);
                self.transform_cotangent(channel, rows.clone(), to);
            }
        }
    }

    /// Transforms one channel of the gradient of the output.
    unsafe fn transform_cotangent(&self, channel: usize, rows: Range<usize>, mut to: *mut T) {
        let (convolution, layout) = (self.convolution, self.layout);
        let spec = convolution.spec;
        // An image of it is the kernel of this convolution.
        let axes: [Axis; SPATIAL_AXES] =
            spec.axes.map(|axis| Axis { input: axis.kernel, x: axis.w, ..Axis::NONE });
        let columns = layout.tiles[1];
        let first = (self.group * spec.out_channels + channel) as isize * spec.w_out;
        for (image, within) in images(layout.tiles[0], rows) {
            let band = Band {
                axes: &axes,
                x: convolution.w.wrapping_offset(first + image as isize * spec.w_in),
                plane: 0,
                row: 2 * within.start,
                rows: Rows { count: 2 * within.len(), width: 2 * columns },
            };
            let tiles = Tiles { rows: within.len(), columns, plane: layout.planes[1] };
            // SAFETY: the caller's promises.
            unsafe {
                (convolution.routines.pad)(&band, self.band);
                (convolution.routines.winograd_cotangent)(&tiles, self.band, to);
            }
            to = to.wrapping_add(tiles.rows * columns);
        }
    }

    /// Adds the products of a block of tiles.
    unsafe fn multiply(&self, depths: &[isize], first: bool) {
        let (routines, layout) = (self.convolution.routines, self.layout);
        let (height, width) = (self.outputs.len(), self.inputs.len());
        let tile_rows = height.div_ceil(height.div_ceil(layout.tile_rows));
        let offsets: [isize; BROADCAST_ROWS] = std::array::from_fn(|i| (i * layout.depth) as isize);
        for position in 0..POSITIONS {
            let [u, z, m] = layout.planes.map(|plane| plane * position);
            for column in (0..width).step_by(layout.tile_columns) {
                let lines = (width - column).min(layout.tile_columns);
                let vectors = lines.div_ceil(layout.lanes);
                let panel_width = vectors * layout.lanes;
                // SAFETY: all are within their planes, the products filled up to vectors.
                unsafe {
                    let source = Source {
                        at: self.input.add(u + column * layout.depth).cast_const(),
                        line_stride: layout.depth as isize,
                        depth_stride: 1,
                        lines,
                        depth: depths.len(),
                    };
                    (routines.pack)(&source, self.panel, panel_width);
                    for row in (0..height).step_by(tile_rows) {
                        let rows = tile_rows.min(height - row);
                        let target = Target {
                            at: self.products.add(m + row * layout.width + column),
                            row_stride: layout.width as isize,
                            columns: panel_width,
                            accumulate: !first,
                        };
                        let from = self.cotangent.add(z + row * layout.depth);
                        let tile = routines.tiles.broadcast_of(rows, vectors);
                        tile(from, &offsets[..rows], depths, self.panel, panel_width as isize, &target);
                    }
                }
            }
        }
    }

    /// Makes gradients of windows of the products.
    unsafe fn transform_back(&self) {
        let (convolution, layout) = (self.convolution, self.layout);
        let (count, stride) = (self.inputs.len(), convolution.spec.y_image);
        let windows = Windows { count, stride, plane: layout.planes[2] };
        for (row, channel) in self.outputs.clone().enumerate() {
            // SAFETY: the products are there, and the windows are within the share.
            unsafe {
                let from = self.products.add(row * layout.width);
                let to = convolution.result(self.group, channel, self.inputs.start * WINDOW);
                (convolution.routines.winograd_gradient)(&windows, from, to);
            }
        }
    }
}
