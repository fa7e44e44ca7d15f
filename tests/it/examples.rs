//! Every example trains a little through `kiln train NAME`, on small data of the same form as the real ones.

use crate::cli::{kiln_in, texts};
use kiln::cli::examples::gpt::Writer;
use kiln::models::GptConfig;
use kiln::prelude::*;
use std::fs;
use std::path::Path;

/// A directory with data of the forms of MNIST, the table of breast cancers and tiny Shakespeare.
pub(crate) fn data() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, contents: &[u8]| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    };
    for (part, n) in [("train", 48u32), ("t10k", 20)] {
        let pixels = (0..n * 784).map(|i| (i * i / 7 % 251) as u8);
        let extents = [n, 28, 28].map(u32::to_be_bytes).concat();
        let images: Vec<u8> = [0, 0, 8, 3].into_iter().chain(extents).chain(pixels).collect();
        write(&format!("mnist/{part}-images-idx3-ubyte"), &images);
        let labels = (0..n).map(|i| (i % 10) as u8);
        let labels: Vec<u8> = [0, 0, 8, 1].into_iter().chain(n.to_be_bytes()).chain(labels).collect();
        write(&format!("mnist/{part}-labels-idx1-ubyte"), &labels);
    }
    let rows = (0..80).map(|i| format!("{},{},{}\n", i % 7, (i * 3) % 11, i % 2));
    write("tabular/breast_cancer.csv", ("a,b,label\n".to_string() + &rows.collect::<String>()).as_bytes());
    write("tinyshakespeare/input.txt", "To be, or not to be: that is the question.\n".repeat(60).as_bytes());
    directory
}

/// Trains an example on small data: what it writes. The files are left in the directory.
#[track_caller]
fn train(directory: &Path, example: &str, more: &[&str]) -> String {
    let always = ["train", example, "--data", ".", "--epochs", "1", "--batch", "8", "--threads", "1"];
    let arguments: Vec<&str> = always.iter().chain(more).copied().collect();
    texts(0, &kiln_in(directory, &arguments)).0
}

/// Whether a training says so many steps at its end.
#[track_caller]
fn assert_steps(out: &str, steps: usize) {
    assert!(out.contains(&format!(" after {steps} steps in ")), "{out}");
}

#[test]
fn tables_are_learned() {
    let directory = data();
    for example in ["perceptron", "logistic-regression"] {
        let out = train(directory.path(), example, &["--plot", "loss.svg", "--log", "log.csv"]);
        assert_steps(&out, 8);
        assert!(out.contains("test accuracy"), "{out}");
        let log = fs::read_to_string(directory.path().join("log.csv")).unwrap();
        assert!(log.starts_with("epoch,step,loss,measured\n1,8,"), "{log}");
        assert!(fs::read_to_string(directory.path().join("loss.svg")).unwrap().starts_with("<svg"));
    }
}

#[test]
fn recurrent_networks_write() {
    let directory = data();
    for example in ["char-rnn", "lstm", "gru"] {
        let more = [
            "--samples",
            "16",
            "--length",
            "12",
            "--prompt",
            "To be",
            "--top-k",
            "5",
            "--temperature",
            "0.5",
        ];
        let out = train(directory.path(), example, &more);
        assert_steps(&out, 2);
        assert!(out.contains("validation loss") && out.contains("  | To be"), "{out}");
    }
}

/// Trains an example that draws this picture.
#[track_caller]
fn assert_draws(example: &str, picture: &str) {
    let directory = data();
    let out = train(directory.path(), example, &["--samples", "16", "--out", "pictures"]);
    assert_steps(&out, 2);
    let path = format!("pictures/{picture}");
    assert!(out.contains(&path), "{out}");
    let file = fs::read(directory.path().join(path)).unwrap();
    assert!(file.starts_with(b"\x89PNG") || file.starts_with(b"<svg"));
}

#[test]
fn autoencoders_draw() {
    assert_draws("autoencoder", "autoencoder.png");
    assert_draws("vae", "vae-reconstructions.png");
    assert_draws("vae", "vae-plane.png");
}

