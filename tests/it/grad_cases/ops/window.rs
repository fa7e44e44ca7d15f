//! Windows as an axis of their own: what pooling does beyond Kiln's, and unfolding.

use super::shape::indices;
use kiln::prelude::*;

/// Along one axis, for each place of the window the positions under it; nothing where it lies on padding. All windows
/// have the same length.
pub type Line = Vec<Vec<Option<usize>>>;

/// A window that moves by steps, as in convolution and pooling.
pub struct Steps {
    pub size: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
    pub ceil_mode: bool,
}

impl Steps {
    /// The windows over an axis; PyTorch's `pooling_output_shape`.
    pub fn line(&self, extent: usize) -> Line {
        let reach = self.dilation * (self.size - 1) + 1;
        let free = (extent + 2 * self.padding).saturating_sub(reach);
        let mut n = free / self.stride + 1;
        if self.ceil_mode && !free.is_multiple_of(self.stride) && n * self.stride < extent + self.padding {
            n += 1;
        }
        let at = |o: usize, k: usize| (o * self.stride + k * self.dilation).checked_sub(self.padding);
        let window = |o: usize| (0..self.size).map(|k| at(o, k).filter(|&i| i < extent)).collect();
        (0..n).map(window).collect()
    }
}

/// The windows of adaptive pooling: `n` of them, as equal as the extent allows.
pub fn adaptive(extent: usize, n: usize) -> Line {
    let bounds = |i: usize| (i * extent / n.max(1), ((i + 1) * extent).div_ceil(n.max(1)));
    let longest = (0..n).map(|i| bounds(i).1 - bounds(i).0).max().unwrap_or(0);
    let window = |i: usize| {
        let (start, end) = bounds(i);
        (0..longest).map(move |k| Some(start + k).filter(|&at| at < end)).collect()
    };
    (0..n).map(window).collect()
}

/// The windows over the last axes: `[.., out.., elements of a window]`, with `fill` where there is padding.
pub fn windows(x: &Tensor, lines: &[Line], fill: f64) -> Tensor {
    let lead = x.rank() - lines.len();
    let mut windows = x.clone();
    for (a, line) in lines.iter().enumerate() {
        // One element of `fill` after the axis stands for all padding. The axes of windows gather at the end.
        let axis = lead + a;
        let extent = windows.extents()[axis];
        let mut border = vec![(0, 0); windows.rank()];
        border[axis] = (0, 1);
        let at = line.iter().flatten().map(|i| i.unwrap_or(extent) as i64).collect();
        let picked = windows.pad(&border, fill).index_select(axis as i64, &indices(x, at));
        let parts = [line.len() as i64, line.first().map_or(0, Vec::len) as i64];
        windows = picked.unflatten(axis as i64, parts).movedim(axis as i64 + 1, -1);
    }
    windows.flatten(x.rank() as i64, -1)
}

/// For each window and each of its elements, the position of that element in the plane of the last axes.
pub fn positions(lines: &[Line], extents: &[usize]) -> Vec<Vec<i64>> {
    let start = vec![(Vec::<usize>::new(), vec![0i64])];
    let nested = lines.iter().zip(extents).fold(start, |outer, (line, &extent)| {
        let within = |(place, at): &(Vec<usize>, Vec<i64>)| {
            let place = place.clone();
            let at = at.clone();
            line.iter().enumerate().map(move |(o, window)| {
                let inner = window.iter().map(|i| i.unwrap_or(0) as i64);
                let flat = at
                    .iter()
                    .flat_map(|outer| inner.clone().map(move |i| outer * extent as i64 + i))
                    .collect();
                (place.iter().copied().chain([o]).collect(), flat)
            })
        };
        outer.iter().flat_map(within).collect()
    });
    nested.into_iter().map(|(_, at)| at).collect()
}

/// The greatest element of each window, and its position in the plane of the last axes.
pub fn max_with_indices(x: &Tensor, lines: &[Line]) -> [Tensor; 2] {
    let windows = windows(x, lines, f64::NEG_INFINITY);
    let lead = x.rank() - lines.len();
    let table = positions(lines, &x.extents()[lead..]);
    let width = table.first().map_or(0, Vec::len);
    let mut shape: Vec<usize> = lines.iter().map(Line::len).collect();
    shape.push(width);
    let table = x.constant(TensorData::new(&shape[..], table.concat()));
    let place = windows.argmax(keep(-1));
    let at = table.broadcast_to(windows.shape().clone()).gather(-1, &place).squeeze(-1);
    [windows.max(-1), at]
}
