//! The layers of a transformer, and stacks of them.
//!
//! Source: Vaswani and others, *Attention Is All You Need*, 2017, section 3; names and defaults are PyTorch's. With
//! `norm_first` norms stand before attention and perceptron instead of after the sums, as in Xiong and others, *On Layer
//! Normalization in the Transformer Architecture*, 2020.

use super::{Dropout, Init, LayerNorm, Linear, Mask, Model, MultiheadAttention};
use crate::tensor::Tensor;

/// Attention of a sequence to itself and a perceptron, each with a way around it.
///
/// Shapes: as [`MultiheadAttention`].
#[derive(Debug)]
pub struct TransformerEncoderLayer {
    /// The attention.
    pub self_attn: MultiheadAttention,
    /// Into the perceptron.
    pub linear1: Linear,
    /// Out of the perceptron.
    pub linear2: Linear,
    /// Of the attention.
    pub norm1: LayerNorm,
    /// Of the perceptron.
    pub norm2: LayerNorm,
    options: Options,
}
crate::parameters!(TransformerEncoderLayer { self_attn, linear1, linear2, norm1, norm2 });

/// Attention of a sequence to itself, attention to another sequence, and a perceptron, each with a way around it.
///
/// Shapes: as [`MultiheadAttention`].
#[derive(Debug)]
pub struct TransformerDecoderLayer {
    /// The attention of the sequence to itself.
    pub self_attn: MultiheadAttention,
    /// The attention to the other sequence.
    pub multihead_attn: MultiheadAttention,
    /// Into the perceptron.
    pub linear1: Linear,
    /// Out of the perceptron.
    pub linear2: Linear,
    /// Of the first attention.
    pub norm1: LayerNorm,
    /// Of the second attention.
    pub norm2: LayerNorm,
    /// Of the perceptron.
    pub norm3: LayerNorm,
    options: Options,
}
crate::parameters!(TransformerDecoderLayer {
    self_attn,
    multihead_attn,
    linear1,
    linear2,
    norm1,
    norm2,
    norm3
});

/// What both layers have in common.
#[derive(Clone, Copy, Debug)]
struct Options {
    dropout: f64,
    norm_first: bool,
    gelu: bool,
}

impl Options {
    /// PyTorch's.
    const DEFAULT: Options = Options { dropout: 0.1, norm_first: false, gelu: false };

    /// `x + f(norm(x))`, or `norm(x + f(x))`.
    fn around(self, x: &Tensor, norm: &LayerNorm, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
        let dropped = |x: &Tensor| Dropout(self.dropout).forward(&f(x));
        if self.norm_first { x + dropped(&norm.forward(x)) } else { norm.forward(&(x + dropped(x))) }
    }

    fn perceptron(self, x: &Tensor, linear1: &Linear, linear2: &Linear) -> Tensor {
        let hidden = linear1.forward(x);
        let hidden = if self.gelu { hidden.gelu() } else { hidden.relu() };
        linear2.forward(&Dropout(self.dropout).forward(&hidden))
    }
}

/// The setters that both layers have.
macro_rules! options {
    ($layer:ident, [$($attention:ident),*], [$($norm:ident),*]) => {
        impl $layer {
            /// The same with another share of dropped elements; 0.1 in PyTorch.
            pub fn dropout(mut self, dropout: f64) -> $layer {
                self.options.dropout = dropout;
                $(self.$attention = self.$attention.dropout(dropout);)*
                self
            }

            /// The same with norms before attention and perceptron.
            pub fn norm_first(mut self, norm_first: bool) -> $layer {
                self.options.norm_first = norm_first;
                self
            }

            /// The same with GELU instead of ReLU.
            pub fn gelu(mut self, gelu: bool) -> $layer {
                self.options.gelu = gelu;
                self
            }

            /// The same for `[n, t, width]`.
            pub fn batch_first(mut self, batch_first: bool) -> $layer {
                $(self.$attention = self.$attention.batch_first(batch_first);)*
                self
            }

            /// The same with another number added to the variances; 1e-5 in PyTorch.
            pub fn eps(mut self, eps: f64) -> $layer {
                $(self.$norm = self.$norm.eps(eps);)*
                self
            }

            /// The same without biases, those of norms included.
            pub fn without_bias(mut self) -> $layer {
                $(self.$attention = self.$attention.without_bias();)*
                $(self.$norm = self.$norm.without_bias();)*
                self.linear1 = self.linear1.without_bias();
                self.linear2 = self.linear2.without_bias();
                self
            }

            /// The same, all matrices uniform as Glorot and Bengio say: how PyTorch's `Transformer` starts.
            fn with_xavier(mut self) -> $layer {
                let init = || Init::XavierUniform { gain: 1.0 };
                $(self.$attention.out_proj = self.$attention.out_proj.weight_init(init());)*
                self.linear1 = self.linear1.weight_init(init());
                self.linear2 = self.linear2.weight_init(init());
                self
            }
        }
    };
}

