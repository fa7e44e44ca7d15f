//! `kiln train`: an example by its name.

use super::error::CliError;
use super::examples;
use super::options::Options;
use clap::{Args, ValueEnum};
use std::io::Write;

/// What `kiln train` takes.
#[derive(Args, Debug)]
pub(crate) struct TrainArguments {
    /// What is trained; a program of this name is in `examples/`.
    #[arg(value_enum, default_value = "digits-mlp")]
    pub example: Example,
    #[command(flatten)]
    pub options: Options,
}

/// An example by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Example {
    /// A perceptron 64-128-64-10 on the embedded digits.
    #[default]
    DigitsMlp,
    /// A perceptron 784-512-256-10 on MNIST.
    #[value(alias = "mlp")]
    MnistMlp,
    /// Two convolutions and two linear layers with dropout, on MNIST.
    #[value(alias = "cnn")]
    MnistCnn,
    /// A network of eight hidden values that learns the exclusive or.
    Xor,
    /// Rosenblatt's rule on the table of breast cancers.
    Perceptron,
    /// Logistic regression on the table of breast cancers.
    LogisticRegression,
    /// A recurrent network that learns to write, character by character.
    CharRnn,
    /// The same with long short-term memory.
    Lstm,
    /// The same with gated recurrent units.
    Gru,
    /// An autoencoder of MNIST's images.
    Autoencoder,
    /// Two perceptrons against each other: one makes digits, one tells them from real ones.
    Gan,
    /// A transformer encoder that reads the embedded digits as sequences of rows.
    TransformerEncoder,
    /// A small GPT that learns to write, character by character.
    Gpt,
    /// A variational autoencoder of MNIST's images.
    Vae,
    /// Two convolutional networks against each other: one makes digits, one tells them from real ones.
    Dcgan,
    /// A denoising diffusion model that makes digits from noise.
    Ddpm,
    /// ResNet-18 on the embedded digits, drawn larger.
    #[value(name = "resnet18")]
    Resnet18,
    /// A network of thirty layers, plain, with residual connections and with batch norm: how large gradients are.
    Vanishing,
    /// Noisy points of a sine, and what each way of regularisation does against learning them by heart.
    Overfitting,
}

impl Example {
    fn program(self) -> examples::Program {
        match self {
            Example::DigitsMlp => examples::digits_mlp::train,
            Example::MnistMlp => examples::mnist_mlp::train,
            Example::MnistCnn => examples::mnist_cnn::train,
            Example::Xor => examples::xor::train,
            Example::Perceptron => examples::perceptron::train,
            Example::LogisticRegression => examples::logistic_regression::train,
            Example::CharRnn => examples::char_rnn::train,
            Example::Lstm => examples::lstm::train,
            Example::Gru => examples::gru::train,
            Example::Autoencoder => examples::autoencoder::train,
            Example::Gan => examples::gan::train,
            Example::TransformerEncoder => examples::transformer_encoder::train,
            Example::Gpt => examples::gpt::train,
            Example::Vae => examples::vae::train,
            Example::Dcgan => examples::dcgan::train,
            Example::Ddpm => examples::ddpm::train,
            Example::Resnet18 => examples::resnet18::train,
            Example::Vanishing => examples::vanishing::train,
            Example::Overfitting => examples::overfitting::train,
        }
    }
}

/// Trains an example.
pub(crate) fn run(example: Example, options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    example.program()(options, out)
}
