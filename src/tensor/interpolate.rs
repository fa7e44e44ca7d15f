//! Images in other sizes, and images read at given places.
//!
//! Shapes: `[n, c, spatial..]`. Types: floats. Errors: other ranks.

use super::unfold::adaptive;
use super::{Border, PerAxis, Tensor};
use kiln_ir::{DType, TensorData};

/// How the elements between those of an image are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// The nearest one before, as in the first versions of PyTorch.
    Nearest,
    /// The nearest one.
    NearestExact,
    /// Linear along each axis (bilinear, trilinear). With `align_corners` the first and last elements of both images are
    /// at the same places; otherwise their outer borders are.
    Linear {
        /// What is at the same places.
        align_corners: bool,
    },
    /// Cubic convolution along each axis; corners as for `Linear`.
    Cubic {
        /// What is at the same places.
        align_corners: bool,
    },
    /// The mean over the area that an element covers.
    Area,
}

impl Tensor {
    /// Images in other sizes. `scale`, if there is one for an axis, is the factor between the sizes; otherwise it follows
    /// from them.
    ///
    /// Shapes: `[n, c, spatial..]` -> `[n, c, extents..]`. Each spatial axis is a product with a matrix of weights, or
    /// repeats its elements where these are a whole number of times as many nearest ones. Source: Keys, *Cubic Convolution
    /// Interpolation for Digital Image Processing*, 1981, which has the nearest, linear and cubic kernels.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # use kiln::Resample;
    /// # let tracer = Tracer::new("interpolate");
    /// let x = tracer.input("x", f32(&[8, 3, 32, 32]));
    /// assert_eq!(x.interpolate(&[64, 64], &[], Resample::Nearest).extents(), [8, 3, 64, 64]);
    /// ```
    #[track_caller]
    pub fn interpolate(&self, extents: &[usize], scale: &[f64], mode: Resample) -> Tensor {
        if extents.is_empty() || self.rank() != extents.len() + 2 {
            return self
                .refuse("interpolate", format!("{extents:?} has not an extent for each spatial axis"));
        }
        self.within("interpolate", || {
            let mut y = self.clone();
            for (a, &out) in extents.iter().enumerate() {
                let (axis, extent) = (a as i64 + 2, self.shape()[a + 2]);
                if extent == 0 {
                    return self.refuse("interpolate", "an axis has no elements");
                }
                let step = scale.get(a).map_or(extent as f64 / out as f64, |scale| scale.recip());
                let is_nearest = matches!(mode, Resample::Nearest | Resample::NearestExact);
                if is_nearest && out % extent == 0 && step * out as f64 == extent as f64 {
                    y = y.repeated(a + 2, out / extent);
                    continue;
                }
                let rows = self.constant(TensorData::new([out, extent], weights(mode, extent, out, step)));
                y = y.movedim(axis, -1).linear(&rows.cast(self.dtype()), None).movedim(-1, axis);
            }
            y
        })
    }

    /// Each element `n` times along an axis.
    fn repeated(&self, axis: usize, n: usize) -> Tensor {
        let mut extents: Vec<i64> = self.extents().iter().map(|&extent| extent as i64).collect();
        extents.insert(axis + 1, n as i64);
        let repeated = self.unsqueeze(axis as i64 + 1).expand(extents);
        repeated.flatten(axis as i64, axis as i64 + 1)
    }

    /// Images with each element `scale` times along each spatial axis: nearest neighbours.
    ///
    /// Shapes: `[n, c, spatial..]`. Errors: not one scale, or one for each spatial axis.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("upsample");
    /// # let x = tracer.input("x", f32(&[2, 3, 4, 5]));
    /// assert_eq!(x.upsample_nearest(2).extents(), [2, 3, 8, 10]);
    /// ```
    #[track_caller]
    pub fn upsample_nearest(&self, scale: impl Into<PerAxis>) -> Tensor {
        let n_spatial = self.rank().checked_sub(2).filter(|&n| n > 0);
        let Some(scales) = n_spatial.and_then(|n| scale.into().resolve(n)) else {
            return self.refuse("upsample_nearest", "it needs one scale, or one for each spatial axis");
        };
        self.within("upsample_nearest", || {
            let axes = scales.iter().enumerate();
            axes.fold(self.clone(), |y, (axis, &scale)| y.repeated(axis + 2, scale))
        })
    }

