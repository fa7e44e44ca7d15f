//! Overfitting and what helps against it: a few noisy points of a sine, a polynomial and a network that learn them by heart,
//! and what each way of regularisation does to the loss on other points.
//!
//! `cargo run --release --example overfitting`, or `kiln train overfitting`, where `--epochs` counts steps on all points
//!
//! Source: C. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 1.1, for the polynomial; I. Goodfellow, Y.
//! Bengio, A. Courville, *Deep Learning*, 2016, chapter 7, for the rest.

use kiln::cli::plot::Chart;
use kiln::cli::{CliError, Feed, Options, Recipe, Recipes, measure};
use kiln::data::Dataset;
use kiln::loss::CrossEntropy;
use kiln::nn::{ActivityRegularization, BatchNorm1d, GaussianNoise};
use kiln::prelude::*;
use kiln::trainer::{Constraint, Penalty};
use std::f64::consts::PI;
use std::io::Write;
use std::process::ExitCode;

/// Points to learn from, and points to measure on.
const N_TRAIN: usize = 15;
const N_VALIDATION: usize = 200;
/// Standard deviation of the noise.
const NOISE: f64 = 0.3;
/// Degree of the polynomial.
const DEGREE: usize = 9;
/// Hidden values of a layer of the network.
const WIDTH: usize = 64;
/// Points of a curve.
const N_MEASURES: usize = 100;

/// How a network is kept from overfitting; 0 is not at all.
#[derive(Clone, Copy)]
struct Rule {
    penalty: Penalty,
    weight_decay: f64,
    activity: f64,
    dropout: f64,
    input_noise: f64,
    hidden_noise: f64,
    label_smoothing: f64,
    batch_norm: bool,
    constraint: Option<Constraint>,
    /// Measures without progress after which the training stops.
    patience: Option<usize>,
}

const NOTHING: Rule = Rule {
    penalty: Penalty { l1: 0.0, l2: 0.0 },
    weight_decay: 0.0,
    activity: 0.0,
    dropout: 0.0,
    input_noise: 0.0,
    hidden_noise: 0.0,
    label_smoothing: 0.0,
    batch_norm: false,
    constraint: None,
    patience: None,
};

/// What is done about the network's fit to noisy points, by name.
const PENALTIES: [(&str, Rule); 6] = [
    ("nothing", NOTHING),
    ("L1 penalty", Rule { penalty: Penalty { l1: 1e-3, l2: 0.0 }, ..NOTHING }),
    ("L2 penalty", Rule { penalty: Penalty { l1: 0.0, l2: 1e-3 }, ..NOTHING }),
    ("weight decay", Rule { weight_decay: 1.0, ..NOTHING }),
    ("activity regularisation", Rule { activity: 2e-3, ..NOTHING }),
    ("early stopping", Rule { patience: Some(8), ..NOTHING }),
];
const NOISES: [(&str, Rule); 5] = [
    ("nothing", NOTHING),
    ("dropout", Rule { dropout: 0.2, ..NOTHING }),
    ("noise on inputs", Rule { input_noise: 0.1, ..NOTHING }),
    ("noise on activations", Rule { hidden_noise: 0.2, ..NOTHING }),
    ("batch norm", Rule { batch_norm: true, ..NOTHING }),
];
const CONSTRAINTS: [(&str, Rule); 4] = [
    ("nothing", NOTHING),
    ("max-norm 0.5", Rule { constraint: Some(Constraint::MaxNorm(0.5)), ..NOTHING }),
    ("unit norm", Rule { constraint: Some(Constraint::UnitNorm), ..NOTHING }),
    ("non-negative", Rule { constraint: Some(Constraint::NonNegative), ..NOTHING }),
];
/// What is done about labels that are wrong.
const LABELS: [(&str, Rule); 3] = [
    ("nothing", NOTHING),
    ("label smoothing 0.1", Rule { label_smoothing: 0.1, ..NOTHING }),
    ("label smoothing 0.3", Rule { label_smoothing: 0.3, ..NOTHING }),
];

