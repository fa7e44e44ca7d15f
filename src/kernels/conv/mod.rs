//! Convolutions as products whose right operand is never stored: its columns are read through the window.
//!
//! `y[n, o, p] = sum over c, q of w[o, c, q] * x[n, c, p * stride + q * dilation - low]`, per group, is a product
//! with a row for each output channel, a column for each image and position of the output, and a depth that goes
//! through the channels of the input and the positions of the kernel. The operands may have any strides, so both
//! gradients are convolutions of permuted or reversed operands, without a copy:
//!
//! - for the gradient of `x`, `dy` is convolved with the reversed kernel, its channels exchanged;
//! - for the gradient of `w`, `x` with its channels as images is convolved with `dy` as the kernel.

use std::ops::Range;

use super::gemm::nest::{self, Extents, Product};
use super::gemm::pack::Source;
use super::gemm::tile::Target;
use super::gemm::{Element, FloatType, Routines};
use super::isa::Isa;
use super::part::{Epilogue, Part};
use window::Window;

pub(super) mod band;
mod direct;
mod patch;
#[cfg(test)]
mod tests;
mod weights;
pub(super) mod window;
pub(super) mod winograd;

/// The most spatial axes.
pub const SPATIAL_AXES: usize = 3;

/// The longest chain of additions, as in products: see there.
const MOST_DEPTH: usize = 384;

/// The most rows of a tile whose rows are at any place: each needs a register for its address.
const BROADCAST_ROWS: usize = 9;

/// A spatial axis of a convolution. The padding at its end is what the extent of the output needs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// The extent of `x`.
    pub input: usize,
    /// The extent of `w`.
    pub kernel: usize,
    /// The extent of `y`.
    pub output: usize,
    /// How far the window moves from one position of the output to the next.
    pub stride: usize,
    /// Zeros before the input; elements to skip if it is negative.
    pub low: isize,
    /// The distance of the elements of the input, with zeros between them; 1 for none.
    pub input_dilation: usize,
    /// The distance of the elements that neighbours in the kernel are multiplied with.
    pub kernel_dilation: usize,
    /// The stride of `x` in memory, in elements.
    pub x: isize,
    /// The stride of `w` in memory, in elements.
    pub w: isize,
}

impl Axis {
    /// An axis that is not there.
    pub const NONE: Axis = Axis {
        input: 1,
        kernel: 1,
        output: 1,
        stride: 1,
        low: 0,
        input_dilation: 1,
        kernel_dilation: 1,
        x: 0,
        w: 0,
    };

    /// Whether `y` at a position is made of `x` at the same position only.
    fn is_pointwise(&self) -> bool {
        self.kernel == 1
            && self.stride == 1
            && self.low == 0
            && self.input_dilation == 1
            && self.input == self.output
    }

    /// The distance in memory of the input at coordinate `at`, which counts padding and dilation, from the first
    /// element; nothing where there is a zero.
    #[inline(always)]
    fn locate(&self, at: isize) -> Option<isize> {
        if self.input_dilation == 1 {
            return ((at as usize) < self.input).then_some(at * self.x);
        }
        let dilation = self.input_dilation as isize;
        let index = at / dilation;
        (at >= 0 && index * dilation == at && (index as usize) < self.input).then_some(index * self.x)
    }
}

/// A convolution. Strides are in elements.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    /// The type of all elements.
    pub dtype: FloatType,
    /// How many images.
    pub images: usize,
    /// How many groups of channels that have nothing to do with one another.
    pub groups: usize,
    /// Input channels of a group.
    pub in_channels: usize,
    /// Output channels of a group.
    pub out_channels: usize,
    /// The spatial axes, outermost first; [`Axis::NONE`] before them if they are fewer.
    pub axes: [Axis; SPATIAL_AXES],
    /// From an image of `x` to the next.
    pub x_image: isize,
    /// From a channel of `x` to the next; those of a group follow those of the group before.
    pub x_channel: isize,
    /// From an output channel of `w` to the next; those of a group follow those of the group before.
    pub w_out: isize,
    /// From an input channel of `w` to the next.
    pub w_in: isize,
    /// From an image of `y` to the next.
    pub y_image: isize,
    /// From a channel of `y` to the next. The positions of a channel are next to one another.
    pub y_channel: isize,
}

impl ConvSpec {
    /// Positions of the output in a channel.
    pub fn positions(&self) -> usize {
        self.axes.iter().map(|axis| axis.output).product()
    }

    /// The same convolution with spatial axes that the kernel does not mix made one where memory allows it.
    fn merged(&self) -> ConvSpec {
        let mut spec = *self;
        let (outer, last) = spec.axes.split_at_mut(SPATIAL_AXES - 1);
        let last = &mut last[0];
        for axis in outer.iter_mut().rev() {
            let follows = axis.input == 1 || axis.x == last.input as isize * last.x;
            if !axis.is_pointwise() || !last.is_pointwise() || !follows {
                break;
            }
            last.input *= axis.input;
            last.output = last.input;
            *axis = Axis::NONE;
        }
        spec
    }

