//! A training that is stopped and goes on gives the same bits as one that was not.

use kiln::data::{Dataset, Loader, Position};
use kiln::log::Log;
use kiln::metrics::Mean;
use kiln::optim::Plateau;
use kiln::prelude::*;
use kiln::trainer::Resume;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Net {
    fc1: Linear,
    fc2: Linear,
}
kiln::parameters!(Net { fc1, fc2 });

impl Model for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.forward(&self.fc1.forward(x).relu().dropout(0.3))
    }
}

fn net() -> Net {
    Net { fc1: Linear::new(6, 32), fc2: Linear::new(32, 3) }
}

fn data() -> Dataset {
    samples(150)
}

fn samples(n: usize) -> Dataset {
    let x = Init::Normal { mean: 0.0, std: 1.0 }.sample(&f32(&[n, 6]), 1, 0);
    let label =
        x.as_slice::<f32>().unwrap().chunks(6).map(|row| i64::from(row[0] > 0.0) + i64::from(row[1] > 0.5));
    let label = TensorData::new([n], label.collect());
    Dataset::new(x, label).unwrap()
}

const EPOCHS: u64 = 6;
const COLUMNS: [&str; 3] = ["step", "loss", "rate"];

/// What stands beside the trainer.
struct Beside {
    position: Position,
    plateau: Plateau,
    stopping: EarlyStopping,
    loss: Mean,
}

/// Dropout, momenta, a schedule, gradients of two batches for a step, averages, shuffled batches, a last one of fewer
/// samples, a plateau and early stopping: trains to the end, and saves all of it now and then.
fn train(directory: &Path, pause: Duration) -> Vec<(String, TensorData)> {
    let (model, data) = (net(), data());
    let loader = Loader::new(&data, 16).shuffled(5);
    let trainer = Trainer::new(&model).loss(cross_entropy).optimizer(AdamW::new(0.02)).seed(7).threads(2);
    let trainer = trainer.schedule(Cosine::new(40).warm_up(4)).accumulate(2).average(0.9);
    let mut trainer = trainer.compile(f32(&[16, 6]), i64(&[16])).unwrap();
    let mut beside = Beside {
        position: loader.start(),
        plateau: Plateau::new(),
        stopping: EarlyStopping::new(100),
        loss: Mean::new(),
    };
    let Beside { position, plateau, stopping, loss } = &mut beside;
    let file = directory.join("training.safetensors");
    if file.exists() {
        let beside: &mut [(&str, &mut dyn Resume)] =
            &mut [("position", position), ("plateau", plateau), ("stopping", stopping), ("loss", loss)];
        trainer.load_training(&file, beside).unwrap();
    }
    let step = |position: &Position| position.epoch * loader.n_batches() as u64 + position.batch;
    let mut log = Log::resume(directory.join("log.csv"), &COLUMNS, step(position)).unwrap();
    while position.epoch < EPOCHS {
        for (x, label) in loader.rest(*position).prefetch(2) {
            let n = x.shape()[0];
            let value = f64::from(trainer.step(&x, &label).unwrap());
            log.write(&[step(position) as f64, value, trainer.learning_rate()]).unwrap();
            loss.add(value, n);
            position.batch += 1;
            // Not at every step, so that steps are done again, and in the middle of what is accumulated.
            if position.batch % 3 == 0 {
                let beside: &[(&str, &dyn Resume)] =
                    &[("position", position), ("plateau", plateau), ("stopping", stopping), ("loss", loss)];
                trainer.save_training(&file, beside).unwrap();
            }
            std::thread::sleep(pause);
        }
        let measure = loss.value();
        trainer.scale_learning_rate(plateau.observe(measure));
        stopping.observe(measure, &trainer);
        *loss = Mean::new();
        *position = position.next_epoch();
    }
    let mut result = trainer.parameters();
    trainer.swap_averages();
    result.extend(trainer.parameters());
    stopping.restore(&mut trainer).unwrap();
    result.extend(trainer.parameters());
    result.push(("best".to_string(), TensorData::scalar(stopping.best().unwrap())));
    result
}

/// Names the directory of the training that a child process does.
const DIRECTORY: &str = "KILN_TEST_RESUME";

/// What a child process does; alone it does nothing.
#[test]
fn child() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        train(Path::new(&directory), Duration::from_millis(4));
    }
}

/// Trains in a process of its own, which is killed when it has written so many rows.
fn train_and_kill(directory: &Path, n_rows: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "resume::child"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let rows = || std::fs::read_to_string(directory.join("log.csv")).unwrap_or_default().lines().count();
    while rows() < n_rows {
        assert!(child.try_wait().unwrap().is_none(), "the training came to its end");
        assert!(start.elapsed() < Duration::from_secs(120), "the training does not get on");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_training_that_is_killed_and_resumed_gives_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    let [whole, killed]: [PathBuf; 2] = ["whole", "killed"].map(|name| directory.path().join(name));
    [&whole, &killed].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
    let expected = train(&whole, Duration::ZERO);
    for n_rows in [8, 25, 47] {
        train_and_kill(&killed, n_rows);
    }
    let found = train(&killed, Duration::ZERO);
    assert_eq!(found.len(), expected.len());
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert!(found.same_bits(expected), "{name}: {found:?} and {expected:?}");
    }
    let log = |directory: &Path| std::fs::read_to_string(directory.join("log.csv")).unwrap();
    assert_eq!(log(&killed), log(&whole));
    // Nothing is left of the files that were being written, but for those that the kill has hit.
    let names: Vec<String> = std::fs::read_dir(&killed)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".kiln-"))
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

