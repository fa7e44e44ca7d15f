//! The command line as its users meet it: exit codes, messages, files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `kiln` in a directory, by default an empty one.
pub(crate) fn kiln_in(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(arguments).current_dir(directory).output().expect("the program starts")
}

/// Runs `kiln`, which must exit with this code: what it wrote to standard output and to standard error.
#[track_caller]
fn kiln(code: i32, arguments: &[&str]) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    texts(code, &kiln_in(directory.path(), arguments))
}

/// What a run that must have this exit code wrote to standard output and to standard error.
#[track_caller]
pub(crate) fn texts(code: i32, output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "standard output:\n{out}\nstandard error:\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

#[test]
fn without_arguments_it_learns_the_embedded_digits() {
    let (out, _) = kiln(0, &[]);
    for word in ["digits-mlp", "traced", "fused", "planned", "compiled", "epoch 30/30", "times as fast"] {
        assert!(out.contains(word), "{word} is missing in\n{out}");
    }
    let accuracy = out.split("test accuracy ").nth(1).and_then(|rest| rest.split('%').next());
    let accuracy: f64 = accuracy.expect("an accuracy").parse().expect("a number");
    assert!(accuracy >= 96.0, "{accuracy}%");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for (arguments, word) in [
        (&["train", "resnet"][..], "there is no example `resnet`, but resnet18, "),
        (&["dump", "gtp"], "there is no model `gtp`, but gpt, "),
        (&["train", "--threads", "0"], "0 is not in 1..=1024"),
        (&["verify", "xor", "--threads", "2000"], "2000 is not in 1..=1024"),
        (&["train", "--seed", "-1"], "'-1' for '--seed <N>'"),
        (&["train", "--lr", "nan"], "a number above 0"),
        (&["train", "--batch", "0"], "--batch"),
        (&["train", "--lr", "-1"], "a number above 0"),
        (&["train", "--epochs", "many"], "--epochs"),
        (&["dump", "xor", "--stage", "soup"], "schedule"),
        (&["dump", "xor", "--stage", "dot", "--after", "simplify"], "--after"),
        (&["bench", "matmul-1042"], "there is no workload `matmul-1042`, but matmul-1024, "),
        (&["frobnicate"], "frobnicate"),
    ] {
        let (out, err) = kiln(2, arguments);
        assert!(out.is_empty() && err.contains(word), "{arguments:?}: {err}");
    }
    let (_, err) = kiln(1, &["train", "--batch", "100000"]);
    assert_eq!(
        err,
        "error: a batch of 100000 samples, but there are 1442 to train on: choose a smaller `--batch`\n"
    );
    let (_, err) = kiln(1, &["dump", "xor", "--after", "beautify"]);
    assert!(err.starts_with("error: there is no pass `beautify`; there are eliminate_dead, "), "{err}");
}

#[test]
fn data_that_are_missing_or_damaged_are_named() {
    let (_, err) = kiln(1, &["train", "mnist-mlp", "--data", "nowhere"]);
    assert!(err.starts_with("error: nowhere: no such file in this directory: train-images-idx3"), "{err}");
    let (_, err) = kiln(1, &["train", "mnist-cnn"]);
    assert!(err.starts_with("error: ../shared/data: no such file"), "{err}");
    assert!(err.contains("https://") && err.contains("--data DIR"), "{err}");
    for (example, file) in [("logistic-regression", "breast_cancer.csv"), ("char-rnn", "input.txt")] {
        let (_, err) = kiln(1, &["train", example, "--data", "nowhere"]);
        assert!(err.starts_with(&format!("error: nowhere/{file}: no such file\n")), "{err}");
        assert!(err.contains("https://"), "{err}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = "train-images-idx3-ubyte";
    fs::write(directory.path().join(file), [0, 0, 8, 3, 0, 0]).unwrap();
    fs::write(directory.path().join("train-labels-idx1-ubyte"), [0, 0, 8, 1]).unwrap();
    let output = kiln_in(directory.path(), &["train", "mnist-mlp", "--data", "."]);
    assert_eq!(texts(1, &output).1, format!("error: ./{file}: ends after 6 of 16 bytes\n"));
}

#[test]
fn parameters_and_pictures_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "train",
        "xor",
        "--epochs",
        "40",
        "--threads",
        "1",
        "--save",
        "xor.safetensors",
        "--plot",
        "xor.svg",
    ];
    let (out, _) = texts(0, &kiln_in(directory.path(), &arguments));
    assert!(out.contains("parameters saved to xor.safetensors") && out.contains("xor.svg"), "{out}");
    let saved = kiln::checkpoint::load(directory.path().join("xor.safetensors")).unwrap();
    assert_eq!(saved.tensors["fc1.weight"].shape()[..], [8, 2]);
    assert!(fs::read_to_string(directory.path().join("xor.svg")).unwrap().starts_with("<svg"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "something else was left behind");
}

/// Nothing is trained for files that cannot be written.
#[test]
fn files_that_cannot_be_read_or_written_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("here")).unwrap();
    fs::write(directory.path().join("file"), "x").unwrap();
    for (command, path, problem) in [
        ("--save", "here", "is a directory; `--save` takes the name of a file"),
        ("--checkpoint", "here", "is a directory; `--checkpoint` takes the name of a file"),
        ("--plot", "here", "is a directory; `--plot` takes the name of a file"),
        ("--log", "here", "is a directory; `--log` takes the name of a file"),
        ("--resume", "here", "is a directory; `--resume` takes the name of a file"),
        ("--resume", "nothing", "no such file"),
        ("--plot", "loss.png", "losses are drawn as SVG: the name of the file ends in `.svg`"),
        (
            "--save",
            "no/such/place",
            "there is no directory `no/such`: make it, or name another file after `--save`",
        ),
        ("--save", "file/x", "there is no directory `file`: make it, or name another file after `--save`"),
        ("--out", "file", "pictures go to this directory, but it is a file; `--out DIR` names another"),
    ] {
        let output = kiln_in(directory.path(), &["train", "xor", command, path]);
        let (out, err) = texts(1, &output);
        assert_eq!((&*out, err), ("", format!("error: {path}: {problem}\n")));
    }
    let (out, err) = texts(1, &kiln_in(directory.path(), &["bench", "xor", "--json", "here"]));
    assert_eq!((&*out, &*err), ("", "error: here: is a directory; `--json` takes the name of a file\n"));
    let (out, err) = kiln(1, &["train", "xor", "--log", "log.txt"]);
    assert_eq!(err, "error: log.txt: the name of a log ends in .csv, or in .jsonl for lines of JSON\n");
    assert!(!out.contains("epoch"), "{out}");
    let (_, err) = kiln(1, &["train", "--checkpoint-every", "3"]);
    assert_eq!(err, "error: `--checkpoint-every` says how often; `--checkpoint FILE` says where\n");
}

