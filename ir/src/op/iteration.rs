//! Loops: a body graph that is run a fixed number of times.
//!
//! A loop is one node. Its own value is a token without elements ([`token`]); its results are picked by `loop_result`
//! nodes, so that every node has one result here too.
//!
//! The inputs of the body stand in the order of the loop's operands, and so do three kinds of values:
//!
//! 1. *Carried*: the operand is the value before the first step; what the body returns for it (`%h.next => %h`, as for
//!    state of a program) is its value in the next step. The result is the value after the last step.
//! 2. *Stacked*: the operand has one axis more, of as many elements as there are steps. Each step sees the part of its
//!    own index along that first axis.
//! 3. *Invariant*: the same in every step.
//!
//! The results of the body are the next values of the carried inputs, in their order, and then the values that are
//! stacked: each step writes its own part of a result with one axis more. A loop that runs in `reverse` begins with the
//! last index, and stacks at the index of the step all the same.

use crate::{DType, Graph, Shape, TensorType, TypeError};

/// The attributes of a loop.
#[derive(Clone, Debug)]
pub struct Loop {
    /// What one step computes.
    pub body: Graph,
    /// How many steps there are.
    pub n_steps: usize,
    /// How many operands are stacked: those after the carried ones.
    pub n_stacked: usize,
    /// Whether the first step has the last index.
    pub reverse: bool,
}

/// How a loop's operand or a result reaches its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// From each step to the next.
    Carried,
    /// One part for each step.
    Stacked,
    /// The same in every step.
    Invariant,
}

/// The type of a loop's own value.
pub fn token() -> TensorType {
    TensorType::new(DType::U8, [0])
}

impl Loop {
    /// How many values go from step to step.
    pub fn n_carried(&self) -> usize {
        self.body.outputs().iter().filter(|output| output.updates.is_some()).count()
    }

    /// How many operands the loop takes.
    pub fn n_operands(&self) -> usize {
        self.body.inputs().len()
    }

    /// How many results the loop has.
    pub fn n_results(&self) -> usize {
        self.body.outputs().len()
    }

    /// How an operand reaches the body.
    pub fn operand_role(&self, operand: usize) -> Role {
        let n_carried = self.n_carried();
        match operand {
            _ if operand < n_carried => Role::Carried,
            _ if operand < n_carried + self.n_stacked => Role::Stacked,
            _ => Role::Invariant,
        }
    }

    /// How a result comes from the body.
    pub fn result_role(&self, result: usize) -> Role {
        if result < self.n_carried() { Role::Carried } else { Role::Stacked }
    }

    /// The type of an operand.
    pub fn operand_type(&self, operand: usize) -> TensorType {
        let ty = self.body.node(self.body.inputs()[operand]).ty();
        match self.operand_role(operand) {
            Role::Carried | Role::Invariant => ty.clone(),
            Role::Stacked => self.stacked(ty),
        }
    }

    /// The type of a result, if there are as many.
    pub fn result_type(&self, result: usize) -> Option<TensorType> {
        let ty = self.body.node(self.body.outputs().get(result)?.value).ty();
        Some(match self.result_role(result) {
            Role::Carried | Role::Invariant => ty.clone(),
            Role::Stacked => self.stacked(ty),
        })
    }

    /// The type of one value of this type for each step.
    pub fn stacked(&self, ty: &TensorType) -> TensorType {
        let extents: Vec<usize> = std::iter::once(self.n_steps).chain(ty.shape.iter().copied()).collect();
        TensorType { dtype: ty.dtype, shape: Shape::new(&extents) }
    }

    /// The index of a step along the axes that are stacked.
    pub fn index(&self, step: usize) -> usize {
        if self.reverse { self.n_steps - 1 - step } else { step }
    }

    /// The type of the loop's own value: a token, when the operands suit the body.
    pub fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let n_carried = self.n_carried();
        let outputs = self.body.outputs();
        let in_order =
            outputs.iter().enumerate().all(|(k, output)| output.updates == (k < n_carried).then_some(k));
        if !in_order || n_carried + self.n_stacked > self.n_operands() {
            let problem = "the body takes and returns the carried values first, in the same order, and takes the \
                           stacked ones next";
            return Err(TypeError::Loop { op: "loop", problem: problem.to_string() });
        }
        if operands.len() != self.n_operands() {
            return Err(TypeError::OperandCount {
                op: "loop",
                expected: self.n_operands(),
                found: operands.len(),
            });
        }
        for (i, &operand) in operands.iter().enumerate() {
            let expected = self.operand_type(i);
            if *operand != expected {
                let problem = format!("operand {i} is {operand}, the body takes {expected}");
                return Err(TypeError::Loop { op: "loop", problem });
            }
        }
        for k in n_carried..self.n_results() {
            let ty = self.result_type(k).expect("a result of the body");
            if !is_addressable(&ty) {
                return Err(TypeError::TooLarge { op: "loop", result: ty });
            }
        }
        Ok(token())
    }
}

fn is_addressable(ty: &TensorType) -> bool {
    let bytes = ty.shape.checked_n_elements().and_then(|n| n.checked_mul(ty.dtype.n_bytes()));
    bytes.is_some_and(|n| isize::try_from(n).is_ok())
}

/// Loops are equal when they compute the same: names within the body count, as in the text.
impl PartialEq for Loop {
    fn eq(&self, other: &Loop) -> bool {
        let facts = |l: &Loop| (l.n_steps, l.n_stacked, l.reverse);
        facts(self) == facts(other) && self.body.same_as(&other.body)
    }
}

/// The type of a `loop_result`: as written, when the operand can be a loop. That the operand is one, and has this result,
/// is what [`check_result`] looks at.
pub fn infer_result(ty: &TensorType, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [of] = *operands else {
        return Err(TypeError::OperandCount { op: "loop_result", expected: 1, found: operands.len() });
    };
    if *of != token() {
        let problem = format!("the operand is {of}, which is no loop");
        return Err(TypeError::Loop { op: "loop_result", problem });
    }
    Ok(ty.clone())
}

/// Whether the operand of a `loop_result` is a loop with a result of this type at this position.
pub fn check_result(position: usize, ty: &TensorType, of: &crate::Op) -> Result<(), TypeError> {
    let crate::Op::Loop(looped) = of else {
        let problem = format!("the operand is a `{}`, which is no loop", of.name());
        return Err(TypeError::Loop { op: "loop_result", problem });
    };
    let problem = match looped.result_type(position) {
        Some(result) if result == *ty => return Ok(()),
        Some(result) => format!("result {position} of the loop is {result}, not {ty}"),
        None => format!("the loop has {} results, none at position {position}", looped.n_results()),
    };
    Err(TypeError::Loop { op: "loop_result", problem })
}
