//! The models that `dump` and `verify` know: those of all examples, and those of the workloads of `bench`.

use super::error::CliError;
use super::feed::Size;
use super::names::{NameParser, Named, of_variant};
use super::recipe::{AnyRecipe, Program, Recipes};
use super::train::{EXAMPLES, Example, named};
use super::workloads::ModelWorkload;
use crate::runtime::machine_bytes;
use clap::{Args, ValueEnum};
use kiln_ir::Graph;
use std::fmt;
use std::sync::LazyLock;

/// A model by its name.
#[derive(Debug)]
pub(crate) struct Model {
    name: String,
    alias: Option<&'static str>,
    about: String,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Example(&'static Example),
    Workload(ModelWorkload),
}

/// What stands after the name of a workload that is not the example of its name.
const OF_BENCH: &str = "-bench";

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let of_example = |example: &'static Example| Model {
        name: example.name.to_string(),
        alias: Named::alias(example),
        about: example.about.to_string(),
        source: Source::Example(example),
    };
    let of_workload = |workload: ModelWorkload| {
        let [name, about] = of_variant(&workload);
        let (name, about) = match named(&name) {
            // The workload is the step of the example.
            Some(_) if workload.is_example() => return None,
            Some(_) => (format!("{name}{OF_BENCH}"), format!("{about}, as `bench {name}` measures it")),
            None => (name, about),
        };
        Some(Model { name, alias: None, about, source: Source::Workload(workload) })
    };
    let workloads = ModelWorkload::value_variants().iter().filter_map(|&workload| of_workload(workload));
    EXAMPLES.iter().map(of_example).chain(workloads).collect()
});

impl Named for Model {
    fn name(&self) -> &str {
        &self.name
    }

    fn alias(&self) -> Option<&str> {
        self.alias
    }

    fn about(&self) -> &str {
        &self.about
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What is chosen, as `program of model, 4 samples`.
impl fmt::Display for Chosen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { batch, length } = self.size;
        let plural = if batch == 1 { "" } else { "s" };
        write!(f, "`{}` of {}, {batch} sample{plural}", self.name, self.model)?;
        length.map_or(Ok(()), |length| write!(f, " of {length} places"))
    }
}

impl Model {
    fn recipes(&self) -> Recipes {
        match self.source {
            Source::Example(example) => (example.recipes)(),
            Source::Workload(workload) => workload.recipes(),
        }
    }
}

/// A model and one of its programs.
#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ModelArguments {
    /// The model.
    #[arg(value_parser = NameParser { what: "model", all: || &MODELS })]
    model: &'static Model,
    /// Which program of the model, if not that of a step of training: `evaluate` and `predict`, and those of its own, which
    /// an unknown name lists.
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// Samples per step.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Places of each sequence, for models that take sequences.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    length: Option<u32>,
}

/// A model with one of its programs: what the arguments mean.
pub(crate) struct Chosen<'a> {
    pub model: &'static Model,
    /// What the program is called.
    pub name: String,
    pub recipe: &'a dyn AnyRecipe,
    pub program: &'a Program,
    pub size: Size,
}

impl ModelArguments {
    /// The models of this name.
    pub fn recipes(&self) -> Recipes {
        self.model.recipes()
    }

    /// The program that is meant. Without a number of samples or of places, batches are of the usual size, or of `most` if
    /// they would be larger.
    pub fn choose<'a>(&self, recipes: &'a Recipes, most: Option<Size>) -> Result<Chosen<'a>, CliError> {
        let name = &self.model.name;
        let (recipe, program, of) = recipes.find(name, self.program.as_deref())?;
        let at_most = |usual: usize, most: Option<usize>| most.map_or(usual, |most| usual.min(most));
        let batch = at_most(recipe.batch(), most.map(|most| most.batch));
        let batch = self.batch.map_or(batch, |batch| batch as usize);
        let length = match (self.length, program.length()) {
            (Some(length), Some(usual)) if length as usize <= usual => Some(length as usize),
            (Some(length), Some(usual)) => {
                let problem = format!("`{name}` takes sequences of at most {usual} places, not {length}");
                return Err(CliError::Arguments(problem));
            }
            (Some(_), None) => {
                let problem = format!("`{name}` takes no sequences: `--length` has no meaning for it");
                return Err(CliError::Arguments(problem));
            }
            (None, usual) => usual.map(|usual| at_most(usual, most.and_then(|most| most.length))),
        };
        Ok(Chosen { model: self.model, name: of, recipe, program, size: Size { batch, length } })
    }
}

impl Chosen<'_> {
    /// Errors: a step on so many samples would need more memory than the machine has.
    pub fn check_memory(&self, graph: &Graph) -> Result<(), CliError> {
        let bytes = |id| {
            let ty = graph.node(id).ty();
            ty.shape.iter().fold(ty.dtype.n_bytes() as f64, |n, &extent| n * extent as f64)
        };
        let largest = graph.ids().map(bytes).fold(0.0, f64::max);
        match machine_bytes() {
            Some(all) if largest > all as f64 => Err(CliError::Arguments(format!(
                "a batch of {} samples has values of {:.0} GB, and this machine has {:.0} GB of memory: choose a smaller \
                 `--batch`",
                self.size.batch,
                largest / 1e9,
                all as f64 / 1e9
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::names;

    #[test]
    fn each_model_has_a_name_of_its_own_and_programs_with_names() {
        for model in MODELS.iter() {
            assert!(std::ptr::eq(names::find(&MODELS, &model.name).unwrap(), model), "{} twice", model.name);
            let recipes = model.recipes();
            let mut names = recipes.names();
            assert!(!names.is_empty(), "{}", model.name);
            for name in &names {
                assert!(recipes.find(&model.name, Some(name)).is_ok());
            }
            names.sort();
            names.dedup();
            assert_eq!(names.len(), recipes.names().len(), "{}: {names:?}", model.name);
        }
        assert!(
            ["gpt", "gpt-bench", "gpt2-infer", "cnn"].iter().all(|name| names::find(&MODELS, name).is_some())
        );
    }
}
