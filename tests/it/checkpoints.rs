//! Trainings of the command line that are stopped, and go on.

use crate::cli::{kiln_in, texts};
use crate::examples::data;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const LOG: &str = "log.csv";
const CHECKPOINT: &str = "training.safetensors";

/// What the tests train: with the files that a training leaves.
fn arguments<'a>(example: &[&'a str], epochs: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let files = ["--save", "model.safetensors", "--log", LOG, "--plot", "loss.svg", "--threads", "1"];
    [&["train"][..], example, &["--epochs", epochs], &files, more].concat()
}

/// Trains in a process that is killed when the log has `n_rows` rows: whether it was stopped before the last one. On a
/// machine that does other things it may come to its end before it is killed.
fn train_and_kill(directory: &Path, arguments: &[&str], n_rows: usize, n_rows_of_all: usize) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let lines = || fs::read_to_string(directory.join(LOG)).unwrap_or_default().lines().count();
    while lines() < 1 + n_rows && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(300), "the training does not get on");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines() < 1 + n_rows_of_all
}

/// Epochs of the trainings that are killed: there is a row in the log for each.
const EPOCHS: usize = 20;
/// Rows of the log after which a training is killed, and what goes on with it.
const KILLS: [usize; 2] = [2, 5];
/// How often a training is begun that comes to its end before it is killed.
const ATTEMPTS: usize = 5;

/// Trains an example in a new directory in processes that are killed, and says where.
fn killed(root: &Path, example: &[&str], epochs: &str) -> PathBuf {
    for attempt in 0..ATTEMPTS {
        let directory = root.join(format!("killed-{attempt}"));
        fs::create_dir(&directory).unwrap();
        let is_stopped = |option, n_rows| {
            train_and_kill(&directory, &arguments(example, epochs, &[option, CHECKPOINT]), n_rows, EPOCHS)
        };
        if is_stopped("--checkpoint", KILLS[0]) && is_stopped("--resume", KILLS[1]) {
            return directory;
        }
    }
    panic!("each of {ATTEMPTS} trainings came to its end before it was killed")
}

/// Trains an example in a new directory, writes a checkpoint every other step, and sends it a signal when there is one: how
/// it ended, and how many batches of the first epoch the last checkpoint has; nothing when the epoch was over by then.
fn stopped(directory: &Path, example: &[&str], signal: u32) -> (Output, Option<f64>) {
    fs::create_dir(directory).unwrap();
    let every = ["--checkpoint", CHECKPOINT, "--checkpoint-every", "2"];
    let child = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(arguments(example, "2", &every))
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The shell waits and sends the signal itself: to start another program then takes as long as an epoch. A training that
    // has come to its end gets no signal any more.
    let pid = child.id();
    let script = format!("until [ -e {CHECKPOINT} ] || ! kill -0 {pid}; do :; done; kill -{signal} {pid}");
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let kept = kiln::checkpoint::load(directory.join(CHECKPOINT)).unwrap().tensors;
    shell.wait().unwrap();
    let [epoch, batch] = ["epoch", "batch"].map(|of| kept[&format!("position/{of}")].get(0).as_f64());
    (output, (epoch == 0.0).then_some(batch))
}

/// Trains an example to its end in one directory; in another it is stopped by this signal in the middle of its first epoch,
/// ends with this exit code, if any, and goes on. All files must be the same.
#[track_caller]
fn assert_same_when_stopped_within_an_epoch(example: &[&str], signal: u32, code: Option<i32>) {
    let root = data();
    let whole = root.path().join("whole");
    fs::create_dir(&whole).unwrap();
    let (expected, _) = texts(0, &kiln_in(&whole, &arguments(example, "2", &[])));
    // On a machine that does other things the epoch may be over before the signal comes.
    let mut attempts = (0..ATTEMPTS).map(|attempt| root.path().join(format!("stopped-{attempt}")));
    let within = attempts.find_map(|directory| {
        let (output, batch) = stopped(&directory, example, signal);
        batch.map(|batch| (directory, output, batch))
    });
    let (directory, output, batch) = within.expect("a training is stopped in its first epoch");
    assert_eq!(output.status.code(), code, "{output:?}");
    if code.is_some() {
        let err = String::from_utf8(output.stderr).unwrap();
        let place = format!("stopped   after step {batch} of epoch 1 of 2\n");
        assert_eq!(err, place + "  = `--resume training.safetensors` goes on from here\n");
        // It was not in the middle of a file that it ended.
        let names = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().starts_with(".kiln-")).count(), 0);
    }
    let (found, _) = texts(0, &kiln_in(&directory, &arguments(example, "2", &["--resume", CHECKPOINT])));
    assert!(found.contains(&format!("resumed   after step {batch} of epoch 1 of 2, from ")), "{found}");
    assert_same_results([&found, &expected], [&directory, &whole], &[]);
}

/// The same files and the same last line, but for the time.
#[track_caller]
fn assert_same_results([found, expected]: [&str; 2], [killed, whole]: [&Path; 2], files: &[&str]) {
    assert_eq!(result(found), result(expected));
    for file in [LOG, "model.safetensors", "loss.svg"].iter().chain(files) {
        let [found, expected] = [killed, whole].map(|directory| fs::read(directory.join(file)).unwrap());
        assert!(found == expected, "{file} differs: {} and {} bytes", found.len(), expected.len());
    }
}

