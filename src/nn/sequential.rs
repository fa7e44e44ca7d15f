//! Layers one after the other.

use super::{Model, Module, Visitor};
use crate::tensor::Tensor;
use std::panic::Location;

/// Layers one after the other; their parameters are named by position, as in PyTorch. Shapes: the input's are those of the
/// first layer, the result's those of the last one.
///
/// ```
/// use kiln::prelude::*;
///
/// let model = Sequential::new().then(Linear::new(64, 32)).then(Relu).then(Linear::new(32, 10));
/// let names: Vec<String> = kiln::nn::parameters_of(&model).into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["0.weight", "0.bias", "2.weight", "2.bias"]);
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Placed>,
}

/// A layer, and the user's line that put it here: calls through a table hide their caller.
struct Placed {
    layer: Box<dyn Model>,
    location: &'static Location<'static>,
}

/// A function as a layer.
struct Function<F>(F);

impl<F: Fn(&Tensor) -> Tensor> Module for Function<F> {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl<F: Fn(&Tensor) -> Tensor> Model for Function<F> {
    fn forward(&self, x: &Tensor) -> Tensor {
        (self.0)(x)
    }
}

impl Sequential {
    /// No layers: passes its input on.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With a layer after the others.
    #[track_caller]
    pub fn then(mut self, layer: impl Model + 'static) -> Sequential {
        self.layers.push(Placed { layer: Box::new(layer), location: Location::caller() });
        self
    }

    /// With a function after the others. It takes a position, as a layer does.
    #[track_caller]
    pub fn apply(self, function: impl Fn(&Tensor) -> Tensor + 'static) -> Sequential {
        self.then(Function(function))
    }
}

impl Module for Sequential {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        for (i, placed) in self.layers.iter().enumerate() {
            visitor.child(&i.to_string(), &placed.layer);
        }
    }
}

impl Model for Sequential {
    fn forward(&self, x: &Tensor) -> Tensor {
        let apply = |x: Tensor, placed: &Placed| x.tracer().at(placed.location, || placed.layer.forward(&x));
        self.layers.iter().fold(x.clone(), apply)
    }
}