options!(TransformerEncoderLayer, [self_attn], [norm1, norm2]);
options!(TransformerDecoderLayer, [self_attn, multihead_attn], [norm1, norm2, norm3]);

impl TransformerEncoderLayer {
    /// A layer of this width, with so many heads and so many hidden features of the perceptron (2048 in PyTorch).
    #[track_caller]
    pub fn new(width: usize, heads: usize, hidden: usize) -> TransformerEncoderLayer {
        TransformerEncoderLayer {
            self_attn: MultiheadAttention::new(width, heads).dropout(Options::DEFAULT.dropout),
            linear1: Linear::new(width, hidden),
            linear2: Linear::new(hidden, width),
            norm1: LayerNorm::new([width]),
            norm2: LayerNorm::new([width]),
            options: Options::DEFAULT,
        }
    }

    /// The layer with a mask.
    #[track_caller]
    pub fn encode(&self, x: &Tensor, mask: &Mask) -> Tensor {
        let x = self.options.around(x, &self.norm1, |x| self.self_attn.attend(x, x, x, mask));
        self.options.around(&x, &self.norm2, |x| self.options.perceptron(x, &self.linear1, &self.linear2))
    }
}

impl Model for TransformerEncoderLayer {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.encode(x, &Mask::none())
    }
}

impl TransformerDecoderLayer {
    /// A layer of this width, with so many heads and so many hidden features of the perceptron (2048 in PyTorch).
    #[track_caller]
    pub fn new(width: usize, heads: usize, hidden: usize) -> TransformerDecoderLayer {
        let attention = || MultiheadAttention::new(width, heads).dropout(Options::DEFAULT.dropout);
        TransformerDecoderLayer {
            self_attn: attention(),
            multihead_attn: attention(),
            linear1: Linear::new(width, hidden),
            linear2: Linear::new(hidden, width),
            norm1: LayerNorm::new([width]),
            norm2: LayerNorm::new([width]),
            norm3: LayerNorm::new([width]),
            options: Options::DEFAULT,
        }
    }

    /// The layer: `x` attends to itself and to `memory`.
    #[track_caller]
    pub fn decode(&self, x: &Tensor, memory: &Tensor, mask: &Mask, memory_mask: &Mask) -> Tensor {
        let x = self.options.around(x, &self.norm1, |x| self.self_attn.attend(x, x, x, mask));
        let attend = |x: &Tensor| self.multihead_attn.attend(x, memory, memory, memory_mask);
        let x = self.options.around(&x, &self.norm2, attend);
        self.options.around(&x, &self.norm3, |x| self.options.perceptron(x, &self.linear1, &self.linear2))
    }
}

/// Layers of an encoder one after the other, and a norm after the last one if there is one.
///
/// Parameters, as in PyTorch: `layers.0` and so on, `norm`. Shapes: as [`MultiheadAttention`].
///
/// ```
/// use kiln::nn::{LayerNorm, TransformerEncoder, TransformerEncoderLayer};
///
/// let layer = || TransformerEncoderLayer::new(64, 4, 256).batch_first(true).norm_first(true);
/// let encoder = TransformerEncoder::new(6, layer).norm(LayerNorm::new([64]));
/// let names = kiln::nn::parameters_of(&encoder);
/// assert_eq!(names[0].0, "layers.0.self_attn.in_proj_weight");
/// ```
#[derive(Debug)]
pub struct TransformerEncoder {
    /// The layers.
    pub layers: Vec<TransformerEncoderLayer>,
    /// After the last layer.
    pub norm: Option<LayerNorm>,
}
crate::parameters!(TransformerEncoder { layers, norm });

/// Layers of a decoder one after the other, and a norm after the last one if there is one.
///
/// Parameters, as in PyTorch: `layers.0` and so on, `norm`. Shapes: as [`MultiheadAttention`].
#[derive(Debug)]
pub struct TransformerDecoder {
    /// The layers.
    pub layers: Vec<TransformerDecoderLayer>,
    /// After the last layer.
    pub norm: Option<LayerNorm>,
}
crate::parameters!(TransformerDecoder { layers, norm });

