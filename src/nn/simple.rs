//! Layers that are one method of a tensor: dropout, flattening, and the macro that declares such layers.

/// Layers that are one method of [`Tensor`].
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident $(($($field:ident: $type:ty),*))? => $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name $(($(pub $type),*))?;

        impl $crate::nn::Module for $name {
            fn visit<'m>(&'m self, _: &mut $crate::nn::Visitor<'m>) {}
        }

        impl $crate::nn::Model for $name {
            #[track_caller]
            fn forward(&self, x: &$crate::tensor::Tensor) -> $crate::tensor::Tensor {
                let $name $(($($field),*))? = *self;
                x.$method($($($field),*)?)
            }
        }
    )*};
}

pub(super) use layers;

layers! {
    /// [`dropout`](crate::tensor::Tensor::dropout) as a layer, with the probability of a zero. Shapes: any, the result alike.
    Dropout(p: f64) => dropout;
    /// [`flatten`](crate::tensor::Tensor::flatten) as a layer: the axes from the first to the last number become one, whose
    /// extent is the product of theirs, in row-major order. Shapes: by default `[n, ..]` -> `[n, features]`.
    Flatten(first: i64, last: i64) => flatten;
}

impl Default for Flatten {
    /// All axes but the first, which counts the samples.
    fn default() -> Flatten {
        Flatten(1, -1)
    }
}
