//! `kiln train`: an example by its name.

use super::error::CliError;
use super::examples::{self, Program};
use super::options::Options;
use super::recipe::{self, Recipe};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use std::io::Write;

/// What `kiln train` takes.
#[derive(Args, Debug)]
pub(crate) struct TrainArguments {
    /// What is trained; a program of this name is in `examples/`.
    #[arg(value_parser = of_all(), default_value = DEFAULT)]
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
    /// How its training is made without its data, for the commands that show and check it.
    recipe: Option<fn() -> Recipe>,
}

/// What is trained when nothing is said.
pub(crate) const DEFAULT: &str = "digits-mlp";

/// The example that is trained when nothing is said.
pub(crate) fn default() -> &'static Example {
    &EXAMPLES[0]
}

/// All examples, the default first.
static EXAMPLES: [Example; 19] = [
    example(DEFAULT, "A perceptron 64-128-64-10 on the embedded digits", examples::digits_mlp::train)
        .with_recipe(recipe::digits_mlp),
    example("mnist-mlp", "A perceptron 784-512-256-10 on MNIST", examples::mnist_mlp::train)
        .also_called("mlp")
        .with_recipe(recipe::mnist_mlp),
    example(
        "mnist-cnn",
        "Two convolutions and two linear layers with dropout, on MNIST",
        examples::mnist_cnn::train,
    )
    .also_called("cnn")
    .with_recipe(recipe::mnist_cnn),
    example("xor", "A network of eight hidden values that learns the exclusive or", examples::xor::train)
        .with_recipe(recipe::xor),
    example("perceptron", "Rosenblatt's rule on the table of breast cancers", examples::perceptron::train),
    example(
        "logistic-regression",
        "Logistic regression on the table of breast cancers",
        examples::logistic_regression::train,
    ),
    example(
        "char-rnn",
        "A recurrent network that learns to write, character by character",
        examples::char_rnn::train,
    ),
    example("lstm", "The same with long short-term memory", examples::lstm::train),
    example("gru", "The same with gated recurrent units", examples::gru::train),
    example("autoencoder", "An autoencoder of MNIST's images", examples::autoencoder::train),
    example(
        "gan",
        "Two perceptrons against each other: one makes digits, one tells them from real ones",
        examples::gan::train,
    ),
    example(
        "transformer-encoder",
        "A transformer encoder that reads the embedded digits as sequences of rows",
        examples::transformer_encoder::train,
    ),
    example("gpt", "A small GPT that learns to write, character by character", examples::gpt::train),
    example("vae", "A variational autoencoder of MNIST's images", examples::vae::train),
    example(
        "dcgan",
        "Two convolutional networks against each other: one makes digits, one tells them from real ones",
        examples::dcgan::train,
    ),
    example("ddpm", "A denoising diffusion model that makes digits from noise", examples::ddpm::train),
    example("resnet18", "ResNet-18 on the embedded digits, drawn larger", examples::resnet18::train),
    example(
        "vanishing",
        "A network of thirty layers, plain, with residual connections and with batch norm: how large gradients are",
        examples::vanishing::train,
    ),
    example(
        "overfitting",
        "Noisy points of a sine, and what each way of regularisation does against learning them by heart",
        examples::overfitting::train,
    ),
];

const fn example(name: &'static str, about: &'static str, program: Program) -> Example {
    Example { name, alias: None, about, program, recipe: None }
}

impl Example {
    const fn also_called(self, alias: &'static str) -> Example {
        Example { alias: Some(alias), ..self }
    }

    const fn with_recipe(self, recipe: fn() -> Recipe) -> Example {
        Example { recipe: Some(recipe), ..self }
    }

    /// How its training is made without its data.
    ///
    /// # Panics
    /// When there is none: [`of_recipes`] reads no such name.
    pub fn recipe(&self) -> Recipe {
        self.recipe.map(|recipe| recipe()).unwrap_or_else(|| panic!("`{}` has no recipe", self.name))
    }
}

/// The example of this name.
pub(crate) fn named(name: &str) -> Option<&'static Example> {
    EXAMPLES.iter().find(|example| example.name == name || example.alias == Some(name))
}

/// Reads the name of an example.
fn of_all() -> ValueParser {
    parser(|_| true)
}

/// Reads the name of an example whose training can be made without its data.
pub(crate) fn of_recipes() -> ValueParser {
    parser(|example| example.recipe.is_some())
}

fn parser(is_wanted: fn(&Example) -> bool) -> ValueParser {
    let value =
        |example: &Example| PossibleValue::new(example.name).aliases(example.alias).help(example.about);
    let values = EXAMPLES.iter().filter(|example| is_wanted(example)).map(value);
    let names = PossibleValuesParser::new(values);
    names.try_map(|name| named(&name).ok_or("there is no such example")).into()
}

/// Trains an example.
pub(crate) fn run(example: &Example, options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    (example.program)(options, out)
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