/// The last lines of a training, without the time that it took.
fn result(out: &str) -> String {
    let line = out.lines().find(|line| line.contains(" steps in ")).unwrap_or_else(|| panic!("{out}"));
    line.split(" in ").next().unwrap().to_string()
}

/// Trains an example to its end in one directory; in another it is killed twice and goes on. All files must be the same.
#[track_caller]
fn assert_same_when_killed(example: &[&str], files: &[&str]) {
    let root = data();
    let epochs = &EPOCHS.to_string();
    let whole = root.path().join("whole");
    fs::create_dir(&whole).unwrap();
    let (expected, _) = texts(0, &kiln_in(&whole, &arguments(example, epochs, &[])));
    let killed = killed(root.path(), example, epochs);
    let resume = arguments(example, epochs, &["--resume", CHECKPOINT]);
    let (found, _) = texts(0, &kiln_in(&killed, &resume));
    assert!(found.contains("resumed   after epoch "), "{found}");
    assert!(found.contains("checkpoint written to training.safetensors"), "{found}");
    assert_same_results([&found, &expected], [&killed, &whole], files);
    // There is nothing left to train, and the result is the same.
    let (again, _) = texts(0, &kiln_in(&killed, &resume));
    assert_eq!(result(&again), result(&expected));
    assert!(!again.contains("\nepoch "), "{again}");
}

#[test]
fn a_classifier_that_is_killed_goes_on_to_the_same_bits() {
    // The learning rate falls from step to step.
    assert_same_when_killed(&["digits-mlp", "--batch", "2"], &[]);
}

#[test]
fn adversaries_that_are_killed_go_on_to_the_same_bits() {
    // Two optimizers, dropout, random images, batches that a thread makes.
    assert_same_when_killed(&["gan", "--data", "..", "--batch", "2"], &["out/gan.png"]);
}

#[test]
fn a_writer_that_is_killed_goes_on_to_the_same_bits() {
    // A schedule, and a text that is cut at other places in each epoch.
    assert_same_when_killed(&["gru", "--data", "..", "--batch", "4", "--length", "5"], &[]);
}

#[test]
fn a_training_that_is_killed_within_an_epoch_goes_on_to_the_same_bits() {
    // A sum over the steps of an epoch is in the log.
    assert_same_when_stopped_within_an_epoch(&["gan", "--data", "..", "--batch", "1"], 9, None);
}

/// Whether this process ignores a signal, as jobs in the background of a script ignore ctrl-c. Where the system does not say,
/// it does not.
fn is_ignored(signal: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).expect("a mask of signals"));
    mask >> (signal - 1) & 1 == 1
}

#[test]
fn a_training_that_is_stopped_ends_after_its_step_and_says_how_to_go_on() {
    for signal in [2, 15] {
        if is_ignored(signal) {
            println!(
                "skipped: who started the tests lets them ignore signal {signal}, and with them what they start"
            );
            continue;
        }
        assert_same_when_stopped_within_an_epoch(&["digits-mlp", "--batch", "1"], signal, Some(130));
    }
}

#[test]
fn a_checkpoint_of_another_training_is_refused_in_words() {
    let directory = data();
    let run = |code, arguments: &[&str]| texts(code, &kiln_in(directory.path(), arguments)).1;
    let train = ["train", "xor", "--epochs", "20", "--threads", "1"];
    run(0, &[&train[..], &["--checkpoint", "a.safetensors", "--save", "model.safetensors"]].concat());
    for (more, problem) in [
        (
            &["--batch", "2"][..],
            "its batches have 4 samples, here they have 2: data, `--batch` and `--seed` must be as they were",
        ),
        (
            &["--seed", "7"],
            "its order of the samples is drawn from seed 0, here it is drawn from seed 7: data, `--batch` and `--seed` must be \
             as they were",
        ),
        (&["--lr", "0.1"], "`--lr` was not given there, and is 0.1 here"),
        (&["--samples", "4"], "`--samples` was not given there, and is 4 here"),
    ] {
        let err = run(1, &[&train[..], &["--resume", "a.safetensors"], more].concat());
        assert_eq!(err, format!("error: a.safetensors: {problem}\n"));
    }
    let err = run(1, &["train", "digits-mlp", "--resume", "a.safetensors"]);
    assert!(err.starts_with("error: a.safetensors: is of another model\n   | fc1.weight: f32[8, 2] in the file, f32[128, 64] here\n"), "{err}");
    let err = run(1, &[&train[..], &["--resume", "model.safetensors"]].concat());
    assert!(
        err.starts_with("error: model.safetensors: holds parameters only, as `--save` writes them"),
        "{err}"
    );
    let err = run(1, &[&train[..], &["--resume", "nothing.safetensors"]].concat());
    assert_eq!(err, "error: nothing.safetensors: no such file\n");
    for example in ["vanishing", "overfitting"] {
        let err = run(1, &["train", example, "--checkpoint", "b.safetensors"]);
        assert!(err.contains("trains several models, and `--checkpoint` is for one"), "{err}");
    }
    // More epochs are no other training; checkpoints go to another file if one is named.
    let more = ["train", "xor", "--epochs", "30", "--threads", "1"];
    let more = [&more[..], &["--resume", "a.safetensors", "--checkpoint", "b.safetensors"]].concat();
    let (out, _) = texts(0, &kiln_in(directory.path(), &more));
    assert!(out.contains("resumed   after epoch 20 of 30, from a.safetensors"), "{out}");
    assert!(
        out.contains(" after 30 steps in ") && out.contains("checkpoint written to b.safetensors"),
        "{out}"
    );
}
