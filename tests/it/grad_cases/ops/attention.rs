//! Attention and transformers.

use crate::grad_cases::call::{Call, NotSupported, functions, not_supported};
use kiln::prelude::*;

functions! {
    "nn.functional.scaled_dot_product_attention": (
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Option<Tensor>, dropout_p: f64 = 0.0,
        is_causal: bool = false, scale: Option<f64>, _enable_gqa: bool = false
    ) => {
        if dropout_p > 0.0 {
            return not_supported("the numbers drawn by PyTorch's dropout");
        }
        let scale = scale.unwrap_or(1.0 / (query.extents()[query.rank() - 1] as f64).sqrt());
        query.attention_scaled(&key, &value, attn_mask.as_ref(), is_causal, scale, 0.0)
    };
    "nn.MultiheadAttention": [
        _embed_dim: usize, num_heads: i64, _dropout: f64 = 0.0, _bias: bool = true, _add_bias_kv: bool = false,
        add_zero_attn: bool = false, _kdim: Option<usize>, _vdim: Option<usize>, batch_first: bool = false
    ] (
        query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Option<Tensor>, need_weights: bool = true,
        attn_mask: Option<Tensor>, average_attn_weights: bool = true
    ) |call| => {
        let heads = Heads { prefix: String::new(), n: num_heads, batch_first, add_zero_attn };
        let (y, weights) = heads.attend(call, [&query, &key, &value], key_padding_mask.as_ref(), attn_mask.as_ref())?;
        let weights = if average_attn_weights { weights.mean(-3) } else { weights };
        if need_weights { vec![y, weights] } else { vec![y] }
    };
    "nn.TransformerEncoderLayer": [
        _d_model: usize, nhead: i64, _dim_feedforward: usize = 2048, _dropout: f64 = 0.1, activation: String = "relu".to_string(),
        layer_norm_eps: f64 = 1e-5, batch_first: bool = false, norm_first: bool = false, _bias: bool = true
    ] (src: Tensor, src_mask: Option<Tensor>, src_key_padding_mask: Option<Tensor>, _is_causal: bool = false) |call| => {
        let layer = Layer { call, prefix: String::new(), heads: nhead, batch_first, eps: layer_norm_eps, norm_first, activation };
        layer.encode(&src, src_mask.as_ref(), src_key_padding_mask.as_ref())?
    };
    "nn.TransformerDecoderLayer": [
        _d_model: usize, nhead: i64, _dim_feedforward: usize = 2048, _dropout: f64 = 0.1, activation: String = "relu".to_string(),
        layer_norm_eps: f64 = 1e-5, batch_first: bool = false, norm_first: bool = false, _bias: bool = true
    ] (
        tgt: Tensor, memory: Tensor, tgt_mask: Option<Tensor>, memory_mask: Option<Tensor>,
        tgt_key_padding_mask: Option<Tensor>, memory_key_padding_mask: Option<Tensor>
    ) |call| => {
        let layer = Layer { call, prefix: String::new(), heads: nhead, batch_first, eps: layer_norm_eps, norm_first, activation };
        let masks = [tgt_mask.as_ref(), memory_mask.as_ref()];
        layer.decode(&tgt, &memory, masks, [tgt_key_padding_mask.as_ref(), memory_key_padding_mask.as_ref()])?
    };
    "nn.Transformer": [
        _d_model: usize = 512, nhead: i64 = 8, num_encoder_layers: usize = 6, num_decoder_layers: usize = 6,
        _dim_feedforward: usize = 2048, _dropout: f64 = 0.1, activation: String = "relu".to_string(), _custom_encoder: Option<String>,
        _custom_decoder: Option<String>, layer_norm_eps: f64 = 1e-5, batch_first: bool = false, norm_first: bool = false,
        _bias: bool = true
    ] (
        src: Tensor, tgt: Tensor, src_mask: Option<Tensor>, tgt_mask: Option<Tensor>, memory_mask: Option<Tensor>,
        src_key_padding_mask: Option<Tensor>, tgt_key_padding_mask: Option<Tensor>, memory_key_padding_mask: Option<Tensor>
    ) |call| => {
        let layer = |prefix: String| {
            let activation = activation.clone();
            Layer { call, prefix, heads: nhead, batch_first, eps: layer_norm_eps, norm_first, activation }
        };
        let mut memory = src;
        for i in 0..num_encoder_layers {
            let layer = layer(format!("encoder.layers.{i}."));
            memory = layer.encode(&memory, src_mask.as_ref(), src_key_padding_mask.as_ref())?;
        }
        memory = layer("encoder.".to_string()).norm("norm", &memory);
        let masks = [tgt_mask.as_ref(), memory_mask.as_ref()];
        let paddings = [tgt_key_padding_mask.as_ref(), memory_key_padding_mask.as_ref()];
        let mut y = tgt;
        for i in 0..num_decoder_layers {
            y = layer(format!("decoder.layers.{i}.")).decode(&y, &memory, masks, paddings)?;
        }
        layer("decoder.".to_string()).norm("norm", &y)
    };

    "nn.Bilinear": [_in1_features: usize, _in2_features: usize, _out_features: usize, _bias: bool = true] (x1: Tensor, x2: Tensor) |call| => {
        x1.bilinear(&x2, &weight(call, "weight")?, call.state("bias").as_ref())
    };
    "nn.Embedding": [_num_embeddings: usize, _embedding_dim: usize] (indices: Tensor) |call| => {
        weight(call, "weight")?.embedding(&indices)
    };
}

