//! The workloads: what is computed, on what, and how much work it is.
//!
//! Definitions are those of the comparison with other frameworks: a step of training is forward, loss, backward and update
//! on a batch in memory, with dropout on; a kernel writes into its own memory each time.

use super::kernel::KernelWorkload;
use super::measure::Running;
use super::model;
use super::work::Work;
use crate::cli::error::CliError;
use crate::cli::names::{Named, of_variant};
use crate::cli::workloads::ModelWorkload;
use crate::trainer::TrainerBuilder;
use clap::ValueEnum;
use std::sync::LazyLock;

/// A workload by its name.
#[derive(Debug)]
pub(super) struct Workload {
    name: String,
    about: String,
    subject: Subject,
}

/// What a workload measures.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// A step of training, or a prediction.
    Model(ModelWorkload),
    /// A kernel alone.
    Kernel(KernelWorkload),
}

/// All workloads: models first.
pub(super) static WORKLOADS: LazyLock<Vec<Workload>> = LazyLock::new(|| {
    let workload = |[name, about]: [String; 2], subject| Workload { name, about, subject };
    let models = ModelWorkload::value_variants().iter();
    let models = models.map(|&model| workload(of_variant(&model), Subject::Model(model)));
    let kernels = KernelWorkload::value_variants().iter();
    models.chain(kernels.map(|&kernel| workload(of_variant(&kernel), Subject::Kernel(kernel)))).collect()
});

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

impl Named for Workload {
    fn name(&self) -> &str {
        &self.name
    }

    fn alias(&self) -> Option<&str> {
        None
    }

    fn about(&self) -> &str {
        &self.about
    }
}

impl Workload {
    /// Work of one step.
    pub fn work(&self) -> Work {
        match self.subject {
            Subject::Model(model) => model.work(),
            Subject::Kernel(kernel) => kernel.work(),
        }
    }

    /// Prepares the workload's data and hands it, not yet compiled, to `measure`.
    pub fn run<R>(
        &self,
        way: Way,
        measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        match self.subject {
            Subject::Model(workload) => model::run(workload, way, measure),
            Subject::Kernel(kernel) => kernel.run(&self.name, way, measure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::names::find;
    use std::collections::BTreeSet;

    #[test]
    fn each_workload_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = WORKLOADS.iter().map(Named::name).collect();
        assert_eq!(names.len(), WORKLOADS.len());
        for name in ["mlp", "gpt2-infer", "resnet18", "matmul-1024", "attention"] {
            assert!(find(&WORKLOADS, name).is_some(), "{name}");
        }
    }
}