    /// Images read at given places (PyTorch's `grid_sample`), -1 to 1 along each axis, the last axis of the image first.
    /// Places beyond the image read zeros, the border, or its reflection.
    ///
    /// Shapes: `self: [n, c, spatial..]` with two or three spatial axes, `grid: [n, out.., 2 or 3]` -> `[n, c, out..]`.
    /// Errors: `Resample::Area` and `NearestExact`, or cubic in three dimensions; a circular border or one of a constant
    /// that is not 0. Source: Jaderberg and others, *Spatial Transformer Networks*, 2015.
    #[track_caller]
    pub fn grid_sample(&self, grid: &Tensor, mode: Resample, border: Border, align_corners: bool) -> Tensor {
        let n = self.rank().saturating_sub(2);
        let is_known = match mode {
            Resample::Nearest | Resample::Linear { .. } => true,
            Resample::Cubic { .. } => n == 2,
            Resample::NearestExact | Resample::Area => false,
        } && !matches!(border, Border::Circular)
            && (border == Border::Constant(0.0) || !matches!(border, Border::Constant(_)));
        let fits = (n == 2 || n == 3) && grid.rank() == n + 2 && grid.shape()[n + 1] == n;
        if !is_known || !fits {
            return self.refuse("grid_sample", "this mode, border or grid is not supported");
        }
        if grid.shape()[0] != self.shape()[0] {
            let problem = "there must be a grid for each image";
            return self.refuse_with(("images", self), ("grids", grid), "grid_sample", problem);
        }
        self.within("grid_sample", || {
            // Of each spatial axis, first to last, the places as positions.
            let coordinates: Vec<Tensor> = (0..n)
                .map(|a| {
                    let extent = self.shape()[a + 2] as f64;
                    let at = grid.select_index(-1, (n - 1 - a) as i64);
                    if align_corners {
                        (at + 1.0) * ((extent - 1.0) / 2.0)
                    } else {
                        ((at + 1.0) * extent - 1.0) / 2.0
                    }
                })
                .collect();
            let is_cubic = matches!(mode, Resample::Cubic { .. });
            let taps: Vec<Vec<(Tensor, Tensor)>> = coordinates
                .iter()
                .enumerate()
                .map(|(a, at)| {
                    let extent = self.shape()[a + 2];
                    let at = if is_cubic { at.clone() } else { bounded(at, extent, border, align_corners) };
                    let taps = taps(&at, mode);
                    let place = |(i, w): (Tensor, Tensor)| match is_cubic {
                        true => (bounded(&i, extent, border, align_corners), w),
                        false => (i, w),
                    };
                    taps.into_iter().map(place).collect()
                })
                .collect();
            self.sampled(&taps)
        })
    }

    /// The sum over all combinations of a tap of each axis of elements times weights; beyond the image elements are 0.
    fn sampled(&self, taps: &[Vec<(Tensor, Tensor)>]) -> Tensor {
        let (batch, channels) = (self.shape()[0], self.shape()[1]);
        let flat = self.flatten(2, -1);
        let out = taps[0][0].0.shape().clone();
        let mut combinations: Vec<(Tensor, Tensor, Tensor)> = vec![(
            taps[0][0].0.zeros_like(),
            taps[0][0].0.ones_like(),
            taps[0][0].0.ones_like().cast(DType::Bool),
        )];
        for (a, axis) in taps.iter().enumerate() {
            let extent = self.shape()[a + 2] as f64;
            let mut longer = Vec::new();
            for (place, weight, inside) in &combinations {
                for (i, w) in axis {
                    let within = i.ge(0.0).logical_and(i.lt(extent));
                    longer.push((place * extent + i, weight * w, inside.logical_and(within)));
                }
            }
            combinations = longer;
        }
        let mut total: Option<Tensor> = None;
        for (place, weight, inside) in combinations {
            let place = inside.select(place, 0.0).cast(DType::I64).reshape([batch as i64, 1, -1]);
            let n_places = place.shape()[2];
            let at = place.broadcast_to([batch, channels, n_places]);
            let weight = inside.select(weight, 0.0).cast(self.dtype()).reshape([batch as i64, 1, -1]);
            let term = flat.gather(-1, &at) * weight;
            total = Some(total.map_or(term.clone(), |sum| sum + &term));
        }
        let total = total.expect("each axis has taps");
        let shape = [batch, channels].iter().chain(&out[1..]).copied().collect();
        total.reshape_exact(shape)
    }
}