/// A parameter that the module must have.
pub fn weight(call: &Call, name: &str) -> Result<Tensor, NotSupported> {
    call.state(name).map_or_else(|| not_supported(format!("no parameter `{name}`")), Ok)
}

/// Attention over the last two axes, and its weights. A mask says which keys are seen, or is added to the scores.
fn attend(query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>) -> (Tensor, Tensor) {
    let scale = 1.0 / (query.extents()[query.rank() - 1] as f64).sqrt();
    let scores = (query * scale).matmul(&key.transpose(-1, -2));
    let masked = match mask {
        Some(mask) if mask.dtype() == DType::Bool => mask.select(&scores, f64::NEG_INFINITY),
        Some(mask) => &scores + mask,
        None => scores,
    };
    let weights = masked.softmax(-1);
    (weights.matmul(value), weights)
}

/// Attention of several heads with its projections; the parameters' names begin with `prefix`.
struct Heads {
    prefix: String,
    n: i64,
    batch_first: bool,
    add_zero_attn: bool,
}

impl Heads {
    /// The result, and the weights of each head. Masks say which keys are hidden.
    fn attend(
        &self,
        call: &Call,
        inputs: [&Tensor; 3],
        key_padding: Option<&Tensor>,
        mask: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor), NotSupported> {
        let state = |name: &str| call.state(&format!("{}{name}", self.prefix));
        let single = inputs[0].rank() == 2;
        // [batch, sequence, width] in any case.
        let batched = inputs.map(|x| match (single, self.batch_first) {
            (true, _) => x.unsqueeze(0),
            (false, true) => x.clone(),
            (false, false) => x.transpose(0, 1),
        });
        let in_weight = weight(call, &format!("{}in_proj_weight", self.prefix))?.chunk(3, 0);
        let in_bias = state("in_proj_bias").map(|bias| bias.chunk(3, 0));
        let project = |i: usize| batched[i].linear(&in_weight[i], in_bias.as_ref().map(|bias| &bias[i]));
        let [query, mut key, mut value] = [0, 1, 2].map(project);
        let mut n_added = 0;
        let append = |x: &Tensor, row: Tensor| {
            let row = row.expand([x.extents()[0] as i64, 1, x.extents()[2] as i64]);
            cat(&[x, &row], 1)
        };
        if let (Some(bias_k), Some(bias_v)) = (state("bias_k"), state("bias_v")) {
            (key, value) = (append(&key, bias_k), append(&value, bias_v));
            n_added += 1;
        }
        if self.add_zero_attn {
            (key, value) = (append(&key, zero(&key)), append(&value, zero(&value)));
            n_added += 1;
        }
        let split = |x: &Tensor| x.unflatten(-1, [self.n, -1]).transpose(1, 2);
        let [query, key, value] = [&query, &key, &value].map(split);
        let mut bias: Option<Tensor> = None;
        let mut hide = |hidden: Tensor| {
            // Appended keys are always seen. [.., queries, keys] of numbers to add to the scores.
            let added =
                if hidden.dtype() == DType::Bool { hidden.select(f64::NEG_INFINITY, 0.0) } else { hidden };
            let added = added.pad(&[(0, n_added)], 0.0);
            bias = Some(bias.as_ref().map_or(added.clone(), |bias| bias + &added));
        };
        if let Some(padding) = key_padding {
            let rows = if padding.rank() == 1 { padding.unsqueeze(0) } else { padding.clone() };
            hide(rows.unsqueeze(1).unsqueeze(1));
        }
        if let Some(mask) = mask {
            // [batch * heads, queries, keys], or one for all.
            hide(if mask.rank() == 3 { mask.unflatten(0, [-1, self.n]) } else { mask.clone() });
        }
        let (y, weights) = attend(&query, &key, &value, bias.as_ref());
        let merged = y.transpose(1, 2).flatten(-2, -1);
        let y = merged.linear(
            &weight(call, &format!("{}out_proj.weight", self.prefix))?,
            state("out_proj.bias").as_ref(),
        );
        Ok(match (single, self.batch_first) {
            (true, _) => (y.squeeze(0), weights.squeeze(0)),
            (false, true) => (y, weights),
            (false, false) => (y.transpose(0, 1), weights),
        })
    }
}