fn begin<'m>(model: &'m Net, optimizer: impl Optimizer + 'm) -> Trainer<'m> {
    let trainer = Trainer::new(model).loss(cross_entropy).optimizer(optimizer);
    trainer.compile(f32(&[16, 6]), i64(&[16])).unwrap()
}

#[test]
fn a_file_of_another_training_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("training.safetensors");
    let model = net();
    begin(&model, Adam::new(0.1)).save_training(&path, &[("epoch", &3u64)]).unwrap();
    let message = |trainer: &mut Trainer<'_>, beside: &mut [(&str, &mut dyn Resume)]| {
        let before = trainer.parameters();
        let error = trainer.load_training(&path, beside).unwrap_err().to_string();
        assert_eq!(trainer.parameters(), before);
        let text = error.replace(path.to_str().unwrap(), "FILE");
        let lines = text.lines().filter(|line| !line.starts_with("  --> "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let wide = Net { fc1: Linear::new(6, 40), fc2: Linear::new(40, 3) };
    let text = message(&mut begin(&wide, Adam::new(0.1)), &mut []);
    assert!(
        text.starts_with(
            "error: FILE: is of another model\n   | fc1.weight: f32[32, 6] in the file, f32[40, 6] here\n"
        ),
        "{text}"
    );
    let text = message(&mut begin(&model, Sgd::new(0.1)), &mut []);
    assert!(text.starts_with("error: FILE: is of this model, but trained with another optimizer or other settings\n   | fc1.bias.exp_avg: f32[32] in the file, not here\n"), "{text}");
    let mut trainer = begin(&model, Adam::new(0.1));
    let text = message(&mut trainer, &mut [("plateau", &mut Plateau::new())]);
    assert_eq!(text, "error: FILE: holds no `plateau`; beside the trainer there are epoch");
    let text = message(&mut trainer, &mut [("epoch", &mut 0.5f64)]);
    assert_eq!(text, "error: FILE: `epoch`: there is no `number`");
    let mut epoch = 0u64;
    trainer.load_training(&path, &mut [("epoch", &mut epoch)]).unwrap();
    assert_eq!(epoch, 3);
    trainer.save(&path).unwrap();
    let text = message(&mut trainer, &mut []);
    assert_eq!(text, "error: FILE: holds parameters only, and no training: `load` reads those");
}

/// The same values after they were remembered and recalled by another.
fn again<R: Resume>(of: &R, into: &mut R) {
    let values: BTreeMap<String, TensorData> = of.remembered().into_iter().collect();
    into.recall(&values).unwrap();
}

#[test]
fn numbers_keep_all_their_bits() {
    let mut numbers = Vec::new();
    again(&vec![0.1, f64::INFINITY, -0.0], &mut numbers);
    assert_eq!(
        numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>(),
        [0.1, f64::INFINITY, -0.0].map(f64::to_bits)
    );
    let mut count = 0;
    again(&u64::MAX, &mut count);
    assert_eq!(count, u64::MAX);
    // A plateau that cools down, with a best measure.
    let (mut plateau, mut other) =
        (Plateau::new().patience(0).cooldown(3), Plateau::new().patience(0).cooldown(3));
    assert_eq!([1.0, 2.0, 3.0].map(|measure| plateau.observe(measure)), [1.0, 0.1, 1.0]);
    again(&plateau, &mut other);
    for measure in [4.0, 5.0, 0.5, 0.6] {
        assert_eq!(plateau.observe(measure), other.observe(measure));
    }
}

#[test]
fn a_position_in_other_batches_is_refused() {
    let (data, more) = (data(), samples(151));
    let loader = Loader::new(&data, 16).shuffled(5);
    let mut position = loader.start().next_epoch();
    position.batch = 3;
    let mut other = loader.start();
    again(&position, &mut other);
    assert_eq!(other, position);
    let values: BTreeMap<String, TensorData> = position.remembered().into_iter().collect();
    for (loader, problem) in [
        (Loader::new(&more, 16).shuffled(5), "it has seen data of 150 samples, here there are 151"),
        (Loader::new(&data, 8).shuffled(5), "its batches have 16 samples, here they have 8"),
        (
            Loader::new(&data, 16).shuffled(6),
            "its order of the samples is drawn from seed 5, here it is drawn from seed 6",
        ),
        (
            Loader::new(&data, 16),
            "its order of the samples is drawn from seed 5, here it is as it is in the data",
        ),
    ] {
        let mut position = loader.start();
        assert_eq!(position.recall(&values), Err(problem.to_string()));
        assert_eq!(position, loader.start());
    }
}
