//! A generative adversarial network of perceptrons: one makes images of digits from noise, one tells them from real ones,
//! and each learns from the other.
//!
//! `cargo run --release --example gan`, or `kiln train gan`
//!
//! Source: I. Goodfellow and others, *Generative Adversarial Nets*, 2014.

use kiln::cli::{CliError, Feed, Options, Recipe, measure, picture, sources};
use kiln::nn::LeakyRelu;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Random numbers that an image is made from.
const NOISE: usize = 64;
/// Images in the picture, and in a row of it.
const SHOWN: [usize; 2] = [80, 10];

/// The two networks.
pub struct Gan {
    generator: Sequential,
    discriminator: Sequential,
}
kiln::parameters!(Gan { generator, discriminator });

impl Gan {
    fn new() -> Gan {
        let generator = Sequential::new()
            .then(Linear::new(NOISE, 256))
            .then(LeakyRelu(0.2))
            .then(Linear::new(256, 512))
            .then(LeakyRelu(0.2))
            .then(Linear::new(512, 784))
            .then(Tanh);
        let discriminator = Sequential::new()
            .then(Linear::new(784, 512))
            .then(LeakyRelu(0.2))
            .then(Dropout(0.3))
            .then(Linear::new(512, 256))
            .then(LeakyRelu(0.2))
            .then(Dropout(0.3))
            .then(Linear::new(256, 1));
        Gan { generator, discriminator }
    }

    /// As many images as there are real ones, from new noise.
    fn make(&self, real: &Tensor) -> Tensor {
        self.generator.forward(&real.narrow(1, 0, NOISE).randn_like())
    }

    /// How wrong the discriminator is: real images shall score high, made ones low.
    fn d_loss(&self, real: &Tensor, made: &Tensor) -> Tensor {
        let (real, made) = (self.discriminator.forward(real), self.discriminator.forward(made));
        bce_with_logits(&real, &real.ones_like()) + bce_with_logits(&made, &made.zeros_like())
    }

    /// How wrong the generator is: what it makes shall score high.
    fn g_loss(&self, made: &Tensor) -> Tensor {
        let score = self.discriminator.forward(made);
        bce_with_logits(&score, &score.ones_like())
    }
}

/// The networks, and how they are trained.
pub fn recipe() -> Recipe<Gan> {
    let images = Feed::images(&[784]);
    Recipe::new(Gan::new(), 128, 2e-4, |gan, rate| {
        let adam = || Adam::new(rate).betas(0.5, 0.999);
        // Two programs, each with an optimizer of its own, over one state: what one learns the other sees.
        Trainer::with_programs(gan)
            .optimizer_of("discriminator", adam())
            .optimizer_of("generator", adam())
            .training_program("discriminate", |step, real| {
                let real = &real[0] * 2.0 - 1.0;
                let loss = gan.d_loss(&real, &gan.make(&real).detach());
                step.minimize("discriminator", &loss);
                vec![loss]
            })
            .training_program("generate", |step, real| {
                let loss = gan.g_loss(&gan.make(&real[0]));
                step.minimize("generator", &loss);
                vec![loss]
            })
            .program("show", |noise| vec![gan.generator.forward(&noise[0])])
    })
    .training("discriminate", [images.clone()])
    .training("generate", [images])
    .program("show", [Feed::normal(&[NOISE])])
}

/// Trains both networks and draws what the generator makes.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[784])?;
    let samples = measure::first_samples(&data.train, options);
    let recipe = recipe();
    let batches = options.batches(&samples, recipe.batch)?;
    let epochs = options.epochs(20);

    let mut trainer = recipe.trainer(options).build()?;

    let noise = measure::noise([SHOWN[0], NOISE], options.seed);
    let path = options.picture("gan.png")?;
    let mut run = options.run("gan", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        for (real, _) in run.batches(&batches).prefetch(2) {
            let loss = trainer.run("discriminate", &real)?[0].get(0).as_f64();
            run.add("generator", trainer.run("generate", &real)?[0].get(0).as_f64());
            run.step(&trainer, loss as f32)?;
        }
        let g_loss = run.sum("generator") / batches.n_batches() as f64;
        run.point("generator", g_loss);
        run.epoch(epoch, &mut trainer, |trainer, _| {
            let images = trainer.run("show", &noise)?.remove(0);
            let images = images.reshaped([SHOWN[0], 28, 28]).expect("images of 28 x 28 pixels");
            picture::grid(&path, &images, SHOWN[1], [-1.0, 1.0])?;
            Ok(format!("loss of the generator {g_loss:.4}"))
        })?;
    }
    run.say(format_args!("images from noise in {}", path.display()))?;
    run.finish(&trainer, "done")
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
