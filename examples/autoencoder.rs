//! An autoencoder: draws images of digits again from thirty-two numbers that it has seen of each.
//!
//! `cargo run --release --example autoencoder`, or `kiln train autoencoder`
//!
//! Source: G. Hinton, R. Salakhutdinov, *Reducing the Dimensionality of Data with Neural Networks*, Science 313, 2006.

use kiln::cli::{CliError, Feed, Options, Recipe, measure, picture, sources};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Numbers that are left of the 784 pixels of an image.
const CODE: usize = 32;
/// Images in a row of the picture.
const COLUMNS: usize = 12;

/// Pixels to a code, and a code to pixels.
pub struct Autoencoder {
    encoder: Sequential,
    decoder: Sequential,
}
kiln::parameters!(Autoencoder { encoder, decoder });

impl Model for Autoencoder {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.decoder.forward(&self.encoder.forward(x))
    }
}

impl Autoencoder {
    fn new() -> Autoencoder {
        let narrow = |n_in, n_out| Linear::new(n_in, n_out);
        Autoencoder {
            encoder: Sequential::new().then(narrow(784, 256)).then(Relu).then(narrow(256, CODE)),
            decoder: Sequential::new()
                .then(narrow(CODE, 256))
                .then(Relu)
                .then(narrow(256, 784))
                .then(Sigmoid),
        }
    }
}

/// The model, and how it is trained: what an image shall become is the image.
pub fn recipe() -> Recipe<Autoencoder> {
    let images = Feed::images(&[784]);
    Recipe::new(Autoencoder::new(), 128, 1e-3, |model, rate| {
        Trainer::new(model).loss(bce).optimizer(Adam::new(rate))
    })
    .step(images.clone(), [images])
}

/// Trains the model and draws images beside what it makes of them.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[784])?;
    let samples = measure::first_samples(&data.train, options);
    let recipe = recipe();
    let batches = options.batches(&samples, recipe.batch)?;
    let epochs = options.epochs(15);

    let [inputs, targets] = recipe.types(batches.batch_size());
    let schedule = Cosine::new((epochs * batches.n_batches()) as u64);
    let mut trainer = recipe.trainer(options).schedule(schedule).compile(inputs, targets)?;

    let mut run = options.run("autoencoder", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        for (x, _) in run.batches(&batches).prefetch(2) {
            let loss = trainer.step(&x, &x)?;
            run.step(&trainer, loss)?;
        }
        run.epoch(epoch, &mut trainer, |trainer, run| {
            let (loss, _) = trainer.evaluate(data.test.x(), data.test.x())?;
            run.point("test", f64::from(loss));
            Ok(format!("test loss {loss:.4}"))
        })?;
    }
    // The first test images, and below each what the model makes of it.
    let shown = data.test.n_samples().min(3 * COLUMNS);
    let (x, _) = data.test.gather(&(0..shown).collect::<Vec<_>>());
    let path = options.picture("autoencoder.png")?;
    let pairs = picture::alternating(&x, &trainer.predict(&x)?, COLUMNS, [28, 28]);
    picture::grid(&path, &pairs, COLUMNS, [0.0, 1.0])?;
    run.say(format_args!("test images and their reconstructions in {}", path.display()))?;
    let (loss, _) = trainer.evaluate(data.test.x(), data.test.x())?;
    run.finish(&trainer, format_args!("test loss {loss:.4}"))
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