impl TransformerEncoder {
    /// So many layers, each made by the function, without a norm after them.
    pub fn new(n_layers: usize, layer: impl FnMut() -> TransformerEncoderLayer) -> TransformerEncoder {
        TransformerEncoder { layers: std::iter::repeat_with(layer).take(n_layers).collect(), norm: None }
    }

    /// The same with a norm after the last layer.
    pub fn norm(self, norm: LayerNorm) -> TransformerEncoder {
        TransformerEncoder { norm: Some(norm), ..self }
    }

    /// The layers with a mask.
    #[track_caller]
    pub fn encode(&self, x: &Tensor, mask: &Mask) -> Tensor {
        let mut y = x.clone();
        for layer in &self.layers {
            y = layer.encode(&y, mask);
        }
        normed(self.norm.as_ref(), y)
    }
}

impl Model for TransformerEncoder {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.encode(x, &Mask::none())
    }
}

impl TransformerDecoder {
    /// So many layers, each made by the function, without a norm after them.
    pub fn new(n_layers: usize, layer: impl FnMut() -> TransformerDecoderLayer) -> TransformerDecoder {
        TransformerDecoder { layers: std::iter::repeat_with(layer).take(n_layers).collect(), norm: None }
    }

    /// The same with a norm after the last layer.
    pub fn norm(self, norm: LayerNorm) -> TransformerDecoder {
        TransformerDecoder { norm: Some(norm), ..self }
    }

    /// The layers: `x` attends to itself and to `memory`, with a mask for each.
    #[track_caller]
    pub fn decode(&self, x: &Tensor, memory: &Tensor, mask: &Mask, memory_mask: &Mask) -> Tensor {
        let mut y = x.clone();
        for layer in &self.layers {
            y = layer.decode(&y, memory, mask, memory_mask);
        }
        normed(self.norm.as_ref(), y)
    }
}

#[track_caller]
fn normed(norm: Option<&LayerNorm>, x: Tensor) -> Tensor {
    match norm {
        Some(norm) => norm.forward(&x),
        None => x,
    }
}

/// An encoder and a decoder that attends to what the encoder made.
///
/// Parameters, as in PyTorch: `encoder.layers.0` and so on, `encoder.norm`, `decoder.layers.0` and so on, `decoder.norm`; all
/// matrices start uniform as Glorot and Bengio say. Shapes: as [`MultiheadAttention`], the result like `target`. Formula
/// and source: those of the layers.
///
/// ```
/// use kiln::nn::{Transformer, TransformerDecoderLayer, TransformerEncoderLayer};
///
/// let encoder = || TransformerEncoderLayer::new(32, 4, 64).norm_first(true);
/// let decoder = || TransformerDecoderLayer::new(32, 4, 64).norm_first(true);
/// let names = kiln::nn::parameters_of(&Transformer::new([2, 2], encoder, decoder)).len();
/// assert_eq!(names, 2 * 12 + 2 + 2 * 18 + 2);
/// ```
#[derive(Debug)]
pub struct Transformer {
    /// Reads the source.
    pub encoder: TransformerEncoder,
    /// Reads the target, and what the encoder made.
    pub decoder: TransformerDecoder,
}
crate::parameters!(Transformer { encoder, decoder });

/// What [`Transformer::run`] lets be attended to.
#[derive(Clone, Debug, Default)]
pub struct TransformerMasks {
    /// The source by itself.
    pub source: Mask,
    /// The target by itself.
    pub target: Mask,
    /// What the encoder made, by the target.
    pub memory: Mask,
}

impl Transformer {
    /// So many layers of the encoder and of the decoder, each made by a function, and norms after the last ones.
    pub fn new(
        [n_encoder, n_decoder]: [usize; 2],
        mut encoder: impl FnMut() -> TransformerEncoderLayer,
        mut decoder: impl FnMut() -> TransformerDecoderLayer,
    ) -> Transformer {
        let mut encoder = TransformerEncoder::new(n_encoder, || encoder().with_xavier());
        let mut decoder = TransformerDecoder::new(n_decoder, || decoder().with_xavier());
        encoder.norm = encoder.layers.first().map(|layer| layer.norm1.another());
        decoder.norm = decoder.layers.first().map(|layer| layer.norm1.another());
        Transformer { encoder, decoder }
    }

    /// What is made of the target, given the source.
    #[track_caller]
    pub fn run(&self, source: &Tensor, target: &Tensor, masks: &TransformerMasks) -> Tensor {
        let memory = self.encoder.encode(source, &masks.source);
        self.decoder.decode(target, &memory, &masks.target, &masks.memory)
    }
}