/// Two hidden layers.
struct Net {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    norms: Vec<BatchNorm1d>,
    rule: Rule,
}
kiln::parameters!(Net { fc1, fc2, fc3, norms });

impl Net {
    fn new(n_in: usize, n_out: usize, rule: Rule) -> Net {
        Net {
            fc1: Linear::new(n_in, WIDTH),
            fc2: Linear::new(WIDTH, WIDTH),
            fc3: Linear::new(WIDTH, n_out),
            norms: (0..if rule.batch_norm { 2 } else { 0 }).map(|_| BatchNorm1d::new(WIDTH)).collect(),
            rule,
        }
    }

    /// What is between the linear layers.
    fn activation(&self, layer: usize, x: Tensor) -> Tensor {
        let x = self.norms.get(layer).map_or(x.clone(), |norm| norm.forward(&x)).tanh();
        let x = ActivityRegularization { l1: self.rule.activity, l2: 0.0 }.forward(&x);
        noisy(&x, self.rule.hidden_noise).dropout(self.rule.dropout)
    }
}

fn noisy(x: &Tensor, deviation: f64) -> Tensor {
    if deviation > 0.0 { GaussianNoise(deviation).forward(x) } else { x.clone() }
}

impl Model for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.activation(0, self.fc1.forward(&noisy(x, self.rule.input_noise)));
        let x = self.activation(1, self.fc2.forward(&x));
        self.fc3.forward(&x)
    }
}

/// What is learned from, and what is measured on.
struct Task {
    train: Dataset,
    validation: Dataset,
}

/// A model, and how it is kept from overfitting.
pub struct Learner<M> {
    model: M,
    rule: Rule,
    /// Whether targets are numbers of classes.
    classifies: bool,
}

impl<M: Module> Module for Learner<M> {
    fn visit<'m>(&'m self, visitor: &mut kiln::nn::Visitor<'m>) {
        // Parameters have the names that they have in the model alone.
        self.model.visit(visitor);
    }
}

impl<M> Learner<M> {
    /// The loss that is measured.
    fn loss(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        if self.classifies { cross_entropy(prediction, target) } else { mse(prediction, target) }
    }

    /// The loss that is learned from.
    fn smoothed(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        match self.classifies {
            true => CrossEntropy::new().label_smoothing(self.rule.label_smoothing).of(prediction, target),
            false => mse(prediction, target),
        }
    }
}

/// A model with so many inputs, and how it is trained.
fn recipe<M: Model>(model: M, n_inputs: usize, rule: Rule, classifies: bool) -> Recipe<Learner<M>> {
    let (points, targets) = match classifies {
        true => (Feed::uniform(&[n_inputs], -1.0, 1.0), Feed::classes(2)),
        false => (Feed::uniform(&[n_inputs], -1.0, 1.0), Feed::normal(&[1])),
    };
    let learner = Learner { model, rule, classifies };
    Recipe::new(learner, N_TRAIN, 5e-3, |learner: &Learner<M>, rate| {
        let Learner { model, rule, .. } = learner;
        let trainer = Trainer::of(learner, |x| model.forward(&x[0]))
            .loss(|prediction, target| learner.smoothed(prediction, target))
            .optimizer(AdamW::new(rate).weight_decay(rule.weight_decay))
            .penalize(|name, _| name.ends_with("weight"), rule.penalty)
            .program("measure", |batch| vec![learner.loss(&model.forward(&batch[0]), &batch[1])]);
        match rule.constraint {
            Some(constraint) => trainer.constrain(|name, _| name == "fc2.weight", constraint),
            None => trainer,
        }
    })
    .step(points.clone(), [targets.clone()])
    .program("measure", [points, targets])
}

/// A network on one task.
fn network(rule: Rule, n_inputs: usize, classifies: bool) -> Recipe<Learner<Net>> {
    recipe(Net::new(n_inputs, if classifies { 2 } else { 1 }, rule), n_inputs, rule, classifies)
}

