//! Pooling over the last one to three axes.
//!
//! Shapes: `[.., spatial..]` -> `[.., out..]` with `out = floor((extent + 2 padding - dilation (size - 1) - 1) / stride) + 1`,
//! or rounded up in ceil mode. Types: floats (maximum: numbers). Element `p` of a result is the maximum or mean of
//! `x[p stride + k dilation - padding]` over `k` from 0 to `size - 1` along each axis.
//! Sources: LeCun and others, *Gradient-Based Learning Applied to Document Recognition*, 1998 (means); Scherer and others,
//! *Evaluation of Pooling Operations in Convolutional Architectures for Object Recognition*, 2010 (maxima).
//! Errors: a window larger than the padded input; padding of more than half of the window.

use super::convert::Checked;
use super::unfold::even_sizes;
use super::{PerAxis, Tensor};
use kiln_ir::op::{Window, WindowOp};
use kiln_ir::{Axes, DType, Op, Shape, TensorData, TensorType};
use smallvec::SmallVec;

/// How a window moves over its input. One number stands for all spatial axes, an array for one each.
///
/// ```
/// use kiln::prelude::*;
/// let options = PoolOptions::new(3).stride(2).padding(1);
/// ```
#[derive(Clone, Debug)]
pub struct PoolOptions {
    size: PerAxis,
    stride: Option<PerAxis>,
    padding: PerAxis,
    dilation: PerAxis,
    ceil_mode: bool,
    count_include_pad: bool,
}

impl PoolOptions {
    /// Windows of this size, side by side.
    pub fn new(size: impl Into<PerAxis>) -> PoolOptions {
        PoolOptions {
            size: size.into(),
            stride: None,
            padding: 0.into(),
            dilation: 1.into(),
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// Distance between neighbouring windows; their size unless it is set.
    pub fn stride(self, stride: impl Into<PerAxis>) -> PoolOptions {
        PoolOptions { stride: Some(stride.into()), ..self }
    }

    /// Padding before and after each spatial axis: zeros of a mean, nothing of a maximum.
    pub fn padding(self, padding: impl Into<PerAxis>) -> PoolOptions {
        PoolOptions { padding: padding.into(), ..self }
    }

    /// Distance between neighbouring elements of a window (maximum only).
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> PoolOptions {
        PoolOptions { dilation: dilation.into(), ..self }
    }

    /// Whether a last window that reaches beyond the padded input counts too.
    pub fn ceil_mode(self, ceil_mode: bool) -> PoolOptions {
        PoolOptions { ceil_mode, ..self }
    }

    /// Whether a mean counts padding among its elements; it does unless this is set to `false`.
    pub fn count_include_pad(self, count_include_pad: bool) -> PoolOptions {
        PoolOptions { count_include_pad, ..self }
    }
}

impl From<usize> for PoolOptions {
    fn from(size: usize) -> PoolOptions {
        PoolOptions::new(size)
    }
}

/// The geometry along one axis.
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
    pub(super) out: usize,
}

impl Axis {
    /// The geometry of PyTorch's `pooling_output_shape`: in ceil mode a last window counts when it begins inside the
    /// input or the padding before it.
    fn new(
        input: usize,
        size: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
        ceil: bool,
    ) -> Option<Axis> {
        let reach = dilation.checked_mul(size.checked_sub(1)?)? + 1;
        let free = (input + 2 * padding).checked_sub(reach)?;
        let mut out = free.checked_div(stride)? + 1;
        if ceil && free % stride != 0 && out * stride < input + padding {
            out += 1;
        }
        Some(Axis { input, size, stride, padding, dilation, out })
    }

    /// Padding after the axis, with what the last window of ceil mode needs.
    fn padding_after(&self) -> usize {
        let reach = self.dilation * (self.size - 1) + 1;
        let end = (self.out.max(1) - 1) * self.stride + reach;
        (end - self.padding).saturating_sub(self.input).max(if self.out == 0 { self.padding } else { 0 })
    }

    /// Number of elements of window `i` that a mean divides by: those of the input, with padding if asked for, but
    /// never what ceil mode adds beyond it.
    fn n_counted(&self, i: usize, include_pad: bool) -> usize {
        let start = (i * self.stride) as i64 - self.padding as i64;
        let end = (start + self.size as i64).min((self.input + self.padding) as i64);
        if include_pad {
            return (end - start) as usize;
        }
        (end.min(self.input as i64) - start.max(0)).max(0) as usize
    }
}

impl Tensor {
    /// The greatest element of each window over the last axis.
    #[track_caller]
    pub fn max_pool1d(&self, options: impl Into<PoolOptions>) -> Tensor {
        self.max_pool("max_pool1d", 1, &options.into())
    }

