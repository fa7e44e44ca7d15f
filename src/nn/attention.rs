//! Attention of several heads.

use super::{Init, Linear, Model, Param};
use crate::tensor::Tensor;

/// Attention of several heads with projections of queries, keys, values and results: each head is
/// `softmax(q k' / sqrt(width / heads) + mask) v` of its part of the projected features; the heads side by side are projected
/// again.
///
/// Parameters, as in PyTorch: `in_proj_weight: [3 width, width]` (Xavier), `in_proj_bias: [3 width]` of zeros,
/// `out_proj.weight: [width, width]`, `out_proj.bias: [width]` of zeros. Shapes: `[n, t, width]`, or `[t, n, width]`
/// unless [`batch_first`](MultiheadAttention::batch_first), which is PyTorch's default. As a [`Model`]: attention of
/// a sequence to itself, without a mask. Source: Vaswani and others, *Attention Is All You Need*, 2017, section 3.2.2.
#[derive(Debug)]
pub struct MultiheadAttention {
    /// The projections of queries, keys and values, one below the other.
    pub in_proj_weight: Param,
    /// What is added to these.
    pub in_proj_bias: Option<Param>,
    /// The projection of the result.
    pub out_proj: Linear,
    heads: usize,
    dropout: f64,
    batch_first: bool,
}
crate::parameters!(MultiheadAttention { in_proj_weight, in_proj_bias, out_proj });

/// What keys a query attends to.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// Broadcasts to `[n, heads, queries, keys]`: truth values say what is attended to, as in [`Tensor::attention`]
    /// (PyTorch's module wants the opposite); floats are added to the scores.
    pub mask: Option<Tensor>,
    /// Whether query `i` attends to keys up to `i` only.
    pub causal: bool,
}

impl Mask {
    /// All keys.
    pub fn none() -> Mask {
        Mask::default()
    }

    /// Keys up to the place of the query.
    pub fn causal() -> Mask {
        Mask { mask: None, causal: true }
    }

    /// What a tensor says.
    pub fn of(mask: &Tensor) -> Mask {
        Mask { mask: Some(mask.clone()), causal: false }
    }
}

impl MultiheadAttention {
    /// So many heads of `width / heads` features each, without dropout.
    ///
    /// # Panics
    /// When the heads do not divide the width.
    #[track_caller]
    pub fn new(width: usize, heads: usize) -> MultiheadAttention {
        assert!(heads > 0 && width.is_multiple_of(heads), "{heads} heads do not divide a width of {width}");
        MultiheadAttention {
            in_proj_weight: Param::new([3 * width, width], Init::XavierUniform { gain: 1.0 }),
            in_proj_bias: Some(Param::new([3 * width], Init::Zeros)),
            out_proj: Linear::new(width, width).bias_init(Init::Zeros),
            heads,
            dropout: 0.0,
            batch_first: false,
        }
    }

    /// The same that drops this share of its weights in training.
    pub fn dropout(self, dropout: f64) -> MultiheadAttention {
        MultiheadAttention { dropout, ..self }
    }

    /// The same for `[n, t, width]`.
    pub fn batch_first(self, batch_first: bool) -> MultiheadAttention {
        MultiheadAttention { batch_first, ..self }
    }

    /// The same without biases.
    pub fn without_bias(self) -> MultiheadAttention {
        MultiheadAttention { in_proj_bias: None, out_proj: self.out_proj.without_bias(), ..self }
    }

    /// What the queries find among the keys: their values, weighted.
    #[track_caller]
    pub fn attend(&self, query: &Tensor, key: &Tensor, value: &Tensor, mask: &Mask) -> Tensor {
        let attended = self.in_proj_weight.in_layer(query, || {
            if query.rank() != 3 {
                return query
                    .refuse("multihead_attention", "it needs axes of sequences, places and features");
            }
            let weights = self.in_proj_weight.of(query).chunk(3, 0);
            let biases = self.in_proj_bias.as_ref().map(|bias| bias.of(query).chunk(3, 0));
            let split = |x: &Tensor, i: usize| {
                let projected = x.linear(&weights[i], biases.as_ref().map(|biases| &biases[i]));
                let batched = if self.batch_first { projected } else { projected.transpose(0, 1) };
                batched.unflatten(-1, [self.heads as i64, -1]).transpose(1, 2)
            };
            let (q, k, v) = (split(query, 0), split(key, 1), split(value, 2));
            let scale = (q.extents()[q.rank() - 1] as f64).sqrt().recip();
            let y = q.called("multihead_attention", || {
                q.attention_scaled(&k, &v, mask.mask.as_ref(), mask.causal, scale, self.dropout)
            });
            let merged = y.transpose(1, 2).flatten(-2, -1);
            if self.batch_first { merged } else { merged.transpose(0, 1) }
        });
        self.out_proj.forward(&attended)
    }
}

impl Model for MultiheadAttention {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, &Mask::none())
    }
}
