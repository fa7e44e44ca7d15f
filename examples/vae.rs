//! A variational autoencoder: twenty numbers stand for a digit, near numbers for similar digits, and random ones for new
//! digits.
//!
//! `cargo run --release --example vae`, or `kiln train vae`
//!
//! Source: D. Kingma, M. Welling, *Auto-Encoding Variational Bayes*, 2014.

use kiln::cli::{CliError, Feed, Options, Recipe, measure, picture, sources};
use kiln::data::Dataset;
use kiln::models::Vae;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Images in a row of the pictures.
const COLUMNS: usize = 12;

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Vae> {
    Recipe::new(Vae::new(), 128, 1e-3, |vae, rate| {
        // The loss of one image: that of a batch is a sum, whose gradient grows with the batch. Adam does not mind.
        let loss = |x: &[Tensor]| {
            let noise = x[0].narrow(1, 0, Vae::LATENT).randn_like();
            vae.loss(&x[0], &noise) / x[0].extents()[0] as f64
        };
        Trainer::minimizing(vae, loss)
            .optimizer(Adam::new(rate))
            .program("encode", |x| vec![vae.encode(&x[0]).0])
            .program("decode", |z| vec![vae.decode(&z[0])])
    })
    .step(Feed::images(&[784]), [])
    .program("encode", [Feed::images(&[784])])
    .program("decode", [Feed::normal(&[Vae::LATENT])])
}

/// Trains the model and draws what it makes of images, and what lies between them.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[784])?;
    let samples = measure::first_samples(&data.train, options);
    let recipe = recipe();
    let batches = options.batches(&samples, recipe.batch)?;
    let epochs = options.epochs(15);

    let [inputs, targets] = recipe.types(batches.batch_size());
    let mut trainer = recipe.trainer(options).compile(inputs, targets)?;

    let mut run = options.run("vae", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        for (x, _) in run.batches(&batches).prefetch(2) {
            let loss = trainer.step(&x, &())?;
            run.step(&trainer, loss)?;
        }
        run.epoch(epoch, &mut trainer, |trainer, run| {
            let (loss, _) = trainer.evaluate(data.test.x(), &())?;
            run.point("test", f64::from(loss));
            Ok(format!("test loss {loss:.2}"))
        })?;
    }
    run.say(draw_reconstructions(&mut trainer, &data.test, options)?)?;
    run.say(draw_plane(&mut trainer, &data.test, options)?)?;
    let (loss, _) = trainer.evaluate(data.test.x(), &())?;
    run.finish(&trainer, format_args!("test loss {loss:.2}"))
}

/// Test images, and below each what is drawn from its numbers.
fn draw_reconstructions(
    trainer: &mut Trainer<'_>,
    test: &Dataset,
    options: &Options,
) -> Result<String, CliError> {
    let shown = test.n_samples().min(3 * COLUMNS);
    let (x, _) = test.gather(&(0..shown).collect::<Vec<_>>());
    let codes = trainer.run("encode", &x)?.remove(0);
    let drawn = trainer.run("decode", &codes)?.remove(0);
    let path = options.picture("vae-reconstructions.png")?;
    picture::grid(&path, &picture::alternating(&x, &drawn, COLUMNS, [28, 28]), COLUMNS, [0.0, 1.0])?;
    Ok(format!("test images and their reconstructions in {}", path.display()))
}

/// A plane through the space of codes: the codes of four test images at its corners, and all between them.
fn draw_plane(trainer: &mut Trainer<'_>, test: &Dataset, options: &Options) -> Result<String, CliError> {
    let (corners, _) = test.gather(&[3, 2, 1, 4]);
    let codes = trainer.run("encode", &corners)?.remove(0).to_f64_vec();
    let code = |i: usize| {
        let (place, feature) = (i / Vae::LATENT, i % Vae::LATENT);
        let [down, right] = [place / COLUMNS, place % COLUMNS].map(|i| i as f64 / (COLUMNS - 1) as f64);
        let corner = |corner: usize| codes[corner * Vae::LATENT + feature];
        let between = |a: f64, b: f64, share: f64| a + (b - a) * share;
        between(between(corner(0), corner(1), right), between(corner(2), corner(3), right), down) as f32
    };
    let n = COLUMNS * COLUMNS;
    let plane = TensorData::new([n, Vae::LATENT], (0..n * Vae::LATENT).map(code).collect());
    let drawn =
        trainer.run("decode", &plane)?.remove(0).reshaped([n, 28, 28]).expect("images of 28 x 28 pixels");
    let path = options.picture("vae-plane.png")?;
    picture::grid(&path, &drawn, COLUMNS, [0.0, 1.0])?;
    Ok(format!("what lies between four images in {}", path.display()))
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