    /// The greatest element of each window over the last two axes.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("pool");
    /// # let x = tracer.input("x", f32(&[8, 3, 32, 32]));
    /// assert_eq!(x.max_pool2d(2).extents(), [8, 3, 16, 16]);
    /// ```
    #[track_caller]
    pub fn max_pool2d(&self, options: impl Into<PoolOptions>) -> Tensor {
        self.max_pool("max_pool2d", 2, &options.into())
    }

    /// The greatest element of each window over the last three axes.
    #[track_caller]
    pub fn max_pool3d(&self, options: impl Into<PoolOptions>) -> Tensor {
        self.max_pool("max_pool3d", 3, &options.into())
    }

    /// The greatest element of each window over the last `n` axes, and where it is: its index in row-major order of
    /// these axes, without padding, as `i64` (the first one, where several are greatest).
    ///
    /// Errors: also elements so many that their indices are not exact in the type of `self`.
    #[track_caller]
    pub fn max_pool_with_indices(&self, n: usize, options: impl Into<PoolOptions>) -> (Tensor, Tensor) {
        const NAME: &str = "max_pool_with_indices";
        let options = options.into();
        self.within(NAME, || {
            let axes = match self.pool_axes(NAME, n, &options) {
                Ok(axes) => axes,
                Err(poisoned) => return (poisoned.clone(), poisoned),
            };
            let spatial: Shape = axes.iter().map(|axis| axis.input).collect();
            let n_exact = match self.dtype() {
                DType::F32 => 1 << 24,
                DType::F64 => 1 << 53,
                DType::I32 | DType::I64 => i32::MAX as usize,
                DType::U8 | DType::Bool => 0,
            };
            if spatial.n_elements() > n_exact {
                let poisoned = self.refuse(NAME, "its type does not hold the indices of its elements");
                return (poisoned.clone(), poisoned);
            }
            let places = self.iota(self.dtype(), [spatial.n_elements()].into(), 0).reshape_exact(spatial);
            let places = places.broadcast_to(self.shape().clone());
            let picked = self.record(Op::Window(WindowOp::Pick, window(&axes)), &[&places]);
            (self.max_pool(NAME, n, &options), picked.cast(DType::I64))
        })
    }

    /// The mean of each window over the last axis.
    #[track_caller]
    pub fn avg_pool1d(&self, options: impl Into<PoolOptions>) -> Tensor {
        self.avg_pool("avg_pool1d", 1, &options.into())
    }

    /// The mean of each window over the last two axes.
    #[track_caller]
    pub fn avg_pool2d(&self, options: impl Into<PoolOptions>) -> Tensor {
        self.avg_pool("avg_pool2d", 2, &options.into())
    }

    /// The mean of each window over the last three axes.
    #[track_caller]
    pub fn avg_pool3d(&self, options: impl Into<PoolOptions>) -> Tensor {
        self.avg_pool("avg_pool3d", 3, &options.into())
    }

    /// The means of windows over the last axes such that these extents remain: side by side where the extents are
    /// divided by these, and otherwise from `floor(i n / m)` to `ceil((i + 1) n / m)`.
    #[track_caller]
    pub fn adaptive_avg_pool(&self, extents: impl AsRef<[usize]>) -> Tensor {
        let extents = extents.as_ref();
        match self.adaptive_sizes("adaptive_avg_pool", extents) {
            Ok(Some(sizes)) => {
                self.avg_pool("adaptive_avg_pool", extents.len(), &PoolOptions::new(&sizes[..]))
            }
            Ok(None) => self.within("adaptive_avg_pool", || self.uneven_avg_pool(extents)),
            Err(poisoned) => poisoned,
        }
    }

    /// The greatest elements of windows over the last axes such that these extents remain; the windows are those of
    /// [`adaptive_avg_pool`](Tensor::adaptive_avg_pool).
    #[track_caller]
    pub fn adaptive_max_pool(&self, extents: impl AsRef<[usize]>) -> Tensor {
        let extents = extents.as_ref();
        match self.adaptive_sizes("adaptive_max_pool", extents) {
            Ok(Some(sizes)) => {
                self.max_pool("adaptive_max_pool", extents.len(), &PoolOptions::new(&sizes[..]))
            }
            Ok(None) => self.within("adaptive_max_pool", || self.adaptive_max_pool_with_indices(extents).0),
            Err(poisoned) => poisoned,
        }
    }

    /// The sizes of windows that lie side by side, or nothing if they are of unequal size.
    #[track_caller]
    fn adaptive_sizes(&self, op: &'static str, extents: &[usize]) -> Checked<Option<Axes>> {
        match self.rank().checked_sub(extents.len()) {
            Some(lead) if !extents.is_empty() => Ok(even_sizes(&self.shape()[lead..], extents)),
            _ => Err(self.refuse(op, format!("{extents:?} has not one extent for each of its last axes"))),
        }
    }

