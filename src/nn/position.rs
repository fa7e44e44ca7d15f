//! How a model knows places in a sequence.

use super::{Init, Model, Module, Param, Visitor};
use crate::tensor::{Tensor, cat};
use kiln_ir::TensorData;

/// Adds sines and cosines of each place to its features.
///
/// Feature `2 i` is `sin(place / 10000^(2 i / width))`, feature `2 i + 1` the cosine. Shapes: `[.., t, width]`. No
/// parameters. Source: Vaswani and others, *Attention Is All You Need*, 2017, section 3.5.
#[derive(Clone, Copy, Debug, Default)]
pub struct SinusoidalPositions;

impl Module for SinusoidalPositions {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl Model for SinusoidalPositions {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let &[.., t, width] = x.extents() else {
            return x.refuse("sinusoidal_positions", "it needs an axis of places and one of features");
        };
        let feature = |i: usize| {
            let (place, feature) = (i / width, i % width);
            let angle = place as f64 * frequency(feature / 2, width);
            (if feature % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
        };
        let table = TensorData::new([t, width], (0..t * width).map(feature).collect());
        x + x.constant(table).cast(x.dtype())
    }
}

/// `10000^(-2 i / width)`.
fn frequency(i: usize, width: usize) -> f64 {
    10_000f64.powf(-2.0 * i as f64 / width as f64)
}

/// Adds a learned vector to each place.
///
/// Parameter: `weight: [places, width]`, normal as that of an embedding. Shapes: `[.., t, width]`, with `t` places or fewer.
/// Source: Gehring and others, *Convolutional Sequence to Sequence Learning*, 2017, section 3.1.
#[derive(Debug)]
pub struct LearnedPositions {
    /// A row for each place.
    pub weight: Param,
}
crate::parameters!(LearnedPositions { weight });

impl LearnedPositions {
    /// A layer for at most so many places.
    pub fn new(places: usize, width: usize) -> LearnedPositions {
        LearnedPositions { weight: Param::new([places, width], Init::Normal { mean: 0.0, std: 1.0 }) }
    }
}

impl Model for LearnedPositions {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.in_layer(x, || {
            let &[.., t, _] = x.extents() else {
                return x.refuse("learned_positions", "it needs an axis of places and one of features");
            };
            x + self.weight.of(x).narrow(0, 0, t)
        })
    }
}

/// Turns pairs of features by angles that grow with the place, so that products of queries and keys depend on the distance of
/// their places.
///
/// Features `i` and `i + width / 2` are a pair; it turns by `place * 10000^(-2 i / width)`. Shapes: `[.., t, width]`, the
/// width even. No parameters. Source: Su and others, *RoFormer*, 2021, in the order of features of GPT-NeoX and Llama.
#[derive(Clone, Copy, Debug, Default)]
pub struct RotaryEmbedding;

impl Module for RotaryEmbedding {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl Model for RotaryEmbedding {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (t, width) = match *x.extents() {
            [.., t, width] if width % 2 == 0 => (t, width),
            _ => {
                return x
                    .refuse("rotary_embedding", "it needs an axis of places and an even number of features");
            }
        };
        let half = width / 2;
        let table = |of: fn(f64) -> f64| {
            let value = |i: usize| of((i / half) as f64 * frequency(i % half, width)) as f32;
            x.constant(TensorData::new([t, half], (0..t * half).map(value).collect())).cast(x.dtype())
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        let (a, b) = (x.narrow(-1, 0, half), x.narrow(-1, half as i64, half));
        cat(&[&(&a * &cos - &b * &sin), &(&b * &cos + &a * &sin)], -1)
    }
}