#[test]
fn a_loss_that_is_no_number_is_pointed_out() {
    let (out, _) = kiln(0, &["train", "digits-mlp", "--epochs", "2", "--lr", "1e30", "--threads", "1"]);
    assert_eq!(out.matches("the loss is no finite number any more: a smaller `--lr` may help").count(), 1);
}

#[test]
fn eager_training_is_a_flag_away() {
    let options = ["--eager", "--epochs", "1", "--threads", "1"];
    for begin in [&["train", "digits-mlp"][..], &[]] {
        let (out, _) = kiln(0, &[begin, &options].concat());
        assert!(out.contains("op by op") && out.contains("epoch 1/1"), "{out}");
    }
}

#[test]
fn every_stage_has_a_text() {
    for (stage, begin) in [
        ("traced", "graph train(%fc1.weight: f32[8, 2]"),
        ("gradient", "graph train("),
        ("optimized", "graph train("),
        ("kernels", "kernels train: "),
        ("schedule", "schedule train: "),
        ("clif", "; k0\nfunction "),
        ("asm", "; k0\n"),
        ("dot", "digraph {"),
        ("explain", "program `train`"),
    ] {
        let (out, _) = kiln(0, &["dump", "xor", "--stage", stage, "--threads", "1"]);
        assert!(out.starts_with(begin), "{stage}:\n{out}");
    }
    let (out, _) = kiln(0, &["dump", "xor", "--after", "eliminate_common"]);
    assert!(out.contains("of `eliminate_common`\ngraph train("), "{out}");
}