/// Positions moved onto an axis as the border says.
fn bounded(at: &Tensor, extent: usize, border: Border, align_corners: bool) -> Tensor {
    let last = extent as f64 - 1.0;
    match border {
        Border::Constant(_) | Border::Circular => at.clone(),
        Border::Replicate => at.clamp(0.0, last),
        Border::Reflect => {
            let (low, span) = if align_corners { (0.0, last) } else { (-0.5, extent as f64) };
            if span == 0.0 {
                return at.zeros_like();
            }
            let distance = (at - low).abs();
            let turns = (&distance / span).floor().detach();
            let rest = distance - &turns * span;
            let is_even = turns.fmod(2.0).eq(0.0);
            (is_even.select(&rest, span - &rest) + low).clamp(0.0, last)
        }
    }
}

/// The positions that a place reads along an axis, and their weights.
fn taps(at: &Tensor, mode: Resample) -> Vec<(Tensor, Tensor)> {
    let below = at.floor().detach();
    let t = at - &below;
    match mode {
        Resample::Nearest | Resample::NearestExact | Resample::Area => {
            vec![(at.round().detach(), at.ones_like())]
        }
        Resample::Linear { .. } => vec![(below.clone(), 1.0 - &t), (below + 1.0, t)],
        Resample::Cubic { .. } => [(-1.0, &t + 1.0), (0.0, t.clone()), (1.0, 1.0 - &t), (2.0, 2.0 - &t)]
            .into_iter()
            .enumerate()
            .map(|(k, (offset, distance))| {
                let c = cubic_coefficients(k == 1 || k == 2);
                (&below + offset, distance.polynomial(&c))
            })
            .collect(),
    }
}

/// The weight of each element of a line for each element of the resampled line, after PyTorch's `UpSample.h`; `step` is
/// the distance of neighbouring results, in elements.
fn weights(mode: Resample, n: usize, out: usize, step: f64) -> Vec<f64> {
    let mut weights = vec![0f64; out * n];
    let mut add =
        |o: usize, i: i64, weight: f64| weights[o * n + i.clamp(0, n as i64 - 1) as usize] += weight;
    let corner_step = if out > 1 { (n - 1) as f64 / (out - 1) as f64 } else { 0.0 };
    let source =
        |o: usize, align: bool| if align { o as f64 * corner_step } else { (o as f64 + 0.5) * step - 0.5 };
    for o in 0..out {
        match mode {
            // The step is a single precision number in these modes.
            Resample::Nearest => add(o, (o as f32 * step as f32) as i64, 1.0),
            Resample::NearestExact => add(o, ((o as f32 + 0.5) * step as f32) as i64, 1.0),
            Resample::Linear { align_corners } => {
                let at = source(o, align_corners).max(0.0);
                add(o, at.floor() as i64, 1.0 - at.fract());
                add(o, at.floor() as i64 + 1, at.fract());
            }
            Resample::Cubic { align_corners } => {
                let at = source(o, align_corners);
                let t = at - at.floor();
                for (k, distance) in [1.0 + t, t, 1.0 - t, 2.0 - t].into_iter().enumerate() {
                    let weight =
                        cubic_coefficients(k == 1 || k == 2).iter().fold(0.0, |sum, c| sum * distance + c);
                    add(o, at.floor() as i64 + k as i64 - 1, weight);
                }
            }
            Resample::Area => {
                let line = &adaptive(n, out)[o];
                let count = line.iter().flatten().count() as f64;
                line.iter().flatten().for_each(|&i| add(o, i as i64, 1.0 / count));
            }
        }
    }
    weights
}

/// The cubic convolution kernel with slope -3/4 at 1, as a polynomial of the distance: up to 1, or from there to 2.
/// Source: Keys, *Cubic convolution interpolation for digital image processing*, 1981.
fn cubic_coefficients(is_near: bool) -> [f64; 4] {
    const A: f64 = -0.75;
    if is_near { [A + 2.0, -(A + 3.0), 0.0, 1.0] } else { [A, -5.0 * A, 8.0 * A, -4.0 * A] }
}
