//! Windows over several axes as an axis of their own: what pooling does beyond one op, and image columns.
//!
//! Shapes: `[.., spatial..]`. Types: floats, unless a function says otherwise. Errors: windows that do not fit.

use super::pool::Axis;
use super::{PoolOptions, Tensor, keep};
use kiln_ir::{Axes, Shape, TensorData};

/// Along one axis, for each place of the window the positions under it; nothing where it lies on padding. All windows of
/// a line have the same length.
type Line = Vec<Vec<Option<usize>>>;

/// The windows of a pooling geometry along one axis.
fn line(axis: &Axis) -> Line {
    let at = |o: usize, k: usize| (o * axis.stride + k * axis.dilation).checked_sub(axis.padding);
    let window = |o: usize| (0..axis.size).map(|k| at(o, k).filter(|&i| i < axis.input)).collect();
    (0..axis.out).map(window).collect()
}

/// The windows of adaptive pooling: `n` of them, as equal as the extent allows.
pub(super) fn adaptive(extent: usize, n: usize) -> Line {
    let bounds = |i: usize| (i * extent / n.max(1), ((i + 1) * extent).div_ceil(n.max(1)));
    let longest = (0..n).map(|i| bounds(i).1 - bounds(i).0).max().unwrap_or(0);
    let window = |i: usize| {
        let (start, end) = bounds(i);
        (0..longest).map(move |k| Some(start + k).filter(|&at| at < end)).collect()
    };
    (0..n).map(window).collect()
}

impl Tensor {
    /// The windows over the last axes: `[.., out.., elements of a window]`, with `fill` where there is padding.
    fn windows_over(&self, lines: &[Line], fill: f64) -> Tensor {
        let lead = self.rank() - lines.len();
        let mut windows = self.clone();
        for (a, line) in lines.iter().enumerate() {
            // One element of `fill` after the axis stands for all padding. The axes of windows gather at the end.
            let axis = (lead + a) as i64;
            let extent = windows.shape()[lead + a];
            let mut border = vec![(0, 0); windows.rank()];
            border[lead + a] = (0, 1);
            let at = line.iter().flatten().map(|i| i.unwrap_or(extent) as i64).collect();
            let picked = windows.pad(&border, fill).index_select(axis, &self.indices(at));
            let parts = [line.len() as i64, line.first().map_or(0, Vec::len) as i64];
            windows = picked.unflatten(axis, parts).movedim(axis + 1, -1);
        }
        let n_window: usize = lines.iter().map(|line| line.first().map_or(0, Vec::len)).product();
        let outer: Shape = windows.shape()[..self.rank()].iter().copied().chain([n_window]).collect();
        windows.reshape_exact(outer)
    }

    /// The greatest element of each window, and its position in the plane of the last axes.
    fn greatest_of(&self, lines: &[Line]) -> (Tensor, Tensor) {
        let windows = self.windows_over(lines, f64::NEG_INFINITY);
        let lead = self.rank() - lines.len();
        let table = positions(lines, &self.shape()[lead..]);
        let mut shape: Vec<usize> = lines.iter().map(Line::len).collect();
        shape.push(windows.shape()[self.rank()]);
        let table = self.constant(TensorData::new(&shape[..], table));
        let place = windows.argmax(keep(-1));
        let at = table.broadcast_to(windows.shape().clone()).gather(-1, &place).squeeze(-1);
        (windows.gather(-1, &place).squeeze(-1), at)
    }

    /// The sums over windows of the last `n` axes divided by one number (PyTorch's `divisor_override`).
    #[track_caller]
    pub fn sum_pool(&self, n: usize, options: impl Into<PoolOptions>, divisor: f64) -> Tensor {
        let options = options.into();
        self.within("sum_pool", || match self.pool_axes("sum_pool", n, &options) {
            Ok(axes) => self.windows_over(&axes.iter().map(line).collect::<Vec<_>>(), 0.0).sum(-1) / divisor,
            Err(poisoned) => poisoned,
        })
    }