#[test]
fn adversaries_draw() {
    assert_draws("gan", "gan.png");
    assert_draws("dcgan", "dcgan.png");
}

#[test]
fn noise_becomes_images() {
    let directory = data();
    let out = train(directory.path(), "ddpm", &["--samples", "8", "--steps", "2"]);
    assert_steps(&out, 1);
    assert!(
        out.contains("16 images from noise after 2 steps") && out.contains("out/ddpm-schedule.svg"),
        "{out}"
    );
    assert!(fs::read(directory.path().join("out/ddpm.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn a_residual_network_trains() {
    let directory = tempfile::tempdir().unwrap();
    let out = train(directory.path(), "resnet18", &["--samples", "8"]);
    assert_steps(&out, 1);
}

#[test]
fn the_digits_are_read_as_rows() {
    let directory = tempfile::tempdir().unwrap();
    let out = train(directory.path(), "transformer-encoder", &["--samples", "16"]);
    assert_steps(&out, 2);
    assert!(out.contains("test accuracy"), "{out}");
}

#[test]
fn gradients_and_regularisation_are_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let out = train(directory.path(), "vanishing", &["--samples", "16", "--out", "pictures"]);
    assert_eq!(out.matches(" after 2 steps in ").count(), 3, "{out}");
    let out = train(directory.path(), "overfitting", &["--out", "pictures"]);
    assert!(out.contains("early stopping") && out.contains("label smoothing"), "{out}");
    for file in [
        "vanishing-layers",
        "vanishing-epochs",
        "overfitting-fits",
        "overfitting-penalties",
        "overfitting-labels",
    ] {
        let file = directory.path().join(format!("pictures/{file}.svg"));
        assert!(fs::read_to_string(&file).unwrap().starts_with("<svg"), "{}", file.display());
    }
}

#[test]
fn a_gpt_writes_beyond_its_context() {
    let directory = data();
    let more = ["--samples", "16", "--length", "70", "--prompt", "To be"];
    let out = train(directory.path(), "gpt", &more);
    assert_steps(&out, 2);
    assert!(out.contains("validation loss") && out.contains("  | To be"), "{out}");
}

/// The compiled decode step, whose cache is state, gives the scores of the whole forward pass at each place.
#[test]
fn decoding_with_a_cache_is_the_forward_pass() {
    let config =
        GptConfig { layers: 2, heads: 2, width: 32, context: 12, vocabulary: 11, ..GptConfig::SMALL };
    for config in [config, GptConfig { bias: true, gelu_tanh: true, ..config }] {
        let model = Writer::new(config);
        let tokens = i64(&[2, config.context]);
        let mut trainer = model.trainer(1e-2).threads(1).compile(tokens.clone(), tokens).unwrap();
        let token = |i: usize| ((i * i + 3) % config.vocabulary) as i64;
        let batch = TensorData::new([2, config.context], (0..2 * config.context).map(token).collect());
        for _ in 0..3 {
            trainer.step(&batch, &batch).unwrap();
        }
        let text: Vec<i64> = (0..config.context).map(token).collect();
        let whole = trainer.predict(&TensorData::new([1, config.context], text.clone())).unwrap();
        // Twice: the second time the cache is full of what must not be seen.
        for _ in 0..2 {
            trainer.set_parameter("cache.place", TensorData::scalar(0i64)).unwrap();
            for (place, &token) in text.iter().enumerate() {
                let scores = trainer.run("next", &TensorData::new([1, 1], vec![token])).unwrap().remove(0);
                assert_eq!(scores.shape()[..], [1, 1, config.vocabulary]);
                for i in 0..config.vocabulary {
                    let (cached, full) =
                        (scores.get(i).as_f64(), whole.get(place * config.vocabulary + i).as_f64());
                    assert!((cached - full).abs() < 1e-4, "place {place}, score {i}: {cached}, {full}");
                }
            }
        }
    }
}
