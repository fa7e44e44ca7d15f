//! Layers that change the size of images: upsampling, borders, channels as pixels. They have no parameters.

use super::{Model, Module, Visitor, simple::layers};
use crate::tensor::{Border, Resample, Tensor};

layers! {
    /// [`pixel_shuffle`](Tensor::pixel_shuffle) as a layer, with the factor: channels become pixels.
    PixelShuffle(factor: usize) => pixel_shuffle;
    /// [`pixel_unshuffle`](Tensor::pixel_unshuffle) as a layer, with the factor: pixels become channels.
    PixelUnshuffle(factor: usize) => pixel_unshuffle;
}

/// Images a number of times as large along each spatial axis; see [`Tensor::interpolate`].
///
/// Shapes: `[n, c, spatial..]` -> `[n, c, scale spatial..]`, rounded down. With the scale `s`, element `i` reads place
/// `floor(i / s)`, or between the places around `(i + 1/2) / s - 1/2` in a line. Source: Odena and others, *Deconvolution and
/// Checkerboard Artifacts*, 2016, for its use before a convolution.
///
/// ```
/// # use kiln::prelude::*;
/// use kiln::nn::Upsample;
/// # let tracer = Tracer::new("upsample");
/// # let x = tracer.input("x", f32(&[2, 3, 4, 5]));
/// assert_eq!(Upsample::nearest(2.0).forward(&x).extents(), [2, 3, 8, 10]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upsample {
    /// How much larger.
    pub scale: f64,
    /// How the elements between are found.
    pub mode: Resample,
}

impl Upsample {
    /// The nearest element of each.
    pub fn nearest(scale: f64) -> Upsample {
        Upsample { scale, mode: Resample::Nearest }
    }

    /// Linear along each axis, outer borders at the same places: PyTorch's `bilinear` and its relatives.
    pub fn linear(scale: f64) -> Upsample {
        Upsample { scale, mode: Resample::Linear { align_corners: false } }
    }
}

impl Module for Upsample {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl Model for Upsample {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let extents: Vec<usize> =
            x.extents().iter().skip(2).map(|&extent| (extent as f64 * self.scale).floor() as usize).collect();
        x.interpolate(&extents, &vec![self.scale; extents.len()], self.mode)
    }
}

/// A border around the last axes; see [`Tensor::pad_with`], and [`Border`] for which element stands where.
///
/// Shapes: `[.., spatial..]` -> each spatial extent with its amounts added. Names in PyTorch: `ConstantPad2d`,
/// `ReflectionPad2d`, `ReplicationPad2d`, `CircularPad2d` and so on. Source: Gonzalez and Woods, *Digital Image Processing*,
/// fourth edition, 2018, chapter 3, on borders of filtered images.
///
/// ```
/// # use kiln::prelude::*;
/// use kiln::{Border, nn::Pad};
/// # let tracer = Tracer::new("pad");
/// # let x = tracer.input("x", f32(&[2, 3, 4, 5]));
/// let pad = Pad::new(&[(1, 1), (2, 2)], Border::Reflect);
/// assert_eq!(pad.forward(&x).extents(), [2, 3, 6, 9]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    amounts: Vec<(i64, i64)>,
    border: Border,
}

impl Pad {
    /// So many elements before and after each of the last axes, outermost first; negative numbers cut off.
    pub fn new(amounts: &[(i64, i64)], border: Border) -> Pad {
        Pad { amounts: amounts.to_vec(), border }
    }
}

impl Module for Pad {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl Model for Pad {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.pad_with(&self.amounts, self.border)
    }
}
