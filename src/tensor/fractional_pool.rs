//! Maxima over windows that begin at fractional steps.
//!
//! Source: Graham, *Fractional Max-Pooling*, 2014, with PyTorch's sequence of windows.

use super::Tensor;
use kiln_ir::{DType, Shape};

impl Tensor {
    /// The greatest element of each window, and its index within the last axes, flattened (`i64`).
    ///
    /// Window number `i` of `m` along an axis of `n` elements begins at `floor((i + u) s) - floor(u s)` with
    /// `s = (n - size) / (m - 1)`, the last one at `n - size`, where `u` is the axis' random sample.
    ///
    /// Shapes: `self: [batch, channels, axes..]`, `sizes` and `extents` a number for each of these axes, `samples: [batch,
    /// channels, number of axes]`, between 0 and 1; of two axes the last one comes first, as in PyTorch -> `[batch,
    /// channels, extents..]`.
    #[track_caller]
    pub fn fractional_max_pool(
        &self,
        sizes: &[usize],
        extents: &[usize],
        samples: &Tensor,
    ) -> (Tensor, Tensor) {
        let n = sizes.len();
        let fits = |a: usize| extents[a] + sizes[a] <= self.shape()[a + 2] + 1;
        if self.rank() != n + 2 || extents.len() != n || !(0..n).all(fits) {
            let poisoned = self.refuse("fractional_max_pool", "the windows do not fit the axes");
            return (poisoned.clone(), poisoned);
        }
        self.within("fractional_max_pool", || {
            // [batch, channels, windows.., places in a window..] of indices into the flattened axes.
            let mut index: Option<Tensor> = None;
            for a in 0..n {
                let places = self.window_places(a, sizes, extents, samples);
                index =
                    Some(index.map_or(places.clone(), |index| index * self.shape()[a + 2] as i64 + places));
            }
            let index = index.expect("there is an axis");
            let (batch, channels) = (self.shape()[0] as i64, self.shape()[1] as i64);
            let flat = self.reshape([batch, channels, -1]);
            let size = sizes.iter().product::<usize>() as i64;
            let windows = flat.gather(-1, &index.reshape([batch, channels, -1]));
            let (value, place) = windows.reshape([batch, channels, -1, size]).max_along(-1, true);
            let at = index.reshape([batch, channels, -1, size]).gather(-1, &place);
            let shape: Vec<i64> =
                [batch, channels].into_iter().chain(extents.iter().map(|&e| e as i64)).collect();
            (value.reshape(&shape), at.reshape(&shape))
        })
    }

    /// Where the places of the windows lie along an axis: [batch, channels, windows.., places..].
    fn window_places(&self, a: usize, sizes: &[usize], extents: &[usize], samples: &Tensor) -> Tensor {
        let (n, windows) = (sizes.len(), extents[a]);
        let last = (self.shape()[a + 2] - sizes[a]) as f64;
        let step = if windows > 1 { last / (windows - 1) as f64 } else { 0.0 };
        let of_axis = if n == 2 { n - 1 - a } else { a };
        let sample = samples.narrow(-1, of_axis as i64, 1).cast(DType::F64);
        let number = self.iota(DType::I64, Shape::new(&[windows]), 0);
        let start = ((&sample + number.cast(DType::F64)) * step).floor() - (&sample * step).floor();
        let start = number.eq(windows as i64 - 1).select(last, start).cast(DType::I64);
        let along = |at: usize| -> Vec<i64> {
            let mut shape = vec![samples.shape()[0] as i64, samples.shape()[1] as i64];
            shape.extend((0..2 * n).map(|axis| if axis == at { -1 } else { 1 }));
            shape
        };
        let mut within = along(n + a);
        (within[0], within[1]) = (1, 1);
        let place = self.iota(DType::I64, Shape::new(&[sizes[a]]), 0).reshape(within);
        let shape: Shape = self.shape()[..2]
            .iter()
            .copied()
            .chain(extents.iter().copied())
            .chain(sizes.iter().copied())
            .collect();
        (start.reshape(along(a)) + place).broadcast_to(shape)
    }
}
