//! Decoder-only transformers.

use crate::loss::cross_entropy;
use crate::nn::{Embedding, Init, LayerNorm, Linear, Model};
use crate::optim::AdamW;
use crate::tensor::Tensor;
use crate::trainer::{Trainer, TrainerBuilder};

/// What a [`Gpt`] is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GptConfig {
    /// Number of blocks.
    pub layers: usize,
    /// Heads of each attention.
    pub heads: usize,
    /// Features of each position.
    pub width: usize,
    /// Positions at most.
    pub context: usize,
    /// Different tokens.
    pub vocabulary: usize,
    /// Whether linear layers and norms have biases.
    pub bias: bool,
    /// Whether GELU is approximated with tanh.
    pub gelu_tanh: bool,
}

impl GptConfig {
    /// The small one: 4 layers, 4 heads, width 128, for characters.
    pub const SMALL: GptConfig = GptConfig {
        layers: 4,
        heads: 4,
        width: 128,
        context: 64,
        vocabulary: 65,
        bias: false,
        gelu_tanh: false,
    };

    /// The size of GPT-2: 12 layers, 12 heads, width 768, with a context of 256.
    pub const GPT2: GptConfig = GptConfig {
        layers: 12,
        heads: 12,
        width: 768,
        context: 256,
        vocabulary: 50_257,
        bias: true,
        gelu_tanh: true,
    };
}

/// A decoder-only transformer: learned positions, norms before attention and perceptron, the table of tokens as head.
///
/// Input `[n, t]` tokens, output `[n, t, vocabulary]` scores. Source: Radford and others, *Language Models are Unsupervised
/// Multitask Learners*, 2019.
#[derive(Debug)]
pub struct Gpt {
    /// A row for each token.
    pub wte: Embedding,
    /// A row for each position.
    pub wpe: Embedding,
    /// The blocks.
    pub h: Vec<GptBlock>,
    /// After the last block.
    pub ln_f: LayerNorm,
}
crate::parameters!(Gpt { wte, wpe, h, ln_f });

/// One block of a [`Gpt`].
#[derive(Debug)]
pub struct GptBlock {
    /// Before the attention.
    pub ln1: LayerNorm,
    /// Before the perceptron.
    pub ln2: LayerNorm,
    /// Queries, keys and values.
    pub qkv: Linear,
    /// After the attention.
    pub proj: Linear,
    /// Into the perceptron, four times as wide.
    pub fc: Linear,
    /// Out of the perceptron.
    pub out: Linear,
    config: GptConfig,
}
crate::parameters!(GptBlock { ln1, ln2, qkv, proj, fc, out });

/// The standard deviation of all weights at the start.
const STD: f64 = 0.02;

impl Gpt {
    /// A new model.
    pub fn new(config: GptConfig) -> Gpt {
        let table = |n| Embedding::new(n, config.width).weight_init(Init::Normal { mean: 0.0, std: STD });
        Gpt {
            wte: table(config.vocabulary),
            wpe: table(config.context),
            h: (0..config.layers).map(|_| GptBlock::new(config)).collect(),
            ln_f: norm(config),
        }
    }

    /// Begins a trainer with cross entropy over all positions (tokens `[n, t]`, targets `[n, t]`) and AdamW: weight decay
    /// 0.1 on matrices, gradients shortened to a norm of 1.
    pub fn trainer(&self, learning_rate: f64) -> TrainerBuilder<'_> {
        Gpt::with_training(Trainer::new(self), learning_rate)
    }

    /// Gives a trainer the loss and the optimizer of [`trainer`](Gpt::trainer): for a model that contains a [`Gpt`].
    pub fn with_training(trainer: TrainerBuilder<'_>, learning_rate: f64) -> TrainerBuilder<'_> {
        let adamw = |decay| AdamW::new(learning_rate).betas(0.9, 0.99).weight_decay(decay);
        trainer
            .loss(|scores, targets| cross_entropy(&scores.flatten(0, 1), &targets.flatten(0, 1)))
            .group("vectors", |_, ty| ty.rank() < 2, adamw(0.0))
            .optimizer(adamw(0.1))
            .clip_norm(1.0)
    }
}

impl Gpt {
    /// The scores of what follows, from the results of the last block.
    pub(super) fn scores(&self, x: &Tensor) -> Tensor {
        self.ln_f.forward(x).linear(&self.wte.weight.of(x), None)
    }
}

impl Model for Gpt {
    fn forward(&self, tokens: &Tensor) -> Tensor {
        let t = tokens.extents().last().map_or(0, |&t| t as i64);
        let positions = self.wpe.weight.of(tokens).slice(0, 0..t);
        let x = self.wte.forward(tokens) + positions;
        self.scores(&self.h.iter().fold(x, |x, block| block.forward(&x)))
    }
}

impl GptBlock {
    fn new(config: GptConfig) -> GptBlock {
        let width = config.width;
        let linear = |n_in, n_out, std| {
            let linear = Linear::new(n_in, n_out).weight_init(Init::Normal { mean: 0.0, std });
            if config.bias { linear.bias_init(Init::Zeros) } else { linear.without_bias() }
        };
        // What is added to the residual stream starts smaller, the more blocks add to it.
        let residual = STD / (2.0 * config.layers as f64).sqrt();
        GptBlock {
            ln1: norm(config),
            ln2: norm(config),
            qkv: linear(width, 3 * width, STD),
            proj: linear(width, width, residual),
            fc: linear(width, 4 * width, STD),
            out: linear(4 * width, width, residual),
            config,
        }
    }
}

impl GptBlock {
    /// The block with this attention, a function of queries, keys and values `[n, heads, t, width / heads]`.
    pub(super) fn with_attention(&self, x: &Tensor, attend: impl FnOnce([Tensor; 3]) -> Tensor) -> Tensor {
        let heads = self.config.heads as i64;
        let qkv = self.qkv.forward(&self.ln1.forward(x)).chunk(3, -1);
        let qkv = [0, 1, 2].map(|i: usize| qkv[i].unflatten(-1, [heads, -1]).transpose(1, 2));
        let attended = attend(qkv).transpose(1, 2).flatten(-2, -1);
        let x = x + self.proj.forward(&attended);
        let hidden = self.fc.forward(&self.ln2.forward(&x));
        let hidden = if self.config.gelu_tanh { hidden.gelu_tanh() } else { hidden.gelu() };
        &x + self.out.forward(&hidden)
    }
}

impl Model for GptBlock {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.with_attention(x, |[q, k, v]| q.attention(&k, &v, None, true))
    }
}

fn norm(config: GptConfig) -> LayerNorm {
    let norm = LayerNorm::new([config.width]);
    if config.bias { norm } else { norm.without_bias() }
}
