//! Pooling layers. They have no parameters.

use super::{Model, Module, Visitor};
use crate::tensor::{PoolOptions, Tensor};

/// The greatest element of each window over the last `N` axes, which padding never is; see [`Tensor::max_pool2d`].
///
/// Shapes: `[.., spatial..]` -> `[.., places..]` with
/// `floor((extent + 2 * padding - dilation * (size - 1) - 1) / stride) + 1` places along each axis, or rounded up in ceil
/// mode. Source: Scherer and others, *Evaluation of Pooling Operations in Convolutional Architectures for Object
/// Recognition*, 2010.
#[derive(Clone, Debug)]
pub struct MaxPool<const N: usize>(PoolOptions);

/// The mean of each window over the last `N` axes; see [`Tensor::avg_pool2d`].
///
/// Shapes: as [`MaxPool`], without dilation. Source: LeCun and others, *Gradient-Based Learning Applied to Document
/// Recognition*, 1998.
#[derive(Clone, Debug)]
pub struct AvgPool<const N: usize>(PoolOptions);

/// The root of the sum of powers of each window over the last `N` axes; see [`Tensor::lp_pool`].
///
/// Shapes: as [`MaxPool`], without dilation and padding. Source: Sermanet and others, *Convolutional Neural Networks Applied
/// to House Numbers Digit Classification*, 2012.
#[derive(Clone, Debug)]
pub struct LpPool<const N: usize> {
    power: f64,
    options: PoolOptions,
}

/// Norm over one axis.
pub type LpPool1d = LpPool<1>;
/// Norm over two axes.
pub type LpPool2d = LpPool<2>;
/// Norm over three axes.
pub type LpPool3d = LpPool<3>;

impl<const N: usize> LpPool<N> {
    /// Windows as the options say, and the power.
    pub fn new(power: f64, options: impl Into<PoolOptions>) -> LpPool<N> {
        LpPool { power, options: options.into() }
    }
}

impl<const N: usize> Module for LpPool<N> {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl<const N: usize> Model for LpPool<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.lp_pool(N, self.power, self.options.clone())
    }
}

/// Maximum over one axis.
pub type MaxPool1d = MaxPool<1>;
/// Maximum over two axes.
pub type MaxPool2d = MaxPool<2>;
/// Maximum over three axes.
pub type MaxPool3d = MaxPool<3>;
/// Mean over one axis.
pub type AvgPool1d = AvgPool<1>;
/// Mean over two axes.
pub type AvgPool2d = AvgPool<2>;
/// Mean over three axes.
pub type AvgPool3d = AvgPool<3>;

impl<const N: usize> MaxPool<N> {
    /// Windows as the options say; a number stands for windows of that size side by side.
    pub fn new(options: impl Into<PoolOptions>) -> MaxPool<N> {
        MaxPool(options.into())
    }
}

impl<const N: usize> AvgPool<N> {
    /// Windows as the options say; a number stands for windows of that size side by side.
    pub fn new(options: impl Into<PoolOptions>) -> AvgPool<N> {
        AvgPool(options.into())
    }
}

impl<const N: usize> Module for MaxPool<N> {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl<const N: usize> Module for AvgPool<N> {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl<const N: usize> Model for MaxPool<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        const NAMES: [&str; 4] = ["max_pool", "max_pool1d", "max_pool2d", "max_pool3d"];
        x.max_pool(NAMES[N], N, &self.0)
    }
}

impl<const N: usize> Model for AvgPool<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        const NAMES: [&str; 4] = ["avg_pool", "avg_pool1d", "avg_pool2d", "avg_pool3d"];
        x.avg_pool(NAMES[N], N, &self.0)
    }
}

macro_rules! adaptive {
    ($($name:ident => $method:ident, $what:literal: $one:ident, $two:ident, $three:ident;)*) => {$(
        #[doc = $what]
        /// over windows of the last `N` axes such that these extents remain; see
        #[doc = concat!("[`Tensor::", stringify!($method), "`].")]
        ///
        /// Shapes: `[.., spatial..]` -> `[.., extents..]`. Element `i` of `m` on an axis of `n` is of the places from
        /// `floor(i n / m)` to `ceil((i + 1) n / m)`. Source: after He and others, *Spatial Pyramid Pooling in Deep Convolutional
        /// Networks for Visual Recognition*, 2014, section 2.3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<const N: usize>([usize; N]);

        #[doc = $what]
        /// over one axis.
        pub type $one = $name<1>;
        #[doc = $what]
        /// over two axes.
        pub type $two = $name<2>;
        #[doc = $what]
        /// over three axes.
        pub type $three = $name<3>;

        impl<const N: usize> $name<N> {
            /// Windows such that these extents remain.
            pub fn new(extents: [usize; N]) -> $name<N> {
                $name(extents)
            }
        }

        impl<const N: usize> Module for $name<N> {
            fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
        }

        impl<const N: usize> Model for $name<N> {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$method(self.0)
            }
        }
    )*};
}

adaptive! {
    AdaptiveAvgPool => adaptive_avg_pool, "The mean": AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d;
    AdaptiveMaxPool => adaptive_max_pool, "The maximum": AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d;
}