#[test]
fn eager_execution_has_the_stages_before_the_passes() {
    let (recorded, _) = kiln(0, &["dump", "xor", "--eager"]);
    assert_eq!(recorded, kiln(0, &["dump", "xor", "--stage", "gradient"]).0);
    let (_, err) = kiln(1, &["dump", "xor", "--eager", "--stage", "kernels"]);
    assert!(err.contains("has no later stage; there are `traced` and `gradient`"), "{err}");
}

#[test]
fn ops_that_are_computed_one_by_one_are_verified() {
    let (out, _) = kiln(0, &["verify", "xor", "--threads", "2", "--eager"]);
    assert!(out.contains(" op: sigmoid\n") && out.contains("`train` is right: "), "{out}");
}

#[test]
fn compiled_programs_are_verified() {
    for (arguments, begin) in [
        (&["xor"][..], "`train` of xor, 4 samples\n"),
        (&["gan", "--program", "generate", "--batch", "1"], "`generate` of gan, 1 sample\n"),
        (&["gru", "--program", "next"], "`next` of gru, 4 samples of 1 places\n"),
        (&["vanishing", "--program", "batch-norm.predict"], "`batch-norm.predict` of vanishing, 4 samples\n"),
        (&["mlp-infer"], "`predict` of mlp-infer, 1 sample\n"),
        // The gradient of the biases of keys is zero but for rounding.
        (&["transformer-encoder"], "`train` of transformer-encoder, 4 samples\n"),
    ] {
        let (out, _) = kiln(0, &[&["verify", "--threads", "2"], arguments].concat());
        assert!(out.starts_with(begin), "{out}");
        assert!(out.contains("` is right: ") && out.contains("the same to the bit"), "{out}");
    }
}

#[test]
fn programs_and_sizes_that_a_model_lacks_are_refused() {
    for (arguments, problem) in [
        (
            &["gan", "--program", "train"][..],
            "`gan` has no program `train`; it has discriminate, generate, show",
        ),
        (&["gpt", "--length", "65"], "`gpt` takes sequences of at most 64 places, not 65"),
        (&["xor", "--length", "2"], "`xor` takes no sequences: `--length` has no meaning for it"),
    ] {
        let (_, err) = kiln(1, &[&["verify"], arguments].concat());
        assert_eq!(err, format!("error: {problem}\n"));
    }
    let (_, err) = kiln(1, &["verify", "mlp", "--batch", "4294967295"]);
    assert!(err.starts_with("error: a batch of 4294967295 samples has values of 13469 GB, and "), "{err}");
}

#[test]
fn measurements_are_collected_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["bench", "xor", "--threads", "1", "--json", "records.json"];
    for _ in 0..2 {
        let (out, _) = texts(0, &kiln_in(directory.path(), &arguments));
        assert!(out.contains("xor"), "{out}");
    }
    let text = fs::read_to_string(directory.path().join("records.json")).unwrap();
    let records: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(records.as_array().unwrap().len(), 1);
    let record = &records[0];
    assert_eq!((&record["workload"], &record["contender"]), (&"xor".into(), &"kiln".into()));
    assert_eq!(record["medians_of_runs"].as_array().unwrap().len(), 2);
    for field in
        ["median_ms", "min_ms", "mean_ms", "first_call_s", "first_value", "last_value", "gflops", "gbps"]
    {
        assert!(record[field].as_f64().is_some_and(f64::is_finite), "{field}: {record}");
    }
}