    #[track_caller]
    pub(crate) fn max_pool(&self, op: &'static str, n: usize, options: &PoolOptions) -> Tensor {
        self.within(op, || match self.pool_axes(op, n, options) {
            Ok(axes) => self.record(Op::Window(WindowOp::Max, window(&axes)), &[]),
            Err(poisoned) => poisoned,
        })
    }

    #[track_caller]
    pub(crate) fn avg_pool(&self, op: &'static str, n: usize, options: &PoolOptions) -> Tensor {
        self.within(op, || {
            let axes = match self.require_float(op).and_then(|()| self.pool_axes(op, n, options)) {
                Ok(axes) => axes,
                Err(poisoned) => return poisoned,
            };
            let sums = self.record(Op::Window(WindowOp::Sum, window(&axes)), &[]);
            let counts = counts(&axes, options.count_include_pad);
            match counts.iter().all(|&count| count == counts[0]) {
                true => sums / counts.first().copied().unwrap_or(1.0),
                false => {
                    let ty =
                        TensorType::new(self.dtype(), axes.iter().map(|axis| axis.out).collect::<Shape>());
                    let literal = |i: usize| kiln_ir::Literal::from_f64(self.dtype(), counts[i]);
                    sums / self.constant(TensorData::from_fn(&ty, literal))
                }
            }
        })
    }

    pub(super) fn pool_axes(
        &self,
        op: &'static str,
        n: usize,
        options: &PoolOptions,
    ) -> Checked<SmallVec<[Axis; 3]>> {
        let axes = self.window_axes(op, n, options)?;
        match axes.iter().find(|axis| axis.padding * 2 > axis.size) {
            Some(Axis { padding, size, .. }) => {
                Err(self.refuse(op, format!("padding {padding} is more than half of the window {size}")))
            }
            None => Ok(axes),
        }
    }

    /// The geometry of windows with any padding.
    pub(super) fn window_axes(
        &self,
        op: &'static str,
        n: usize,
        options: &PoolOptions,
    ) -> Checked<SmallVec<[Axis; 3]>> {
        let Some(lead) = self.rank().checked_sub(n) else {
            return Err(self.refuse(op, format!("it needs at least {n} axes")));
        };
        let stride = options.stride.as_ref().unwrap_or(&options.size);
        let fields =
            [&options.size, stride, &options.padding, &options.dilation].map(|field| field.resolve(n));
        let [Some(sizes), Some(strides), Some(paddings), Some(dilations)] = fields else {
            return Err(self.refuse(op, format!("options need one number, or one for each of {n} axes")));
        };
        let mut axes = SmallVec::new();
        for a in 0..n {
            let (input, size, padding) = (self.shape()[lead + a], sizes[a], paddings[a]);
            match Axis::new(input, size, strides[a], padding, dilations[a], options.ceil_mode) {
                Some(axis) => axes.push(axis),
                None => {
                    let problem = format!(
                        "a window of {size} (stride {}, dilation {}) is no part of extent {input} padded by {padding}",
                        strides[a], dilations[a]
                    );
                    return Err(self.refuse(op, problem));
                }
            }
        }
        Ok(axes)
    }
}

fn window(axes: &[Axis]) -> Window {
    Window {
        sizes: axes.iter().map(|axis| axis.size).collect(),
        strides: axes.iter().map(|axis| axis.stride).collect(),
        padding: axes.iter().map(|axis| (axis.padding as i64, axis.padding_after() as i64)).collect(),
        dilations: axes.iter().map(|axis| axis.dilation).collect(),
    }
}

/// The number of elements each window's mean divides by, in row-major order of the windows.
fn counts(axes: &[Axis], include_pad: bool) -> Vec<f64> {
    axes.iter().fold(vec![1.0], |outer, axis| {
        let along = |count: &f64| {
            let count = *count;
            (0..axis.out).map(move |i| count * axis.n_counted(i, include_pad) as f64)
        };
        outer.iter().flat_map(along).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceil_mode_adds_a_window_that_begins_inside() {
        let out =
            |input, size, stride, padding| Axis::new(input, size, stride, padding, 1, true).map(|a| a.out);
        assert_eq!(out(5, 2, 2, 0), Some(3));
        assert_eq!(out(4, 2, 2, 0), Some(2));
        // The third window would begin in the padding after the input.
        assert_eq!(out(4, 2, 3, 1), Some(2));
    }

    #[test]
    fn a_mean_counts_what_the_options_say() {
        let axis = Axis::new(5, 3, 2, 1, 1, true).unwrap();
        assert_eq!(axis.out, 3);
        let all = |include| (0..3).map(|i| axis.n_counted(i, include)).collect::<Vec<_>>();
        assert_eq!(all(true), [3, 3, 3]);
        assert_eq!(all(false), [2, 3, 2]);
    }
}
