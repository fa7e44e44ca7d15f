//! An autoencoder: draws images of digits again from thirty-two numbers that it has seen of each.
//!
//! `cargo run --release --example autoencoder`, or `kiln train autoencoder`
//!
//! Source: G. Hinton, R. Salakhutdinov, *Reducing the Dimensionality of Data with Neural Networks*, Science 313, 2006.

use kiln::cli::{CliError, Options, measure, picture, sources};
use kiln::data::{Loader, Remainder};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Numbers that are left of the 784 pixels of an image.
const CODE: usize = 32;
/// Images in a row of the picture.
const COLUMNS: usize = 12;

/// Pixels to a code, and a code to pixels.
struct Autoencoder {
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

/// Trains the model and draws images beside what it makes of them.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[784])?;
    let samples = measure::first_samples(&data.train, options);
    let batch = options.batch(128, samples.n_samples())?;
    let batches = Loader::new(&samples, batch).shuffled(options.seed).remainder(Remainder::Drop);
    let epochs = options.epochs(15);

    let model = Autoencoder::new();
    let trainer = Trainer::new(&model)
        .loss(bce)
        .optimizer(Adam::new(options.learning_rate(1e-3)))
        .schedule(Cosine::new((epochs * batches.n_batches()) as u64));
    let images = f32(&[batch, 784]);
    let mut trainer = options.configure(trainer).compile(images.clone(), images)?;

    let mut run = options.run("autoencoder", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        // What an image shall become is the image: no labels are needed.
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
