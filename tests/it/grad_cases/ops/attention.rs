//! Attention and transformers.

use crate::grad_cases::call::{Call, NotSupported, functions, not_supported};
use kiln::nn::{
    Bilinear, Mask, MultiheadAttention, Transformer, TransformerDecoderLayer, TransformerEncoderLayer,
    TransformerMasks,
};
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
        embed_dim: usize, num_heads: usize, dropout: f64 = 0.0, bias: bool = true, add_bias_kv: bool = false,
        add_zero_attn: bool = false, kdim: Option<usize>, vdim: Option<usize>, batch_first: bool = false
    ] (
        query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Option<Tensor>, need_weights: bool = true,
        attn_mask: Option<Tensor>, average_attn_weights: bool = true
    ) |call| => {
        let layer = MultiheadAttention::new(embed_dim, num_heads).dropout(dropout).batch_first(batch_first);
        let layer = if bias { layer } else { layer.without_bias() };
        let layer = match (kdim.unwrap_or(embed_dim), vdim.unwrap_or(embed_dim)) {
            (keys, values) if (keys, values) == (embed_dim, embed_dim) => layer,
            (keys, values) => layer.key_value_widths(keys, values),
        };
        let layer = if add_bias_kv { layer.appended_key() } else { layer };
        let layer = if add_zero_attn { layer.zero_attention() } else { layer };
        let mask = mask(attn_mask, key_padding_mask, num_heads);
        let (y, weights) = call.layer(layer).attend_with_weights(&query, &key, &value, &mask);
        let weights = if average_attn_weights { weights.mean(-3) } else { weights };
        if need_weights { vec![y, weights] } else { vec![y] }
    };
    "nn.TransformerEncoderLayer": [
        d_model: usize, nhead: usize, dim_feedforward: usize = 2048, dropout: f64 = 0.1, activation: String = "relu".to_string(),
        layer_norm_eps: f64 = 1e-5, batch_first: bool = false, norm_first: bool = false, bias: bool = true
    ] (src: Tensor, src_mask: Option<Tensor>, src_key_padding_mask: Option<Tensor>, _is_causal: bool = false) |call| => {
        let options = Options { dropout, activation, layer_norm_eps, batch_first, norm_first, bias };
        let layer = call.layer(options.encoder(d_model, nhead, dim_feedforward)?);
        layer.encode(&src, &mask(src_mask, src_key_padding_mask, nhead))
    };
    "nn.TransformerDecoderLayer": [
        d_model: usize, nhead: usize, dim_feedforward: usize = 2048, dropout: f64 = 0.1, activation: String = "relu".to_string(),
        layer_norm_eps: f64 = 1e-5, batch_first: bool = false, norm_first: bool = false, bias: bool = true
    ] (
        tgt: Tensor, memory: Tensor, tgt_mask: Option<Tensor>, memory_mask: Option<Tensor>,
        tgt_key_padding_mask: Option<Tensor>, memory_key_padding_mask: Option<Tensor>
    ) |call| => {
        let options = Options { dropout, activation, layer_norm_eps, batch_first, norm_first, bias };
        let layer = call.layer(options.decoder(d_model, nhead, dim_feedforward)?);
        let masks = [mask(tgt_mask, tgt_key_padding_mask, nhead), mask(memory_mask, memory_key_padding_mask, nhead)];
        layer.decode(&tgt, &memory, &masks[0], &masks[1])
    };
    "nn.Transformer": [
        d_model: usize = 512, nhead: usize = 8, num_encoder_layers: usize = 6, num_decoder_layers: usize = 6,
        dim_feedforward: usize = 2048, dropout: f64 = 0.1, activation: String = "relu".to_string(), _custom_encoder: Option<String>,
        _custom_decoder: Option<String>, layer_norm_eps: f64 = 1e-5, batch_first: bool = false, norm_first: bool = false,
        bias: bool = true
    ] (
        src: Tensor, tgt: Tensor, src_mask: Option<Tensor>, tgt_mask: Option<Tensor>, memory_mask: Option<Tensor>,
        src_key_padding_mask: Option<Tensor>, tgt_key_padding_mask: Option<Tensor>, memory_key_padding_mask: Option<Tensor>
    ) |call| => {
        let options = Options { dropout, activation, layer_norm_eps, batch_first, norm_first, bias };
        options.encoder(d_model, nhead, dim_feedforward)?;
        let known = "just made";
        let layer = Transformer::new(
            [num_encoder_layers, num_decoder_layers],
            || options.encoder(d_model, nhead, dim_feedforward).expect(known),
            || options.decoder(d_model, nhead, dim_feedforward).expect(known),
        );
        let masks = TransformerMasks {
            source: mask(src_mask, src_key_padding_mask, nhead),
            target: mask(tgt_mask, tgt_key_padding_mask, nhead),
            memory: mask(memory_mask, memory_key_padding_mask, nhead),
        };
        call.layer(layer).run(&src, &tgt, &masks)
    };

    "nn.Bilinear": [in1_features: usize, in2_features: usize, out_features: usize, bias: bool = true] (x1: Tensor, x2: Tensor) |call| => {
        let layer = Bilinear::new([in1_features, in2_features], out_features);
        call.layer(if bias { layer } else { layer.without_bias() }).run(&x1, &x2)
    };
    "nn.Embedding": [num_embeddings: usize, embedding_dim: usize] (indices: Tensor) |call| => {
        call.layer(Embedding::new(num_embeddings, embedding_dim)).forward(&indices)
    };
}

/// A parameter that the module must have.
pub fn weight(call: &Call, name: &str) -> Result<Tensor, NotSupported> {
    call.state(name).map_or_else(|| not_supported(format!("no parameter `{name}`")), Ok)
}

/// What PyTorch's masks say; truth values say there what is hidden, also for the keys.
fn mask(mask: Option<Tensor>, hidden_keys: Option<Tensor>, heads: usize) -> Mask {
    let seen = |x: Tensor| if x.dtype() == DType::Bool { x.logical_not() } else { x };
    // [batch * heads, queries, keys], or one for all.
    let of_heads = |x: Tensor| if x.rank() == 3 { x.unflatten(0, [-1, heads as i64]) } else { x };
    Mask { mask: mask.map(|x| of_heads(seen(x))), keys: hidden_keys.map(seen), ..Mask::none() }
}

/// What the layers of a transformer have in common.
struct Options {
    dropout: f64,
    activation: String,
    layer_norm_eps: f64,
    batch_first: bool,
    norm_first: bool,
    bias: bool,
}

/// A layer with the options.
macro_rules! with_options {
    ($options:expr, $layer:expr) => {{
        let options = $options;
        let layer = $layer.dropout(options.dropout).eps(options.layer_norm_eps);
        let layer = layer.batch_first(options.batch_first).norm_first(options.norm_first);
        let layer = if options.bias { layer } else { layer.without_bias() };
        match options.activation.as_str() {
            "relu" => Ok(layer),
            "gelu" => Ok(layer.gelu(true)),
            other => not_supported(format!("activation `{other}`")),
        }
    }};
}

impl Options {
    fn encoder(
        &self,
        width: usize,
        heads: usize,
        hidden: usize,
    ) -> Result<TransformerEncoderLayer, NotSupported> {
        with_options!(self, TransformerEncoderLayer::new(width, heads, hidden))
    }

    fn decoder(
        &self,
        width: usize,
        heads: usize,
        hidden: usize,
    ) -> Result<TransformerDecoderLayer, NotSupported> {
        with_options!(self, TransformerDecoderLayer::new(width, heads, hidden))
    }
}