/// A row of zeros for each sequence of a batch.
fn zero(x: &Tensor) -> Tensor {
    x.zeros_like().sum(keep(1))
}

/// What the layers of a transformer have in common.
struct Layer<'a> {
    call: &'a Call<'a>,
    /// What the names of its parameters begin with.
    prefix: String,
    heads: i64,
    batch_first: bool,
    eps: f64,
    norm_first: bool,
    activation: String,
}

impl Layer<'_> {
    fn heads(&self, name: &str) -> Heads {
        let prefix = format!("{}{name}.", self.prefix);
        Heads { prefix, n: self.heads, batch_first: self.batch_first, add_zero_attn: false }
    }

    /// A layer of an encoder.
    fn encode(
        &self,
        x: &Tensor,
        mask: Option<&Tensor>,
        padding: Option<&Tensor>,
    ) -> Result<Tensor, NotSupported> {
        let heads = self.heads("self_attn");
        let attend = |x: &Tensor| heads.attend(self.call, [x, x, x], padding, mask).map(|(y, _)| y);
        let x = self.residual(x, "norm1", attend)?;
        self.residual(&x, "norm2", |x| self.feed_forward(x))
    }

    /// A layer of a decoder; masks and padding of what is decoded, and of the memory.
    fn decode(
        &self,
        x: &Tensor,
        memory: &Tensor,
        masks: [Option<&Tensor>; 2],
        paddings: [Option<&Tensor>; 2],
    ) -> Result<Tensor, NotSupported> {
        let (itself, other) = (self.heads("self_attn"), self.heads("multihead_attn"));
        let attend = |x: &Tensor| itself.attend(self.call, [x, x, x], paddings[0], masks[0]).map(|(y, _)| y);
        let x = self.residual(x, "norm1", attend)?;
        let attend =
            |x: &Tensor| other.attend(self.call, [x, memory, memory], paddings[1], masks[1]).map(|(y, _)| y);
        let x = self.residual(&x, "norm2", attend)?;
        self.residual(&x, "norm3", |x| self.feed_forward(x))
    }

    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        let state = |field: &str| self.call.state(&format!("{}{name}.{field}", self.prefix));
        x.layer_norm(1, state("weight").as_ref(), state("bias").as_ref(), self.eps)
    }

    /// `x + f(norm(x))`, or `norm(x + f(x))`.
    fn residual(
        &self,
        x: &Tensor,
        norm: &str,
        f: impl Fn(&Tensor) -> Result<Tensor, NotSupported>,
    ) -> Result<Tensor, NotSupported> {
        Ok(if self.norm_first { x + f(&self.norm(norm, x))? } else { self.norm(norm, &(x + f(x)?)) })
    }

    fn feed_forward(&self, x: &Tensor) -> Result<Tensor, NotSupported> {
        let linear = |name: &str, x: &Tensor| {
            let bias = self.call.state(&format!("{}{name}.bias", self.prefix));
            Ok(x.linear(&weight(self.call, &format!("{}{name}.weight", self.prefix))?, bias.as_ref()))
        };
        let hidden = linear("linear1", x)?;
        let hidden = match self.activation.as_str() {
            "relu" => hidden.relu(),
            "gelu" => hidden.gelu(),
            other => return not_supported(format!("activation `{other}`")),
        };
        linear("linear2", &hidden)
    }
}