    /// The power mean of each window over the last `n` axes, without the division: `(sum x^p)^(1/p)`.
    #[track_caller]
    pub fn lp_pool(&self, n: usize, p: f64, options: impl Into<PoolOptions>) -> Tensor {
        let options = options.into();
        self.within("lp_pool", || match self.pool_axes("lp_pool", n, &options) {
            Ok(axes) => {
                let sum = self.windows_over(&axes.iter().map(line).collect::<Vec<_>>(), 0.0).pow(p).sum(-1);
                // A slope of the root at 0 is infinite: none is taken there.
                let is_zero = sum.eq(0.0);
                is_zero.select(0.0, is_zero.select(1.0, &sum).pow(1.0 / p))
            }
            Err(poisoned) => poisoned,
        })
    }

    /// The means of windows over the last axes such that these extents remain; where they do not divide those of `self`
    /// the windows overlap, as in PyTorch.
    #[track_caller]
    pub(super) fn uneven_avg_pool(&self, extents: &[usize]) -> Tensor {
        let lines = self.adaptive_lines(extents);
        let ones = self.fill(self.dtype(), Shape::new(&self.shape()[self.rank() - extents.len()..]), 1.0);
        self.windows_over(&lines, 0.0).sum(-1) / ones.windows_over(&lines, 0.0).sum(-1)
    }

    /// The greatest elements of windows over the last axes such that these extents remain, and where they are: their
    /// indices in row-major order of these axes.
    #[track_caller]
    pub fn adaptive_max_pool_with_indices(&self, extents: impl AsRef<[usize]>) -> (Tensor, Tensor) {
        let extents = extents.as_ref();
        if extents.len() > self.rank() {
            let poisoned = self.refuse("adaptive_max_pool_with_indices", "there are more extents than axes");
            return (poisoned.clone(), poisoned);
        }
        self.within("adaptive_max_pool_with_indices", || self.greatest_of(&self.adaptive_lines(extents)))
    }

    fn adaptive_lines(&self, extents: &[usize]) -> Vec<Line> {
        let spatial = &self.shape()[self.rank() - extents.len()..];
        spatial.iter().zip(extents).map(|(&extent, &out)| adaptive(extent, out)).collect()
    }

    /// Elements at the places that [`max_pool_with_indices`](Tensor::max_pool_with_indices) gave, zeros elsewhere: what
    /// comes nearest to an inverse of the maximum. `extents` are those of the last axes of the result.
    #[track_caller]
    pub fn max_unpool(&self, indices: &Tensor, extents: impl AsRef<[usize]>) -> Tensor {
        let extents = extents.as_ref();
        let Some(lead) = self.rank().checked_sub(extents.len()) else {
            return self.refuse("max_unpool", "there are more extents than axes");
        };
        self.within("max_unpool", || {
            let (outer, n) = (&self.shape()[..lead], extents.iter().product::<usize>());
            let flat = |x: &Tensor| {
                x.reshape_exact(
                    outer.iter().copied().chain([self.shape()[lead..].iter().product()]).collect(),
                )
            };
            let zeros = self.fill(self.dtype(), outer.iter().copied().chain([n]).collect(), 0.0);
            let (index, x) = (flat(indices), flat(self));
            // Several elements at one place are equal when they come from pooling: any of them stays, and as in PyTorch
            // each gets the whole gradient of the place.
            let sum = zeros.scatter_add(-1, &index, &x);
            let result = &sum - (&sum - zeros.scatter(-1, &index, x)).detach();
            result.reshape_exact(outer.iter().chain(extents).copied().collect())
        })
    }

