//! A denoising diffusion model: learns to tell the noise in images of digits, and takes it away from pure noise step by
//! step until a digit is left.
//!
//! `cargo run --release --example ddpm`, or `kiln train ddpm`
//!
//! Source: J. Ho, A. Jain, P. Abbeel, *Denoising Diffusion Probabilistic Models*, 2020.

use kiln::cli::plot::Chart;
use kiln::cli::{CliError, Feed, Options, Recipe, measure, picture, sources};
use kiln::models::Ddpm;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

/// Images that are made at once, and in a row of the picture.
const SHOWN: [usize; 2] = [16, 8];
/// How much of the moving average of the parameters stays at a step.
const AVERAGE: f64 = 0.995;

/// The share of the image's variance that is left after each step.
fn left() -> Vec<f64> {
    let product = |product: &mut f64, beta: f64| {
        *product *= 1.0 - beta;
        Some(*product)
    };
    Ddpm::betas().into_iter().scan(1.0, product).collect()
}

/// Algorithm 1 of the paper: the loss of images of which each has been through another number of steps.
fn loss(model: &Ddpm, images: &Tensor) -> Tensor {
    // To 32 x 32 pixels from -1 to 1.
    let x = images.pad(&[(2, 2), (2, 2)], 0.0) * 2.0 - 1.0;
    let t = (x.mean([1, 2, 3]).rand_like() * Ddpm::STEPS as f64).cast(DType::I64);
    model.loss(&x, &t, &x.randn_like())
}

/// Algorithm 2 of the paper: from noise to images, a loop from the last step to the first. `noise: [steps, n, 1, 32, 32]` is
/// what is added at each step. Fewer steps than there are in training are spread evenly over them.
///
/// Source of the spread: A. Nichol, P. Dhariwal, *Improved Denoising Diffusion Probabilistic Models*, 2021, section 4.
fn sample(model: &Ddpm, start: &Tensor, noise: &Tensor) -> Tensor {
    let (n_steps, n) = (noise.extents()[0], start.extents()[0]);
    let step = |i: usize| (i + 1) * Ddpm::STEPS / n_steps - 1;
    let left = left();
    let beta = |i: usize| 1.0 - left[step(i)] / if i == 0 { 1.0 } else { left[step(i - 1)] };
    let of_step = |value: &dyn Fn(usize) -> f64| {
        let values = (0..n_steps).map(|i| value(i) as f32).collect();
        start.constant(TensorData::new([n_steps], values))
    };
    let scale = of_step(&|i| (1.0 - beta(i)).sqrt().recip());
    let share = of_step(&|i| beta(i) / (1.0 - left[step(i)]).sqrt());
    // The last step, the first in number, adds no noise.
    let deviation = of_step(&|i| if i == 0 { 0.0 } else { beta(i).sqrt() });
    let t = (0..n_steps * n).map(|i| step(i / n) as i64).collect();
    let t = start.constant(TensorData::new([n_steps, n], t));
    let steps = Scan::over(&[&t, noise, &scale, &share, &deviation]).carry(&[start]).reversed();
    let mut done = steps.run(|x, of_step| {
        let [t, noise, scale, share, deviation] = of_step else {
            unreachable!("five tensors are looped over")
        };
        let cleaner = (&x[0] - model.forward(&x[0], t) * share) * scale;
        (vec![cleaner + noise * deviation], vec![])
    });
    done.carried.remove(0)
}

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Ddpm> {
    let noise = Feed::normal(&[1, 32, 32]);
    // The noise of some steps: for how many the program is made follows from what it is given.
    let noises = Feed::normal(&[4, 1, 32, 32]).batch_at(1);
    Recipe::new(Ddpm::new(), 32, 1e-3, |model, rate| {
        Trainer::minimizing(model, |images| loss(model, &images[0]))
            .optimizer(Adam::new(rate))
            .average(AVERAGE)
            .program("sample", |batch| vec![sample(model, &batch[0], &batch[1])])
    })
    .step(Feed::images(&[1, 28, 28]), [])
    .program("sample", [noise, noises])
}

/// Trains the model and draws what it makes of noise.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[1, 28, 28])?;
    let samples = measure::first_samples(&data.train, options);
    let recipe = recipe();
    let batches = options.batches(&samples, recipe.batch)?;
    let epochs = options.epochs(1);
    let n_steps = (epochs * batches.n_batches()) as u64;

    let schedule = options.picture("ddpm-schedule.svg")?;
    let curve = |of: fn(f64) -> f64| {
        left().iter().map(|&left| of(left)).enumerate().map(|(t, y)| (t as f64, y)).step_by(10).collect()
    };
    Chart::new("what is left of the image, and what is noise", "step", "share")
        .draw(&schedule, &[("image", curve(f64::sqrt)), ("noise", curve(|left| (1.0 - left).sqrt()))])?;

    let [inputs, targets] = recipe.types(batches.batch_size());
    let rate = Cosine::new(n_steps).warm_up(n_steps.min(100)).floor(0.05);
    let mut trainer = recipe.trainer(options).schedule(rate).compile(inputs, targets)?;

    writeln!(out, "the schedule in {}", schedule.display())?;
    let mut run = options.run("ddpm", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        for (x, _) in run.batches(&batches).prefetch(2) {
            let loss = trainer.step(&x, &())?;
            run.step(&trainer, loss)?;
        }
        run.epoch(epoch, &mut trainer, |_, _| Ok(""))?;
    }
    // The averages make better images than the last parameters.
    trainer.swap_averages();
    let n_steps = (options.steps as usize).min(Ddpm::STEPS);
    let begin = measure::noise([SHOWN[0], 1, 32, 32], options.seed);
    let noise = measure::noise([n_steps, SHOWN[0], 1, 32, 32], options.seed + 1);
    let start = Instant::now();
    let images = trainer.run("sample", &[begin, noise])?.remove(0);
    let time = start.elapsed().as_secs_f64();
    let path = options.picture("ddpm.png")?;
    picture::grid(&path, &images, SHOWN[1], [-1.0, 1.0])?;
    run.say(format_args!(
        "{} images from noise after {n_steps} steps in {time:.1} s: {}",
        SHOWN[0],
        path.display()
    ))?;
    run.finish(&trainer, "done")
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
