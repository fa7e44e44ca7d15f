//! The workloads: what is computed, on what, and how much work it is.
//!
//! Definitions are those of the comparison with other frameworks: a step of training is forward, loss, backward and update
//! on a batch in memory, with dropout on; a kernel writes into its own memory each time.

use super::kernel::KernelWorkload;
use super::measure::Running;
use super::model;
use super::work::Work;
use crate::cli::error::CliError;
use crate::cli::workloads::ModelWorkload;
use crate::trainer::TrainerBuilder;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use std::sync::LazyLock;

/// A workload by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// A step of training, or a prediction.
    Model(ModelWorkload),
    /// A kernel alone.
    Kernel(KernelWorkload),
}

/// How a workload is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Threads that carry out a step.
    pub threads: usize,
    /// Op by op, without compiling the whole.
    pub eager: bool,
}

impl Way {
    /// A trainer that computes this way.
    pub fn of<'m>(&self, trainer: TrainerBuilder<'m>) -> TrainerBuilder<'m> {
        trainer.threads(self.threads).eager(self.eager)
    }
}

impl ValueEnum for Workload {
    fn value_variants<'a>() -> &'a [Workload] {
        static ALL: LazyLock<Vec<Workload>> = LazyLock::new(|| {
            let models = ModelWorkload::value_variants().iter().map(|&model| Workload::Model(model));
            let kernels = KernelWorkload::value_variants().iter().map(|&kernel| Workload::Kernel(kernel));
            models.chain(kernels).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Workload::Model(model) => model.to_possible_value(),
            Workload::Kernel(kernel) => kernel.to_possible_value(),
        }
    }
}

impl Workload {
    /// The name in records and on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// Work of one step.
    pub fn work(self) -> Work {
        match self {
            Workload::Model(model) => model.work(),
            Workload::Kernel(kernel) => kernel.work(),
        }
    }

    /// Prepares the workload's data and hands it, not yet compiled, to `measure`.
    pub fn run<R>(
        self,
        way: Way,
        measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        match self {
            Workload::Model(workload) => model::run(workload, way, measure),
            Workload::Kernel(kernel) => kernel.run(&self.name(), way, measure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_workload_has_a_name_of_its_own() {
        let names: BTreeSet<String> = Workload::value_variants().iter().map(|of| of.name()).collect();
        assert_eq!(names.len(), Workload::value_variants().len());
        for name in ["mlp", "gpt2-infer", "resnet18", "matmul-1024", "attention"] {
            assert_eq!(Workload::from_str(name, false).unwrap().name(), name);
        }
    }
}
