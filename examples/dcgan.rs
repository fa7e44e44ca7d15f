//! A generative adversarial network of convolutions: one network makes images of digits from noise, one tells them from
//! real ones, and each learns from the other.
//!
//! `cargo run --release --example dcgan`, or `kiln train dcgan`
//!
//! Source: A. Radford, L. Metz, S. Chintala, *Unsupervised Representation Learning with Deep Convolutional Generative
//! Adversarial Networks*, 2016.

use kiln::cli::{CliError, Feed, Options, Recipe, measure, picture, sources};
use kiln::models::Dcgan;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Images in the picture, and in a row of it.
const SHOWN: [usize; 2] = [80, 10];

/// As many images as there are real ones, from new noise.
fn make(gan: &Dcgan, real: &Tensor) -> Tensor {
    gan.g.forward(&real.flatten(1, -1).narrow(1, 0, Dcgan::NOISE).randn_like().unflatten(1, [-1, 1, 1]))
}

/// The networks, and how they are trained.
pub fn recipe() -> Recipe<Dcgan> {
    let images = Feed::images(&[1, 28, 28]);
    Recipe::new(Dcgan::new(), 64, 2e-4, |gan, rate| {
        let adam = || Adam::new(rate).betas(0.5, 0.999);
        // Two programs, each with an optimizer of its own, over one state: what one learns the other sees.
        Trainer::with_programs(gan)
            .optimizer_of("d", adam())
            .optimizer_of("g", adam())
            .training_program("discriminate", |step, real| {
                // To 32 x 32 pixels from -1 to 1.
                let real = real[0].pad(&[(2, 2), (2, 2)], 0.0) * 2.0 - 1.0;
                let loss = gan.d_loss(&real, &make(gan, &real).detach());
                step.minimize("d", &loss);
                vec![loss]
            })
            .training_program("generate", |step, real| {
                let loss = gan.g_loss(&make(gan, &real[0]));
                step.minimize("g", &loss);
                vec![loss]
            })
            .program("show", |noise| vec![gan.g.forward(&noise[0])])
    })
    .training("discriminate", [images.clone()])
    .training("generate", [images])
    .program("show", [Feed::normal(&[Dcgan::NOISE, 1, 1])])
}

/// Trains both networks and draws what the generator makes.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[1, 28, 28])?;
    let samples = measure::first_samples(&data.train, options);
    let recipe = recipe();
    let batches = options.batches(&samples, recipe.batch)?;
    let epochs = options.epochs(5);

    let mut trainer = recipe.trainer(options).build()?;

    let noise = measure::noise([SHOWN[0], Dcgan::NOISE, 1, 1], options.seed);
    let path = options.picture("dcgan.png")?;
    let mut run = options.run("dcgan", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        for (real, _) in run.batches(&batches).prefetch(2) {
            let loss = trainer.run("discriminate", &real)?[0].get(0).as_f64();
            run.add("generator", trainer.run("generate", &real)?[0].get(0).as_f64());
            run.step(&trainer, loss as f32)?;
        }
        let g_loss = run.sum("generator") / batches.n_batches() as f64;
        run.point("generator", g_loss);
        run.epoch(epoch, &mut trainer, |trainer, _| {
            picture::grid(&path, &trainer.run("show", &noise)?[0], SHOWN[1], [-1.0, 1.0])?;
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