    /// The windows of images as columns (im2col): `[n, c, spatial..]` -> `[n, c * window, number of windows]`.
    #[track_caller]
    pub fn im2col(&self, options: impl Into<PoolOptions>) -> Tensor {
        let options = options.into();
        let Some(n) = self.rank().checked_sub(2).filter(|&n| n > 0) else {
            return self.refuse("im2col", "it needs images of shape [n, c, spatial..]");
        };
        self.within("im2col", || match self.window_axes("im2col", n, &options) {
            Ok(axes) => {
                let windows =
                    self.windows_over(&axes.iter().map(line).collect::<Vec<_>>(), 0.0).movedim(-1, 2);
                let (batch, channels, window) = (self.shape()[0], self.shape()[1], windows.shape()[2]);
                let places = axes.iter().map(|axis| axis.out).product();
                windows.reshape_exact([batch, channels * window, places].into())
            }
            Err(poisoned) => poisoned,
        })
    }

    /// Columns summed into images, the transpose of [`im2col`](Tensor::im2col):
    /// `[n, c * window, number of windows]` -> `[n, c, extents..]`.
    #[track_caller]
    pub fn col2im(&self, extents: impl AsRef<[usize]>, options: impl Into<PoolOptions>) -> Tensor {
        let (extents, options) = (extents.as_ref(), options.into());
        if self.rank() != 3 {
            return self.refuse("col2im", "it needs columns of shape [n, c * window, number of windows]");
        }
        self.within("col2im", || {
            let plane = self.fill(self.dtype(), Shape::new(extents), 0.0);
            let axes = match plane.window_axes("col2im", extents.len(), &options) {
                Ok(axes) => axes,
                Err(poisoned) => return poisoned,
            };
            let window: usize = axes.iter().map(|axis| axis.size).product();
            let places: usize = axes.iter().map(|axis| axis.out).product();
            if self.shape()[2] != places || !self.shape()[1].is_multiple_of(window.max(1)) {
                return self.refuse("col2im", format!("{places} windows of {window} elements do not fit"));
            }
            let (batch, channels) = (self.shape()[0], self.shape()[1] / window.max(1));
            // The position of each element of each column; padding is after the last one.
            let n: usize = extents.iter().product();
            let lines: Vec<Line> = axes.iter().map(line).collect();
            let at = self
                .indices(flat_positions(&lines, extents, n as i64))
                .reshape([places as i64, window as i64]);
            let at = at.t().reshape([-1]);
            let columns = self.reshape_exact([batch, channels, window * places].into());
            let at = at.broadcast_to(columns.shape().clone());
            let zeros = self.fill(self.dtype(), [batch, channels, n + 1].into(), 0.0);
            let sums = zeros.scatter_add(-1, &at, &columns).slice_exact(2, 0, n, 1);
            sums.reshape_exact([batch, channels].iter().chain(extents).copied().collect())
        })
    }
}

/// For each window and each of its elements, the position of that element in the plane; 0 on padding.
fn positions(lines: &[Line], extents: &[usize]) -> Vec<i64> {
    flat_positions(lines, extents, 0)
}

fn flat_positions(lines: &[Line], extents: &[usize], on_padding: i64) -> Vec<i64> {
    // Of windows of the axes so far: the positions of their elements; nothing on padding.
    let start: Vec<Vec<Option<i64>>> = vec![vec![Some(0)]];
    let all = lines.iter().zip(extents).fold(start, |outer, (line, &extent)| {
        let combine = |at: &Vec<Option<i64>>| -> Vec<Vec<Option<i64>>> {
            let of = |window: &Vec<Option<usize>>| {
                at.iter()
                    .flat_map(|outer| {
                        window.iter().map(move |i| Some((*outer)? * extent as i64 + (*i)? as i64))
                    })
                    .collect()
            };
            line.iter().map(of).collect()
        };
        outer.iter().flat_map(combine).collect()
    });
    all.into_iter().flatten().map(|at| at.unwrap_or(on_padding)).collect()
}

/// Extents of windows side by side, for pooling that leaves these extents.
pub(super) fn even_sizes(spatial: &[usize], extents: &[usize]) -> Option<Axes> {
    let size = |(&extent, &out): (&usize, &usize)| {
        (out > 0 && extent > 0 && extent % out == 0).then(|| extent / out)
    };
    spatial.iter().zip(extents).map(size).collect()
}
