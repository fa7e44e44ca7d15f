//! Packing the columns of a convolution: reading the input through the window.
//!
//! Two orders read vectors instead of single elements. Along the output, where neighbours in a row of `y` see
//! neighbours in `x`: the common case. Along the kernel, where neighbours in a row of `w` do: for gradients of
//! weights, whose kernel is as large as an image and whose output is tiny.

use std::ops::Range;

use smallvec::SmallVec;

use super::patch::Patch;
use super::{ConvSpec, SPATIAL_AXES};
use crate::kernels::gemm::pack::store_transposed;
use crate::kernels::simd::{MOST_LANES, Simd};

/// Columns and depths of a convolution to pack.
pub struct Window<'a, T> {
    /// The convolution, of one group.
    pub spec: &'a ConvSpec,
    /// The input of the group.
    pub x: *const T,
    /// The columns: images and positions of the output.
    pub columns: Range<usize>,
    /// The depths: channels of the input and positions of the kernel.
    pub depth: Range<usize>,
}

/// The most columns of a panel: two vectors of AVX-512.
pub(super) const MOST_COLUMNS: usize = 32;

/// Packs the window into a panel of `width` elements a depth, as [`crate::kernels::gemm::pack::pack`] does.
///
/// # Safety
///
/// As there; the window is within the convolution and not wider than `MOST_COLUMNS`.
#[inline(always)]
pub unsafe fn pack_window<V: Simd>(window: &Window<V::Element>, panel: *mut V::Element, width: usize) {
    let axes = &window.spec.axes;
    let inner = &axes[SPATIAL_AXES - 1];
    let output_runs = inner.input_dilation == 1 && inner.stride as isize * inner.x == 1;
    let kernel_runs =
        axes.iter().all(|axis| axis.input_dilation == 1) && inner.kernel_dilation as isize * inner.x == 1;
    // Where neither is contiguous for long, single elements along the output.
    let worth = if output_runs { inner.output } else { V::LANES / 2 };
    // SAFETY: passed on.
    unsafe {
        if kernel_runs && inner.kernel >= worth {
            along_kernel::<V>(window, panel, width);
        } else if let Some(patch) = Patch::new(window, V::LANES) {
            patch.pack::<V>(panel, width);
        } else {
            along_output::<V>(window, panel, width, output_runs);
        }
    }
}

impl<T> Window<'_, T> {
    /// The image of a column, and the coordinates of the first element that its window covers.
    fn start(&self, column: usize) -> (usize, [isize; SPATIAL_AXES]) {
        let mut rest = column;
        let mut start = [0; SPATIAL_AXES];
        for (start, axis) in start.iter_mut().zip(&self.spec.axes).rev() {
            *start = (rest % axis.output * axis.stride) as isize - axis.low;
            rest /= axis.output;
        }
        (rest, start)
    }

    fn image(&self, index: usize) -> *const T {
        self.x.wrapping_offset(index as isize * self.spec.x_image)
    }

    fn rows_of_kernel(&self) -> RowsOfKernel<'_> {
        let [outer, middle, inner] = self.spec.axes.each_ref().map(|axis| axis.kernel);
        let first = self.depth.start;
        RowsOfKernel {
            spec: self.spec,
            left: self.depth.len(),
            channel: first / (outer * middle * inner),
            at: [first / (middle * inner) % outer, first / inner % middle, first % inner],
        }
    }
}

/// Goes through depths by rows of the kernel: without a division, since rows are short.
struct RowsOfKernel<'a> {
    spec: &'a ConvSpec,
    left: usize,
    channel: usize,
    at: [usize; SPATIAL_AXES],
}

/// A row of the kernel, or a piece of one.
struct RowOfKernel {
    channel: usize,
    /// The position in all axes but the last.
    outer: [usize; SPATIAL_AXES - 1],
    /// The positions in the last axis.
    inner: Range<usize>,
}

impl Iterator for RowsOfKernel<'_> {
    type Item = RowOfKernel;

    #[inline(always)]
    fn next(&mut self) -> Option<RowOfKernel> {
        if self.left == 0 {
            return None;
        }
        let [outer, middle, inner] = self.at;
        let axes = &self.spec.axes;
        let end = axes[2].kernel.min(inner + self.left);
        let row = RowOfKernel { channel: self.channel, outer: [outer, middle], inner: inner..end };
        self.left -= end - inner;
        self.at = [outer, middle + 1, 0];
        if self.at[1] == axes[1].kernel {
            self.at = [outer + 1, 0, 0];
        }
        if self.at[0] == axes[0].kernel {
            self.at[0] = 0;
            self.channel += 1;
        }
        Some(row)
    }
}

/// Columns that are neighbours in a row of the output.
#[derive(Clone, Copy)]
pub(super) struct Run<T> {
    /// Columns of the panel before it.
    pub before: usize,
    pub length: usize,
    pub image: *const T,
    /// The coordinates that the window of the first column begins at.
    pub start: [isize; SPATIAL_AXES],
    /// The row of the input for the current row of the kernel, if it is not padding.
    row: Option<*const T>,
}

/// Cuts the columns of a window into runs.
#[inline(always)]
pub(super) fn runs<T>(window: &Window<T>) -> impl Iterator<Item = Run<T>> {
    let extent = window.spec.axes[SPATIAL_AXES - 1].output;
    let mut column = window.columns.start;
    std::iter::from_fn(move || {
        if column >= window.columns.end {
            return None;
        }
        let (image, start) = window.start(column);
        let length = (extent - column % extent).min(window.columns.end - column);
        let before = column - window.columns.start;
        column += length;
        Some(Run { before, length, image: window.image(image), start, row: None })
    })
}

