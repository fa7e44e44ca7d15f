//! A small model of each family, with a trainer and a batch.

use kiln::TrainerBuilder;
use kiln::loss::{Bce, Reduction};
use kiln::models::{Gpt, GptConfig};
use kiln::nn::{
    BatchNorm2d, ConvTranspose2d, GaussianNoise, GroupNorm, MultiheadAttention, TransformerEncoderLayer,
};
use kiln::prelude::*;

/// What a step of a family takes.
pub struct Family {
    pub trainer: TrainerBuilder<'static>,
    pub x: TensorData,
    pub y: TensorData,
}

type Build = fn() -> Family;

/// All families by name.
pub const FAMILIES: [(&str, Build); 6] = [
    ("convolutions", convolutions),
    ("recurrent layers", recurrent),
    ("decoder", decoder),
    ("encoder", encoder),
    ("variational autoencoder", autoencoder),
    ("denoiser", denoiser),
];

/// A model that lives as long as the tests.
fn forever<M>(model: M) -> &'static M {
    Box::leak(Box::new(model))
}

/// Scattered numbers in -1..1.
fn numbers(extents: &[usize]) -> TensorData {
    let n = extents.iter().product::<usize>();
    TensorData::new(extents, (0..n).map(|i| (i as f32 * 12.9898).sin()).collect::<Vec<_>>())
}

/// Scattered labels below `n_classes`.
fn labels(extents: &[usize], n_classes: usize) -> TensorData {
    let n = extents.iter().product::<usize>();
    TensorData::new(extents, (0..n).map(|i| (i * i + i / 3) as i64 % n_classes as i64).collect::<Vec<_>>())
}

struct Residual {
    stem: Conv2d,
    norm: BatchNorm2d,
    conv: Conv2d,
    head: Linear,
}
kiln::parameters!(Residual { stem, norm, conv, head });

impl Model for Residual {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.stem.forward(&GaussianNoise(0.1).forward(x)).max_pool2d(2);
        let x = (&x + self.conv.forward(&self.norm.forward(&x).relu())).dropout_channels(0.2);
        self.head.forward(&x.mean([2, 3]))
    }
}

fn convolutions() -> Family {
    let model = forever(Residual {
        stem: Conv2d::new(3, 16, 3).padding(1),
        norm: BatchNorm2d::new(16),
        conv: Conv2d::new(16, 16, 3).padding(1),
        head: Linear::new(16, 10),
    });
    let trainer = Trainer::new(model).loss(cross_entropy).optimizer(Sgd::new(0.05).momentum(0.9));
    Family { trainer, x: numbers(&[8, 3, 12, 12]), y: labels(&[8], 10) }
}

struct Writer {
    embedding: Embedding,
    lstm: Lstm,
    gru: Gru,
    head: Linear,
}
kiln::parameters!(Writer { embedding, lstm, gru, head });

impl Model for Writer {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.lstm.run(&self.embedding.forward(x), None).0;
        self.head.forward(&self.gru.run(&x, None).0).transpose(1, 2)
    }
}

fn recurrent() -> Family {
    let model = forever(Writer {
        embedding: Embedding::new(20, 24),
        lstm: Lstm::new(24, 32).layers(2).dropout(0.2).batch_first(),
        gru: Gru::new(32, 16).bidirectional().batch_first(),
        head: Linear::new(32, 20),
    });
    let trainer = Trainer::new(model).loss(cross_entropy).optimizer(RmsProp::new(1e-3)).clip_norm(1.0);
    Family { trainer, x: labels(&[8, 12], 20), y: labels(&[8, 12], 20) }
}

fn decoder() -> Family {
    let config = GptConfig {
        layers: 2,
        heads: 2,
        width: 32,
        context: 16,
        vocabulary: 20,
        bias: true,
        gelu_tanh: true,
    };
    let trainer = forever(Gpt::new(config)).trainer(1e-3).accumulate(2).average(0.9);
    Family { trainer, x: labels(&[4, 16], 20), y: labels(&[4, 16], 20) }
}

struct Reader {
    layer: TransformerEncoderLayer,
    attention: MultiheadAttention,
    head: Linear,
}
kiln::parameters!(Reader { layer, attention, head });

impl Model for Reader {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.attention.forward(&self.layer.forward(x)).mean(1))
    }
}

fn encoder() -> Family {
    let model = forever(Reader {
        layer: TransformerEncoderLayer::new(32, 4, 64).dropout(0.1).batch_first(true),
        attention: MultiheadAttention::new(32, 2).batch_first(true),
        head: Linear::new(32, 10),
    });
    let trainer = Trainer::new(model).loss(cross_entropy).optimizer(AdamW::new(1e-3));
    Family {
        trainer: trainer.schedule(Cosine::new(9).warm_up(2)),
        x: numbers(&[8, 12, 32]),
        y: labels(&[8], 10),
    }
}

struct Autoencoder {
    encoder: Linear,
    mean: Linear,
    log_variance: Linear,
    decoder: Sequential,
}
kiln::parameters!(Autoencoder { encoder, mean, log_variance, decoder });

fn autoencoder() -> Family {
    let model = forever(Autoencoder {
        encoder: Linear::new(64, 48),
        mean: Linear::new(48, 8),
        log_variance: Linear::new(48, 8),
        decoder: Sequential::new()
            .then(Linear::new(8, 48))
            .then(Relu)
            .then(Linear::new(48, 64))
            .then(Sigmoid),
    });
    let trainer = Trainer::of(model, |x| {
        let hidden = model.encoder.forward(&x[0]).relu();
        let (mean, log_variance) = (model.mean.forward(&hidden), model.log_variance.forward(&hidden));
        let code = &mean + mean.randn_like() * (&log_variance * 0.5).exp();
        let divergence = (mean.square() + log_variance.exp() - log_variance - 1.0).sum(..) * 0.5;
        Bce::new().reduction(Reduction::Sum).of(&model.decoder.forward(&code), &x[0].sigmoid()) + divergence
    });
    let trainer = trainer.loss(|loss, _| loss / 1024.0).optimizer(Adam::new(1e-3));
    Family { trainer, x: numbers(&[32, 64]), y: labels(&[32], 2) }
}

struct Denoiser {
    down: Conv2d,
    norm: GroupNorm,
    attention: MultiheadAttention,
    up: ConvTranspose2d,
}
kiln::parameters!(Denoiser { down, norm, attention, up });

impl Model for Denoiser {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.norm.forward(&self.down.forward(x)).silu();
        let rows = self.attention.forward(&x.flatten(2, 3).transpose(1, 2)).transpose(1, 2);
        self.up.forward(&(&x + rows.reshape([8, 16, 4, 4])))
    }
}

fn denoiser() -> Family {
    let model = forever(Denoiser {
        down: Conv2d::new(2, 16, 4).stride(2).padding(1),
        norm: GroupNorm::new(4, 16),
        attention: MultiheadAttention::new(16, 2).batch_first(true),
        up: ConvTranspose2d::new(16, 2, 4).stride(2).padding(1),
    });
    let trainer = Trainer::of(model, |x| model.forward(&(&x[0] + x[0].randn_like() * 0.3)));
    let trainer = trainer.loss(mse).optimizer(Lion::new(1e-4));
    Family { trainer, x: numbers(&[8, 2, 8, 8]), y: numbers(&[8, 2, 8, 8]) }
}
