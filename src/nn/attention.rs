//! Attention of several heads.

use super::{Init, Linear, Model, Module, Param, Visitor};
use crate::tensor::{Tensor, cat};
use kiln_ir::{DType, Shape};

/// Attention of several heads with projections of queries, keys, values and results: each head is
/// `softmax(q k' / sqrt(width / heads) + mask) v` of its part of the projected features; the heads side by side are projected
/// again.
///
/// Parameters, as in PyTorch: `in_proj_weight: [3 width, width]` (Xavier), or `q_proj_weight`, `k_proj_weight` and
/// `v_proj_weight` where keys or values have another width; `in_proj_bias: [3 width]` of zeros; `bias_k` and `bias_v`, if there
/// are any, `[1, 1, width]` (Xavier, normal); `out_proj.weight: [width, width]`, `out_proj.bias: [width]` of zeros. Shapes:
/// `[n, t, width]`, or `[t, n, width]` unless [`batch_first`](MultiheadAttention::batch_first), which is PyTorch's default;
/// `[t, width]` of a single sequence. As a [`Model`]: attention of a sequence to itself, without a mask. Source: Vaswani
/// and others, *Attention Is All You Need*, 2017, section 3.2.2.
#[derive(Debug)]
pub struct MultiheadAttention {
    projections: Projections,
    /// What is added to queries, keys and values.
    pub in_proj_bias: Option<Param>,
    /// A key and a value that are appended to all others.
    appended: Option<[Param; 2]>,
    /// The projection of the result.
    pub out_proj: Linear,
    width: usize,
    heads: usize,
    dropout: f64,
    batch_first: bool,
    zero_attention: bool,
}

/// The weights by which queries, keys and values are projected.
#[derive(Debug)]
enum Projections {
    /// One below the other.
    Joint(Param),
    /// Each for itself: they differ in width.
    Own(Box<[Param; 3]>),
}

/// What keys a query attends to.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// Broadcasts to `[n, heads, queries, keys]`: truth values say what is attended to, as in [`Tensor::attention`]
    /// (PyTorch's module wants the opposite); floats are added to the scores.
    pub mask: Option<Tensor>,
    /// Whether query `i` attends to keys up to `i` only.
    pub causal: bool,
    /// `[n, keys]`: truth values say which keys of a sequence are there, floats are added to their scores. PyTorch's
    /// `key_padding_mask` has the opposite truth values.
    pub keys: Option<Tensor>,
}

impl Mask {
    /// All keys.
    pub fn none() -> Mask {
        Mask::default()
    }

    /// Keys up to the place of the query.
    pub fn causal() -> Mask {
        Mask { causal: true, ..Mask::default() }
    }

    /// What a tensor says.
    pub fn of(mask: &Tensor) -> Mask {
        Mask { mask: Some(mask.clone()), ..Mask::default() }
    }

    /// The same for keys of which not all are there: sequences of different lengths in one batch.
    pub fn with_keys(self, keys: &Tensor) -> Mask {
        Mask { keys: Some(keys.clone()), ..self }
    }

    /// What is added to the scores `[n, heads, queries, keys]` of queries and keys `[n, heads, .., width]`; the last keys,
    /// `n_appended` of them, are attended to in any case.
    #[track_caller]
    fn added(&self, query: &Tensor, n_keys: usize, n_appended: usize) -> Option<Tensor> {
        let n_queries = query.extents()[2];
        let of_type = |value: f64| query.fill(query.dtype(), Shape::scalar(), value);
        let of_keys = |x: Tensor| x + query.fill(query.dtype(), [n_keys].into(), 0.0);
        let score = |x: &Tensor| match x.dtype() {
            DType::Bool => x.select(of_type(0.0), of_type(f64::NEG_INFINITY)),
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::U8 => x.clone(),
        };
        let causal = self.causal.then(|| {
            let place = |axis| query.iota(DType::I32, [n_queries, n_keys].into(), axis);
            place(1).le(place(0))
        });
        let keys = self.keys.as_ref().map(|keys| keys.unsqueeze(1).unsqueeze(1));
        let parts = [self.mask.clone(), causal, keys].into_iter().flatten();
        let sum = parts.map(|part| of_keys(score(&part))).reduce(|sum, part| sum + part)?;
        Some(sum.pad(&[(0, n_appended as i64)], 0.0))
    }
}