/// A polynomial of the sine's points.
fn polynomial(rule: Rule) -> Recipe<Learner<Linear>> {
    recipe(Linear::new(DEGREE + 1, 1).without_bias(), DEGREE + 1, rule, false)
}

/// All models, and how they are trained.
pub fn recipes() -> Recipes {
    let networks = PENALTIES.iter().chain(&NOISES[1..]).chain(&CONSTRAINTS[1..]);
    let of_sine = networks.fold(Recipes::none(), |all, (name, rule)| all.and(name, network(*rule, 1, false)));
    let of_plane =
        LABELS[1..].iter().fold(of_sine, |all, (name, rule)| all.and(name, network(*rule, 2, true)));
    of_plane.and("polynomial", polynomial(NOTHING))
}

/// Losses over the steps of a training, and what the model says at last about inputs that were asked for.
struct Trained {
    training: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
    answers: TensorData,
}

/// Trains a model on all points at once and measures it now and then.
fn follow<M: Model>(
    recipe: &Recipe<Learner<M>>,
    task: &Task,
    questions: &TensorData,
    options: &Options,
) -> Result<Trained, CliError> {
    let n_steps = options.epochs(4000);
    let every = n_steps.div_ceil(N_MEASURES);
    let patience = recipe.model.rule.patience;
    let (x, y) = (task.train.x(), task.train.y());
    let mut trainer = recipe.trainer(options).compile(x.ty(), y.ty())?;
    let mut stopping = EarlyStopping::new(patience.unwrap_or(usize::MAX));
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for step in 0..n_steps {
        if step % every == 0 {
            let mut measured = |data: &Dataset| -> Result<f64, CliError> {
                Ok(trainer.run("measure", &[data.x(), data.y()])?[0].get(0).as_f64())
            };
            let losses = [measured(&task.train)?, measured(&task.validation)?];
            training.push((step as f64, losses[0]));
            validation.push((step as f64, losses[1]));
            if stopping.observe(losses[1], &trainer) {
                break;
            }
        }
        trainer.step(x, y)?;
    }
    if patience.is_some() {
        stopping.restore(&mut trainer)?;
    }
    Ok(Trained { training, validation, answers: trainer.predict(questions)? })
}

/// So many numbers from -1 to 1.
fn places(n: usize, seed: u64) -> Vec<f64> {
    measure::uniform(n, seed).into_iter().map(|u| 2.0 * u - 1.0).collect()
}

fn column(values: impl Iterator<Item = f64>) -> TensorData {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    TensorData::new([values.len(), 1], values)
}

/// Noisy points of a sine.
fn sine(n: usize, seed: u64) -> Result<Dataset, CliError> {
    let x = places(n, seed);
    let noise = measure::noise([n], seed + 1).to_f64_vec();
    let y = x.iter().zip(noise).map(|(x, noise)| (PI * x).sin() + NOISE * noise);
    Ok(Dataset::new(column(x.iter().copied()), column(y))?)
}

/// Points of a plane and whether they lie above the sine, which for a fifth of them is told wrong.
fn sides(n: usize, seed: u64) -> Result<Dataset, CliError> {
    let [x, y] = [0, 1].map(|i| places(n, seed + i));
    let lies = measure::uniform(n, seed + 2);
    let side = |i: usize| i64::from((y[i] > (PI * x[i]).sin()) != (lies[i] < 0.2));
    let points = (0..n).flat_map(|i| [x[i] as f32, y[i] as f32]).collect();
    Ok(Dataset::new(TensorData::new([n, 2], points), TensorData::new([n], (0..n).map(side).collect()))?)
}

/// Chebyshev's polynomials up to the degree, at each place: sums of them are all polynomials of that degree, and a gradient
/// finds the way among them, which it does not among powers.
fn polynomials(x: &TensorData) -> TensorData {
    let power = |i: usize| {
        let (place, degree) = (i / (DEGREE + 1), i % (DEGREE + 1));
        (degree as f64 * x.get(place).as_f64().clamp(-1.0, 1.0).acos()).cos() as f32
    };
    let n = x.n_elements();
    TensorData::new([n, DEGREE + 1], (0..n * (DEGREE + 1)).map(power).collect())
}

