//! PyTorch's operators in terms of Kiln's tensors, by family. What is one function in PyTorch and none in Kiln is composed of
//! those Kiln has, as a user would.

mod activation;
mod attention;
mod contraction;
mod elementwise;
mod index;
mod loss;
mod norm;
mod pool;
mod recurrent;
mod reduce;
mod resample;
mod shape;
mod sort;
mod window;

use super::call::Function;

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    let families = [
        elementwise::FUNCTIONS,
        activation::FUNCTIONS,
        reduce::FUNCTIONS,
        shape::FUNCTIONS,
        index::FUNCTIONS,
        contraction::FUNCTIONS,
        pool::FUNCTIONS,
        loss::FUNCTIONS,
        norm::FUNCTIONS,
        resample::FUNCTIONS,
        sort::FUNCTIONS,
        attention::FUNCTIONS,
        recurrent::FUNCTIONS,
    ];
    families.into_iter().flatten().find(|function| function.name == name)
}
