//! `kiln train`: an example by its name.

use super::error::CliError;
use super::examples::{self, Program};
use super::names::{self, NameParser, Named};
use super::options::Options;
use super::recipe::Recipes;
use crate::nn::{Gru, Lstm, Rnn};
use clap::Args;
use std::io::Write;

/// What `kiln train` takes.
#[derive(Args, Debug)]
pub(crate) struct TrainArguments {
    /// What is trained; a program of this name is in `examples/`.
    #[arg(value_parser = NameParser { what: "example", all: || &EXAMPLES }, default_value = DEFAULT)]
    pub example: &'static Example,
    #[command(flatten)]
    pub options: Options,
}

/// An example: what is known of it by its name.
#[derive(Debug)]
pub(crate) struct Example {
    pub name: &'static str,
    /// Another name of it.
    alias: Option<&'static str>,
    /// What it is, in a sentence.
    pub about: &'static str,
    program: Program,
    /// Its models, and how they are trained.
    pub recipes: fn() -> Recipes,
}

/// What is trained when nothing is said.
pub(crate) const DEFAULT: &str = "digits-mlp";

/// The example that is trained when nothing is said.
pub(crate) fn default() -> &'static Example {
    &EXAMPLES[0]
}

/// All examples, the default first.
pub(crate) static EXAMPLES: [Example; 19] = [
    example(DEFAULT, "A perceptron 64-128-64-10 on the embedded digits", examples::digits_mlp::train, || {
        examples::digits_mlp::recipe().into()
    }),
    example("mnist-mlp", "A perceptron 784-512-256-10 on MNIST", examples::mnist_mlp::train, || {
        examples::mnist_mlp::recipe().into()
    })
    .also_called("mlp"),
    example(
        "mnist-cnn",
        "Two convolutions and two linear layers with dropout, on MNIST",
        examples::mnist_cnn::train,
        || examples::mnist_cnn::recipe().into(),
    )
    .also_called("cnn"),
    example(
        "xor",
        "A network of eight hidden values that learns the exclusive or",
        examples::xor::train,
        || examples::xor::recipe().into(),
    ),
    example(
        "perceptron",
        "Rosenblatt's rule on the table of breast cancers",
        examples::perceptron::train,
        || examples::perceptron::recipe(TABLE_INPUTS).into(),
    ),
    example(
        "logistic-regression",
        "Logistic regression on the table of breast cancers",
        examples::logistic_regression::train,
        || examples::logistic_regression::recipe(TABLE_INPUTS).into(),
    ),
    example(
        "char-rnn",
        "A recurrent network that learns to write, character by character",
        examples::char_rnn::train,
        || examples::char_rnn::recipe::<Rnn>(CHARACTERS).into(),
    ),
    example("lstm", "The same with long short-term memory", examples::lstm::train, || {
        examples::char_rnn::recipe::<Lstm>(CHARACTERS).into()
    }),
    example("gru", "The same with gated recurrent units", examples::gru::train, || {
        examples::char_rnn::recipe::<Gru>(CHARACTERS).into()
    }),
    example("autoencoder", "An autoencoder of MNIST's images", examples::autoencoder::train, || {
        examples::autoencoder::recipe().into()
    }),
    example(
        "gan",
        "Two perceptrons against each other: one makes digits, one tells them from real ones",
        examples::gan::train,
        || examples::gan::recipe().into(),
    ),
    example(
        "transformer-encoder",
        "A transformer encoder that reads the embedded digits as sequences of rows",
        examples::transformer_encoder::train,
        || examples::transformer_encoder::recipe().into(),
    ),
    example("gpt", "A small GPT that learns to write, character by character", examples::gpt::train, || {
        examples::gpt::recipe(CHARACTERS).into()
    }),
    example("vae", "A variational autoencoder of MNIST's images", examples::vae::train, || {
        examples::vae::recipe().into()
    }),
    example(
        "dcgan",
        "Two convolutional networks against each other: one makes digits, one tells them from real ones",
        examples::dcgan::train,
        || examples::dcgan::recipe().into(),
    ),
    example(
        "ddpm",
        "A denoising diffusion model that makes digits from noise",
        examples::ddpm::train,
        || examples::ddpm::recipe().into(),
    ),
    example("resnet18", "ResNet-18 on the embedded digits, drawn larger", examples::resnet18::train, || {
        examples::resnet18::recipe().into()
    }),
    example(
        "vanishing",
        "A network of thirty layers, plain, with residual connections and with batch norm: how large gradients are",
        examples::vanishing::train,
        examples::vanishing::recipes,
    ),
    example(
        "overfitting",
        "Noisy points of a sine, and what each way of regularisation does against learning them by heart",
        examples::overfitting::train,
        examples::overfitting::recipes,
    ),
];

/// Different characters of tiny Shakespeare, for programs that are made without it.
const CHARACTERS: usize = 65;
/// Measures in the table of breast cancers.
const TABLE_INPUTS: usize = 30;

const fn example(
    name: &'static str,
    about: &'static str,
    program: Program,
    recipes: fn() -> Recipes,
) -> Example {
    Example { name, alias: None, about, program, recipes }
}

impl Example {
    const fn also_called(self, alias: &'static str) -> Example {
        Example { alias: Some(alias), ..self }
    }
}

impl Named for Example {
    fn name(&self) -> &str {
        self.name
    }

    fn alias(&self) -> Option<&str> {
        self.alias
    }

    fn about(&self) -> &str {
        self.about
    }
}

/// The example of this name.
pub(crate) fn named(name: &str) -> Option<&'static Example> {
    names::find(&EXAMPLES, name)
}

/// Runs the program of an example, if what it shall write can be written.
pub(crate) fn carry_out(program: Program, options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    options.check()?;
    program(options, out)
}

/// Trains an example.
pub(crate) fn run(example: &Example, options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    carry_out(example.program, options, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert_eq!(named("cnn").unwrap().name, "mnist-cnn");
        assert!(named(DEFAULT).is_some() && named("soup").is_none());
        for example in &EXAMPLES {
            assert!(std::ptr::eq(named(example.name).unwrap(), example), "{} twice", example.name);
        }
    }
}