type Curves = Vec<(&'static str, Vec<(f64, f64)>)>;

fn draw(
    file: &str,
    chart: &Chart<'_>,
    curves: &Curves,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let path = options.picture(file)?;
    chart.draw(&path, curves)?;
    Ok(writeln!(out, "drawn: {}", path.display())?)
}

/// Trains networks on one task, each by another rule: the validation losses, and a line about each.
fn compare(
    rules: &[(&'static str, Rule)],
    task: &Task,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Curves, CliError> {
    let mut curves = Curves::new();
    let is_classified = !task.train.y().dtype().is_float();
    for &(name, rule) in rules {
        let recipe = network(rule, task.train.x().shape()[1], is_classified);
        let trained = follow(&recipe, task, task.validation.x(), options)?;
        let best = trained.validation.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let [last_training, last] =
            [&trained.training, &trained.validation].map(|curve| curve[curve.len() - 1].1);
        writeln!(out, "{name:24} training {last_training:.3}  validation {last:.3}, at best {best:.3}")?;
        curves.push((name, trained.validation));
    }
    Ok(curves)
}

/// Trains models by all rules, and draws how their losses go.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    options.expect_no_files("overfitting")?;
    let seed = options.seed;
    let task = Task { train: sine(N_TRAIN, seed + 10)?, validation: sine(N_VALIDATION, seed + 20)? };
    draw_fits(&task, options, out)?;

    for (file, rules) in [("penalties", &PENALTIES[..]), ("noise", &NOISES), ("constraints", &CONSTRAINTS)] {
        let curves = compare(rules, &task, options, out)?;
        let chart = Chart::new("loss on the validation points of the sine", "step", "mean squared error");
        draw(&format!("overfitting-{file}.svg"), &chart.range(0.0..0.6), &curves, options, out)?;
    }
    let task = Task { train: sides(60, seed + 30)?, validation: sides(500, seed + 40)? };
    let curves = compare(&LABELS, &task, options, out)?;
    let chart = Chart::new("loss on the validation points of the plane", "step", "cross entropy");
    draw("overfitting-labels.svg", &chart.range(0.4..4.5), &curves, options, out)
}

/// Fits a polynomial and a network, each without and with regularisation, and draws the functions.
fn draw_fits(task: &Task, options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let grid: Vec<f64> = (0..=200).map(|i| f64::from(i) / 100.0 - 1.0).collect();
    let line = |y: &TensorData| grid.iter().copied().zip(y.to_f64_vec()).collect::<Vec<_>>();
    let questions = column(grid.iter().copied());
    let powers = |data: &Dataset| Dataset::new(polynomials(data.x()), data.y().clone());
    let of_powers = Task { train: powers(&task.train)?, validation: powers(&task.validation)? };
    let mut curves: Curves = vec![("sine", grid.iter().map(|&x| (x, (PI * x).sin())).collect())];
    for (names, weight_decay) in
        [(["polynomial", "network"], 0.0), (["polynomial, decay", "network, decay"], 1.0)]
    {
        let rule = Rule { weight_decay, ..NOTHING };
        let trained = follow(&polynomial(rule), &of_powers, &polynomials(&questions), options)?;
        let last = trained.validation[trained.validation.len() - 1].1;
        writeln!(out, "{:24} validation {last:.3}", names[0])?;
        curves.push((names[0], line(&trained.answers)));
        let trained = follow(&network(rule, 1, false), task, &questions, options)?;
        curves.push((names[1], line(&trained.answers)));
    }
    let dots = task.train.x().to_f64_vec().into_iter().zip(task.train.y().to_f64_vec()).collect();
    let chart = Chart::new("what is learned from fifteen points", "x", "y")
        .range(-2.0..2.0)
        .dots(dots)
        .legend_below();
    draw("overfitting-fits.svg", &chart, &curves, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