/// A row of the panel after another, in pieces that are neighbours in the input.
#[inline(always)]
unsafe fn along_output<V: Simd>(
    window: &Window<V::Element>,
    mut panel: *mut V::Element,
    width: usize,
    contiguous: bool,
) {
    let spec = window.spec;
    let [outer, middle, inner] = &spec.axes;
    let mut list: SmallVec<[Run<V::Element>; MOST_COLUMNS]> = runs(window).collect();
    for row in window.rows_of_kernel() {
        for run in list.iter_mut() {
            let [first, second] = row.outer;
            let offset =
                outer.locate(run.start[0] + (first * outer.kernel_dilation) as isize).and_then(|o| {
                    let m = middle.locate(run.start[1] + (second * middle.kernel_dilation) as isize)?;
                    Some(o + m + row.channel as isize * spec.x_channel)
                });
            run.row = offset.map(|offset| run.image.wrapping_offset(offset));
        }
        for position in row.inner {
            for run in list.iter() {
                let first = run.start[2] + (position * inner.kernel_dilation) as isize;
                // SAFETY: runs are in order, so what a vector writes too much is overwritten by the run, or the row
                // of the panel, behind it. Only elements within the input are read.
                unsafe {
                    let to = panel.add(run.before);
                    match run.row {
                        Some(row) if contiguous => {
                            copy_run::<V>(row, first, inner.input as isize, run.length, to);
                        }
                        Some(row) => {
                            for j in 0..run.length {
                                let at = inner.locate(first + (j * inner.stride) as isize);
                                *to.add(j) = at.map_or(V::Element::default(), |at| *row.offset(at));
                            }
                        }
                        None => {
                            for j in (0..run.length).step_by(V::LANES) {
                                V::splat(V::Element::default()).store(to.add(j));
                            }
                        }
                    }
                }
            }
            // SAFETY: the panel has a row for every depth.
            panel = unsafe { panel.add(width) };
        }
    }
}

/// Copies the elements from coordinate `first` of a row of `extent` elements on, zeros where there are none.
#[inline(always)]
pub(super) unsafe fn copy_run<V: Simd>(
    row: *const V::Element,
    first: isize,
    extent: isize,
    length: usize,
    to: *mut V::Element,
) {
    let begin = (-first).clamp(0, length as isize) as usize;
    let end = (extent - first).clamp(begin as isize, length as isize) as usize;
    let from = row.wrapping_offset(first);
    for j in (0..length).step_by(V::LANES) {
        let from = from.wrapping_add(j);
        // SAFETY: only elements from `begin` to `end` are read; the caller promises the room.
        unsafe {
            let x = if begin <= j && j + V::LANES <= end {
                V::load(from)
            } else {
                let lane = |bound: usize| bound.saturating_sub(j).min(V::LANES);
                V::load_range(from, lane(begin), lane(end))
            };
            x.store(to.add(j));
        }
    }
}

/// A column of the window of which vectors along the kernel are read.
#[derive(Clone, Copy)]
struct Column<T> {
    /// The input where the window begins, which may be padding.
    at: *const T,
    start: [isize; SPATIAL_AXES],
}

/// Squares of columns and positions of the kernel, transposed in registers.
#[inline(always)]
unsafe fn along_kernel<V: Simd>(window: &Window<V::Element>, mut panel: *mut V::Element, width: usize) {
    let spec = window.spec;
    let [outer, middle, inner] = &spec.axes;
    let mut list = [Column { at: window.x, start: [0; SPATIAL_AXES] }; MOST_COLUMNS];
    let mut inside = true;
    for (i, column) in list.iter_mut().enumerate().take(width) {
        // Lanes without a column repeat the last one.
        let (image, start) = window.start((window.columns.start + i).min(window.columns.end - 1));
        let offset: isize = start.iter().zip(&spec.axes).map(|(&start, axis)| start * axis.x).sum();
        *column = Column { at: window.image(image).wrapping_offset(offset), start };
        inside &= start.iter().zip(&spec.axes).all(|(&start, axis)| {
            let last = start + ((axis.kernel - 1) * axis.kernel_dilation) as isize;
            start >= 0 && last < axis.input as isize
        });
    }
    for row in window.rows_of_kernel() {
        let [first, second] = [
            (row.outer[0] * outer.kernel_dilation) as isize,
            (row.outer[1] * middle.kernel_dilation) as isize,
        ];
        let shift = row.channel as isize * spec.x_channel + first * outer.x + second * middle.x;
        for group in (0..width).step_by(V::LANES) {
            for q in row.inner.clone().step_by(V::LANES) {
                let depth = (row.inner.end - q).min(V::LANES);
                // SAFETY: the machine has the instruction set.
                let mut block = [unsafe { V::splat(V::Element::default()) }; MOST_LANES];
                for lane in 0..V::LANES {
                    let column = &list[group + lane];
                    let from = column.at.wrapping_offset(shift + q as isize);
                    // SAFETY: only elements within the input are read.
                    block[lane] = unsafe {
                        if inside && depth == V::LANES {
                            V::load(from)
                        } else if inside {
                            V::load_range(from, 0, depth)
                        } else {
                            let there = ((column.start[0] + first) as usize) < outer.input
                                && ((column.start[1] + second) as usize) < middle.input;
                            let at = column.start[2] + q as isize;
                            let begin = (-at).clamp(0, depth as isize);
                            let end = (inner.input as isize - at).clamp(begin, depth as isize);
                            V::load_range(from, begin as usize, if there { end } else { begin } as usize)
                        }
                    };
                }
                // SAFETY: the panel has a row for every depth, of a multiple of `LANES` elements.
                unsafe {
                    let to = panel.add((q - row.inner.start) * width + group);
                    store_transposed(block, depth, to, width);
                }
            }
        }
        // SAFETY: as above.
        panel = unsafe { panel.add(row.inner.len() * width) };
    }
}