impl Module for MultiheadAttention {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        match &self.projections {
            Projections::Joint(weight) => visitor.child("in_proj_weight", weight),
            Projections::Own(weights) => {
                let [q, k, v] = &**weights;
                visitor.child("q_proj_weight", q);
                visitor.child("k_proj_weight", k);
                visitor.child("v_proj_weight", v);
            }
        }
        visitor.child("in_proj_bias", &self.in_proj_bias);
        if let Some([key, value]) = &self.appended {
            visitor.child("bias_k", key);
            visitor.child("bias_v", value);
        }
        visitor.child("out_proj", &self.out_proj);
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
        let joint = Param::new([3 * width, width], Init::XavierUniform { gain: 1.0 });
        MultiheadAttention {
            projections: Projections::Joint(joint),
            in_proj_bias: Some(Param::new([3 * width], Init::Zeros)),
            appended: None,
            out_proj: Linear::new(width, width).bias_init(Init::Zeros),
            width,
            heads,
            dropout: 0.0,
            batch_first: false,
            zero_attention: false,
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

    /// The same for keys and values of other widths than the queries: PyTorch's `kdim` and `vdim`.
    pub fn key_value_widths(self, keys: usize, values: usize) -> MultiheadAttention {
        let weight = |n_in| Param::new([self.width, n_in], Init::XavierUniform { gain: 1.0 });
        let own = [self.width, keys, values].map(weight);
        MultiheadAttention { projections: Projections::Own(Box::new(own)), ..self }
    }

    /// The same with a learned key and value that every query can attend to: PyTorch's `add_bias_kv`.
    pub fn appended_key(self) -> MultiheadAttention {
        let param = || Param::new([1, 1, self.width], Init::XavierNormal { gain: 1.0 });
        MultiheadAttention { appended: Some([param(), param()]), ..self }
    }

    /// The same with a key and value of zeros that every query can attend to: PyTorch's `add_zero_attn`.
    pub fn zero_attention(self) -> MultiheadAttention {
        MultiheadAttention { zero_attention: true, ..self }
    }

    /// What the queries find among the keys: their values, weighted.
    #[track_caller]
    pub fn attend(&self, query: &Tensor, key: &Tensor, value: &Tensor, mask: &Mask) -> Tensor {
        self.attend_with_weights(query, key, value, mask).0
    }

    /// As [`attend`](MultiheadAttention::attend), and the weights of each head, `[n, heads, queries, keys]`; PyTorch's are
    /// their means over the heads unless one asks for these.
    #[track_caller]
    pub fn attend_with_weights(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        mask: &Mask,
    ) -> (Tensor, Tensor) {
        if query.rank() == 2 && key.rank() == 2 && value.rank() == 2 {
            let axis = if self.batch_first { 0 } else { 1 };
            let [query, key, value] = [query, key, value].map(|x| x.unsqueeze(axis));
            let keys = mask
                .keys
                .as_ref()
                .map(|keys| if keys.rank() == 1 { keys.unsqueeze(0) } else { keys.clone() });
            let mask = Mask { keys, ..mask.clone() };
            let (y, weights) = self.attend_with_weights(&query, &key, &value, &mask);
            return (y.squeeze(axis), weights.squeeze(0));
        }
        let named = match &self.projections {
            Projections::Joint(weight) => weight,
            Projections::Own(weights) => &weights[0],
        };
        let mut weights = None;
        let attended = named.in_layer(query, || {
            let (y, of_heads) = self.heads_of(query, key, value, mask);
            weights = Some(of_heads);
            y
        });
        (self.out_proj.forward(&attended), weights.unwrap_or(attended))
    }

    /// The results of all heads side by side, and their weights.
    #[track_caller]
    fn heads_of(&self, query: &Tensor, key: &Tensor, value: &Tensor, mask: &Mask) -> (Tensor, Tensor) {
        if [query, key, value].iter().any(|x| x.rank() != 3) {
            let problem = "it needs axes of sequences, places and features";
            let poisoned = query.refuse("multihead_attention", problem);
            return (poisoned.clone(), poisoned);
        }
        let [query, mut key, mut value] = self.projected([query, key, value]);
        let n_keys = key.extents()[1];
        let append = |x: &Tensor, row: &Tensor| {
            cat(&[x, &row.expand([x.extents()[0] as i64, 1, self.width as i64])], 1)
        };
        if let Some([of_key, of_value]) = &self.appended {
            (key, value) = (append(&key, &of_key.of(&key)), append(&value, &of_value.of(&value)));
        }
        if self.zero_attention {
            let zeros = key.fill(key.dtype(), [1, 1, self.width].into(), 0.0);
            (key, value) = (append(&key, &zeros), append(&value, &zeros));
        }
        let n_appended = key.extents()[1] - n_keys;
        let split = |x: &Tensor| x.unflatten(-1, [self.heads as i64, -1]).transpose(1, 2);
        let (q, k, v) = (split(&query), split(&key), split(&value));
        let scale = (q.extents()[q.rank() - 1] as f64).sqrt().recip();
        let (y, weights) = q.called("multihead_attention", || {
            if mask.keys.is_none() && n_appended == 0 {
                return q.attended(&k, &v, mask.mask.as_ref(), mask.causal, scale, self.dropout);
            }
            let added = mask.added(&q, n_keys, n_appended);
            q.attended(&k, &v, added.as_ref(), false, scale, self.dropout)
        });
        let merged = y.transpose(1, 2).flatten(-2, -1);
        (if self.batch_first { merged } else { merged.transpose(0, 1) }, weights)
    }

    /// Queries, keys and values, projected: `[n, t, width]`.
    #[track_caller]
    fn projected(&self, inputs: [&Tensor; 3]) -> [Tensor; 3] {
        let x = inputs[0];
        let weights = match &self.projections {
            Projections::Joint(weight) => weight.of(x).chunk(3, 0),
            Projections::Own(weights) => weights.iter().map(|weight| weight.of(x)).collect(),
        };
        let biases = self.in_proj_bias.as_ref().map(|bias| bias.of(x).chunk(3, 0));
        [0, 1, 2].map(|i| {
            let projected = inputs[i].linear(&weights[i], biases.as_ref().map(|biases| &biases[i]));
            if self.batch_first { projected } else { projected.transpose(0, 1) }
        })
    }
}

impl Model for MultiheadAttention {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, &Mask::none())
    }
}