    fn extents(&self) -> Extents {
        let kernel: usize = self.axes.iter().map(|axis| axis.kernel).product();
        Extents {
            batch: self.groups,
            rows: self.out_channels,
            columns: self.images * self.positions(),
            depth: self.in_channels * kernel,
            panel: None,
        }
    }
}

/// How a convolution is computed. The sizes of the spec decide alone, so the bits of the result depend on nothing else.
enum Method {
    /// Tiles of outputs in fewer multiplications.
    Winograd(winograd::Layout),
    /// The same for gradients of weights.
    WinogradGradient(winograd::gradient::Layout),
    /// Columns are shifted vectors of the input.
    Direct(direct::Layout),
    /// Vectors lie along the output channels.
    Weights(weights::Layout),
    /// Columns are packed.
    Packed,
}

impl Method {
    fn new<T: Element>(routines: &Routines<T>, spec: &ConvSpec) -> Method {
        if let Some(layout) = winograd::Layout::new(routines, spec) {
            Method::Winograd(layout)
        } else if let Some(layout) = winograd::gradient::Layout::new(routines, spec) {
            Method::WinogradGradient(layout)
        } else if let Some(layout) = direct::Layout::new(routines, spec) {
            Method::Direct(layout)
        } else if let Some(layout) = weights::Layout::new(routines, spec) {
            Method::Weights(layout)
        } else {
            Method::Packed
        }
    }
}

/// How many bytes of scratch [`conv`] needs in every thread, whatever the number of parts.
pub fn scratch_bytes(isa: Isa, spec: &ConvSpec) -> usize {
    fn of<T: Element>(isa: Isa, spec: &ConvSpec) -> usize {
        let routines = T::routines(isa);
        match Method::new(routines, spec) {
            Method::Winograd(layout) => layout.scratch_bytes(),
            Method::WinogradGradient(layout) => layout.scratch_bytes(),
            Method::Direct(layout) => layout.scratch_bytes(),
            Method::Weights(layout) => layout.scratch_bytes(spec),
            Method::Packed => nest::scratch_bytes(routines, &spec.extents()),
        }
    }
    let spec = spec.merged();
    match spec.dtype {
        FloatType::F32 => of::<f32>(isa, &spec),
        FloatType::F64 => of::<f64>(isa, &spec),
    }
}

/// Computes this part of the convolution and calls the epilogue on every finished region.
///
/// To the epilogue, channel `o` of image `n` is row `n * groups * out_channels + o`, and a column is a position of
/// the output.
///
/// # Safety
///
/// `isa` is available. The operands are readable and the result is writable where the spec says, aligned to their
/// elements, and the result overlaps neither operand nor itself. `scratch` has [`scratch_bytes`], is aligned to 64
/// bytes, and is this thread's own during the call.
#[expect(
    clippy::too_many_arguments,
    reason = "what a product is, where it is, and what one thread does of it"
)]
pub unsafe fn conv(
    isa: Isa,
    spec: &ConvSpec,
    x: *const u8,
    w: *const u8,
    y: *mut u8,
    scratch: *mut u8,
    part: Part,
    epilogue: Option<&Epilogue>,
) {
    unsafe fn of<T: Element>(
        isa: Isa,
        spec: &ConvSpec,
        [x, w]: [*const T; 2],
        [y, scratch]: [*mut T; 2],
        part: Part,
        epilogue: Option<&Epilogue>,
    ) {
        let routines = T::routines(isa);
        let product = Convolution { routines, spec, depth_runs: DepthRuns::new(spec), x, w, y };
        // SAFETY: the caller's promises.
        unsafe {
            match Method::new(routines, spec) {
                Method::Winograd(layout) => winograd::run(&product, &layout, scratch, part, epilogue),
                Method::WinogradGradient(layout) => {
                    winograd::gradient::run(&product, &layout, scratch, part, epilogue)
                }
                Method::Direct(layout) => direct::run(&product, &layout, scratch, part, epilogue),
                Method::Weights(layout) => weights::run(&product, &layout, scratch, part, epilogue),
                Method::Packed => nest::run(routines, &product, scratch, part, epilogue),
            }
        }
    }
    let spec = spec.merged();
    // SAFETY: the caller's promises.
    unsafe {
        match spec.dtype {
            FloatType::F32 => {
                of::<f32>(isa, &spec, [x.cast(), w.cast()], [y.cast(), scratch.cast()], part, epilogue)
            }
            FloatType::F64 => {
                of::<f64>(isa, &spec, [x.cast(), w.cast()], [y.cast(), scratch.cast()], part, epilogue)
            }
        }
    }
}

/// The depth of the weights cut into runs of one stride.
struct DepthRuns {
    /// Extent and stride of the axes of the depth that are outside of a run, outermost first.
    outer: [(usize, isize); 1 + SPATIAL_AXES],
    /// How long a run is.
    length: usize,
    /// The stride within a run.
    stride: isize,
}

