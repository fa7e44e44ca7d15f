//! Whether on random graphs all addresses lie in their buffers, and every element is written once.

use super::super::affine::{Affine, Derived};
use super::super::body::{AxisKind, LoopBody, ValueKind};
use super::super::print;
use crate::lower::{Lowered, lower, separate_outputs};
use kiln_ir::Graph;
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::random_graph::{RandomConfig, choices, random_graph};
use proptest::prelude::*;

/// The value of an index expression. What is loaded is the least or the greatest index that there may be.
fn value(body: &LoopBody, of: &Affine, index: &[i64], greatest: bool) -> i64 {
    of.offset + of.terms.iter().map(|&(v, c)| c * variable(body, v, index, greatest)).sum::<i64>()
}

fn variable(body: &LoopBody, variable: usize, index: &[i64], greatest: bool) -> i64 {
    let never_negative = |of: &Affine| {
        let value = value(body, of, index, greatest);
        assert!(value >= 0, "{} is negative", print::affine(&body.variables, of));
        value
    };
    match body.variables.definition(variable) {
        None => index[variable],
        Some(Derived::Quotient { of, by }) => never_negative(of) / by,
        Some(Derived::Remainder { of, by }) => never_negative(of) % by,
        Some(Derived::Clamp { of, max }) => value(body, of, index, greatest).clamp(0, *max),
        Some(Derived::Loaded { max, .. }) => {
            if greatest {
                *max
            } else {
                0
            }
        }
    }
}

/// Every index of the domain, in row-major order.
fn indices(body: &LoopBody) -> impl Iterator<Item = Vec<i64>> {
    let extents: Vec<i64> = (0..body.axes.len()).map(|axis| body.extent(axis) as i64).collect();
    (0..extents.iter().product()).map(move |i| {
        let mut rest = i;
        let mut index = vec![0; extents.len()];
        for axis in (0..extents.len()).rev() {
            index[axis] = rest % extents[axis];
            rest /= extents[axis];
        }
        index
    })
}

/// How often each element of each buffer is written.
struct Written(Vec<Vec<u32>>);

impl Written {
    fn write(&mut self, buffer: usize, at: i64) -> Result<(), String> {
        let element = usize::try_from(at).ok().and_then(|at| self.0[buffer].get_mut(at));
        *element.ok_or_else(|| format!("element {at} of buffer {buffer} is written"))? += 1;
        Ok(())
    }
}

/// All elements are loaded from within their buffers, and each element that a kernel writes is written once.
fn check_addresses(graph: &Graph, kernel: &Kernel, body: &LoopBody) -> Result<(), String> {
    let n_elements = |buffer: usize| graph.node(body.buffers[buffer]).ty().n_elements();
    let mut written = Written((0..body.buffers.len()).map(|b| vec![0; n_elements(b)]).collect());
    for index in indices(body) {
        let first = |kind| (0..index.len()).all(|axis| body.axes[axis] != kind || index[axis] == 0);
        for load in &body.values {
            let ValueKind::Load { buffer, address } = &load.kind else { continue };
            let range = 0..n_elements(*buffer) as i64;
            let ats = [false, true].map(|greatest| value(body, address, &index, greatest));
            if let Some(at) = ats.into_iter().find(|at| !range.contains(at)) {
                return Err(format!("element {at} of buffer {buffer} is loaded at {index:?}"));
            }
        }
        for store in body.stores.iter().filter(|store| !store.per_row || first(AxisKind::Reduced)) {
            written.write(store.buffer, value(body, &store.address, &index, false))?;
        }
        if let Some(accumulate) = &body.accumulate
            && first(AxisKind::Reduced)
            && first(AxisKind::Ordered)
        {
            // Every element is set to zero, by walking all indices that may be loaded.
            let Some(&Derived::Loaded { max, .. }) = body.variables.definition(accumulate.loaded) else {
                return Err("the variable of an accumulation is not loaded".to_string());
            };
            for loaded in 0..=max {
                let at = accumulate.address.substitute(accumulate.loaded, &Affine::constant(loaded));
                written.write(accumulate.buffer, value(body, &at, &index, false))?;
            }
        }
    }
    // Without an index nothing is written here; generated code still stores what empty rows are reduced to.
    let empty = (0..body.axes.len()).any(|axis| body.extent(axis) == 0);
    // Tiles and routines write their results themselves.
    let by_call = |node| [KernelKind::Contraction(node), KernelKind::Sort(node)].contains(&kernel.kind);
    for &node in kernel.writes.iter().filter(|&&node| !by_call(node)) {
        let buffer = body.buffers.iter().position(|&b| b == node).expect("what is written has a buffer");
        if !empty && written.0[buffer].iter().any(|&n| n != 1) {
            return Err(format!("the elements of buffer {buffer} are written {:?} times", written.0[buffer]));
        }
    }
    Ok(())
}

/// Checks the kernels of a program, and those of the loops in it.
fn check_kernels(graph: &Graph, lowered: &Lowered) -> Result<(), String> {
    // A kernel that writes nothing but empty tensors is not run.
    let writes = |kernel: &Kernel| kernel.writes.iter().any(|&node| graph.node(node).ty().n_elements() > 0);
    let is_run = |kernel: &Kernel| writes(kernel) && !matches!(kernel.kind, KernelKind::Repeat(_));
    let kernels = lowered.schedule.kernels.iter().zip(&lowered.bodies);
    for (kernel, body) in kernels.filter(|(kernel, _)| is_run(kernel)) {
        check_addresses(graph, kernel, body)
            .map_err(|problem| format!("{problem}\n{}{graph}", print::body(graph, body)))?;
    }
    lowered.loops.values().try_for_each(|looped| check_kernels(&looped.body, &looped.lowered))
}

proptest! {
    #[test]
    fn addresses_lie_in_their_buffers(words in proptest::collection::vec(any::<u32>(), 0..300)) {
        let config = RandomConfig { max_elements: 512, max_products: 1 << 12, ..RandomConfig::default() };
        let mut graph = random_graph(&config, &mut choices(&words));
        separate_outputs(&mut graph);
        check_kernels(&graph, &lower(&graph)).map_err(TestCaseError::fail)?;
    }
}
