//! PyTorch's operators in terms of Kiln's tensors, by family. What is one function in PyTorch and none in Kiln is composed of
//! those Kiln has, as a user would.

mod activation;
mod attention;
mod contraction;
mod create;
mod elementwise;
mod index;
mod linalg;
mod loss;
mod masked;
mod norm;
mod packed;
mod pool;
mod recurrent;
mod reduce;
mod resample;
mod shape;
mod sort;
mod special;
mod spectral;

use super::call::Function;

/// All functions, by family.
fn families() -> impl Iterator<Item = &'static Function> {
    let families = [
        elementwise::FUNCTIONS,
        activation::FUNCTIONS,
        reduce::FUNCTIONS,
        shape::FUNCTIONS,
        index::FUNCTIONS,
        contraction::FUNCTIONS,
        pool::FUNCTIONS,
        pool::padding::FUNCTIONS,
        loss::FUNCTIONS,
        norm::FUNCTIONS,
        resample::FUNCTIONS,
        sort::FUNCTIONS,
        attention::FUNCTIONS,
        recurrent::FUNCTIONS,
        masked::FUNCTIONS,
        special::FUNCTIONS,
        linalg::FUNCTIONS,
        spectral::FUNCTIONS,
        packed::FUNCTIONS,
        create::FUNCTIONS,
    ];
    families.into_iter().flatten()
}

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    families().find(|function| function.name == name)
}

/// The names of all functions, in alphabetical order.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = families().map(|function| function.name).collect();
    names.sort_unstable();
    names
}