impl DepthRuns {
    fn new(spec: &ConvSpec) -> DepthRuns {
        let [a, b, c] = spec.axes.map(|axis| (axis.kernel, axis.w));
        let mut outer = [(spec.in_channels, spec.w_in), a, b, c];
        let (mut length, mut stride) = (1, 1);
        for axis in outer.iter_mut().rev() {
            if length == 1 {
                (length, stride) = *axis;
            } else if axis.0 == 1 || axis.1 == length as isize * stride {
                length *= axis.0;
            } else {
                break;
            }
            *axis = (1, 0);
        }
        DepthRuns { outer, length, stride }
    }

    /// The distance of that depth from the first element, and how many depths from there on have one stride.
    fn at(&self, depth: usize) -> (isize, usize) {
        let within = depth % self.length;
        let mut offset = within as isize * self.stride;
        let mut run = depth / self.length;
        for (extent, stride) in self.outer.into_iter().rev() {
            offset += (run % extent) as isize * stride;
            run /= extent;
        }
        (offset, self.length - within)
    }
}

/// The operands and the result of a convolution, as the loop nest wants them.
struct Convolution<'a, T: Element> {
    routines: &'a Routines<T>,
    spec: &'a ConvSpec,
    depth_runs: DepthRuns,
    x: *const T,
    w: *const T,
    y: *mut T,
}

impl<T: Element> Convolution<'_, T> {
    /// Where the result of a channel of the group is at that column.
    fn result(&self, group: usize, row: usize, column: usize) -> *mut T {
        let positions = self.spec.positions();
        let channel = group * self.spec.out_channels + row;
        let offset = (column / positions) as isize * self.spec.y_image
            + channel as isize * self.spec.y_channel
            + (column % positions) as isize;
        self.y.wrapping_offset(offset)
    }

    /// Packs output channels of the weights, `width` elements a depth.
    unsafe fn pack_channels(
        &self,
        group: usize,
        rows: Range<usize>,
        depth: Range<usize>,
        panel: *mut T,
        width: usize,
    ) {
        let first = (group * self.spec.out_channels + rows.start) as isize * self.spec.w_out;
        let mut p = depth.start;
        while p < depth.end {
            let (offset, run) = self.depth_runs.at(p);
            let source = Source {
                at: self.w.wrapping_offset(first + offset),
                line_stride: self.spec.w_out,
                depth_stride: self.depth_runs.stride,
                lines: rows.len(),
                depth: run.min(depth.end - p),
            };
            // SAFETY: the caller's promises.
            unsafe { (self.routines.pack)(&source, panel.add((p - depth.start) * width), width) };
            p += source.depth;
        }
    }

    /// The columns cut at the borders between images.
    fn images(&self, columns: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let positions = self.spec.positions();
        let mut start = columns.start;
        std::iter::from_fn(move || {
            let end = ((start / positions + 1) * positions).min(columns.end);
            let image = start..end;
            start = end;
            (!image.is_empty()).then_some(image)
        })
    }
}

impl<T: Element> Product for Convolution<'_, T> {
    type Element = T;

    fn extents(&self) -> Extents {
        self.spec.extents()
    }

    unsafe fn pack_rows(&self, group: usize, rows: Range<usize>, depth: Range<usize>, panel: *mut T) {
        let width = rows.len();
        // SAFETY: the caller's promises.
        unsafe { self.pack_channels(group, rows, depth, panel, width) }
    }

    unsafe fn pack_columns(
        &self,
        group: usize,
        columns: Range<usize>,
        depth: Range<usize>,
        panel: *mut T,
        width: usize,
    ) {
        let first = (group * self.spec.in_channels) as isize * self.spec.x_channel;
        let window = Window { spec: self.spec, x: self.x.wrapping_offset(first), columns, depth };
        // SAFETY: the caller's promises.
        unsafe { (self.routines.pack_window)(&window, panel, width) }
    }

    fn columns_in_place(&self, _: usize, _: usize, _: usize) -> Option<(*const T, isize)> {
        None
    }

    fn result_in_place(&self, group: usize, row: usize, columns: Range<usize>) -> Option<(*mut T, isize)> {
        let positions = self.spec.positions();
        let one_image = columns.start % positions + columns.len() <= positions;
        (one_image || self.spec.y_image == positions as isize)
            .then(|| (self.result(group, row, columns.start), self.spec.y_channel))
    }

    fn result_runs(
        &self,
        group: usize,
        row: usize,
        columns: Range<usize>,
        mut store: impl FnMut(usize, Target<T>),
    ) {
        for image in self.images(columns.clone()) {
            let target = Target {
                at: self.result(group, row, image.start),
                row_stride: self.spec.y_channel,
                columns: image.len(),
                accumulate: false,
            };
            store(image.start - columns.start, target);
        }
    }

    unsafe fn finish(&self, group: usize, rows: Range<usize>, columns: Range<usize>, epilogue: &Epilogue) {
        let positions = self.spec.positions();
        for image in self.images(columns) {
            let index = image.start / positions;
            let before = (index * self.spec.groups + group) * self.spec.out_channels;
            let first = index * positions;
            // SAFETY: the caller's promise.
            unsafe {
                epilogue.call(before + rows.start..before + rows.end, image.start - first..image.end - first)
            }
        }
    }
}
