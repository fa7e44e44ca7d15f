//! What a user is told when a model is wrong or asks for what is not there.
//!
//! An [`Error`] holds facts: types, names, the user's line. The sentences are made in `Display`. A mistake of the
//! compiler itself is never an `Error`: it is a panic that asks for a report.

use kiln_ir::{Shape, Source, TensorType, TypeError};
use std::fmt;
use std::panic::Location;

/// Why a model could not be compiled, or a call could not be carried out.
///
/// Its `Debug` form is its text, so that `fn main() -> Result<(), kiln::Error>` prints what a person can read.
#[derive(thiserror::Error)]
pub enum Error {
    /// The model does not fit together: every independent mistake of one trace.
    #[error("{}", separated(.0))]
    Model(Vec<Mistake>),
    /// Parameters that get no gradient, each with the op that cuts its path to the loss.
    #[error("{}", separated(.0))]
    NoGradient(Vec<Unreached>),
    /// This machine cannot run the program as asked.
    #[error("{0}")]
    Machine(#[from] crate::compile::CompileError),
    /// A batch has another type than the program was compiled for.
    #[error(
        "error: the {role} of the batch has another type than the program was compiled for\n  --> {location}\n   | expected: {expected}\n   | found:    {found}\n   = shapes are static, but for fewer samples; for other shapes compile another trainer"
    )]
    Batch {
        /// Which tensor of the batch, as in `input 0` or `target 0`.
        role: String,
        /// The type it was compiled for.
        expected: TensorType,
        /// The type that was given.
        found: TensorType,
        /// The user's call.
        location: &'static Location<'static>,
    },
    /// A batch has another number of tensors than the program was compiled for.
    #[error("error: the program takes {expected} {role} tensor{}, {found} were given\n  --> {location}", if *expected == 1 { "" } else { "s" })]
    BatchCount {
        /// `input` or `target`.
        role: &'static str,
        /// How many the program takes.
        expected: usize,
        /// How many were given.
        found: usize,
        /// The user's call.
        location: &'static Location<'static>,
    },
    /// No parameter and no layer has this name.
    #[error("error: the model has no parameter `{name}`\n  --> {location}\n   = it has {}", known.join(", "))]
    UnknownParameter {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
        /// The user's call.
        location: &'static Location<'static>,
    },
    /// A parameter is not among the values that were given for all of them.
    #[error("error: no value for parameter `{name}` ({ty})\n  --> {location}")]
    MissingParameter {
        /// The parameter's name.
        name: String,
        /// Its type.
        ty: TensorType,
        /// The user's call.
        location: &'static Location<'static>,
    },
    /// A value for a parameter has another type than the parameter.
    #[error(
        "error: the value for parameter `{name}` has another type\n  --> {location}\n   | the model: {expected}\n   | the value: {found}"
    )]
    ParameterType {
        /// The parameter's name.
        name: String,
        /// The type it has in the model.
        expected: TensorType,
        /// The type that was given.
        found: TensorType,
        /// The user's call.
        location: &'static Location<'static>,
    },
    /// The trainer lacks something it needs.
    #[error("error: {problem}\n  --> {location}")]
    Setup {
        /// What is missing or contradicts itself.
        problem: String,
        /// The user's call.
        location: &'static Location<'static>,
    },
    /// Something correct that Kiln cannot do.
    #[error("error: not supported: {0}")]
    NotSupported(String),
    /// A file could not be read or written, or holds something else.
    #[error("error: {0}")]
    File(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn separated(parts: &[impl fmt::Display]) -> String {
    parts.iter().map(|part| part.to_string()).collect::<Vec<_>>().join("\n\n")
}

/// One op that does not suit its operands, at the user's line.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// What is wrong.
    pub problem: Problem,
    /// The user's line and scope.
    pub source: Source,
    /// The operands, and where they came from.
    pub operands: Vec<OperandNote>,
}

/// An operand as an error shows it.
#[derive(Clone, Debug)]
pub struct OperandNote {
    /// Its part in the op, as in `lhs` or `indices`.
    pub role: &'static str,
    /// Its type.
    pub ty: TensorType,
    /// Where it came from, as in "result of `dot`, examples/mlp.rs:40:18".
    pub origin: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  --> {}", self.problem, self.source)?;
        let role_width = self.operands.iter().map(|o| o.role.len()).max().unwrap_or(0);
        let types: Vec<String> = self.operands.iter().map(|o| o.ty.to_string()).collect();
        let type_width = types.iter().map(String::len).max().unwrap_or(0);
        for (operand, ty) in self.operands.iter().zip(&types) {
            let role = format!("{}:", operand.role);
            write!(f, "\n   | {role:<w$} {ty:<type_width$}   {}", operand.origin, w = role_width + 1)?;
        }
        for line in self.problem.help() {
            write!(f, "\n   = {line}")?;
        }
        Ok(())
    }
}

/// What is wrong with an op.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Problem {
    /// The op's type rule refuses its operands.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// Shapes that do not broadcast.
    #[error("operands of `{op}` do not broadcast to one shape")]
    Broadcast {
        /// The op.
        op: &'static str,
        /// Shape of the first operand.
        lhs: Shape,
        /// Shape of the second operand.
        rhs: Shape,
    },
    /// Tensors of different traces met.
    #[error("operands of `{op}` belong to different traces")]
    OtherTrace {
        /// The op.
        op: &'static str,
    },
    /// A parameter that the model does not list.
    #[error("the model uses a parameter that it does not list")]
    UnlistedParameter {
        /// The shape of the parameter, to recognize it by.
        shape: Shape,
    },
    /// Two parameters have one name.
    #[error("two parameters of the model have the name `{name}`")]
    RepeatedParameter {
        /// The name.
        name: String,
    },
    /// What is differentiated is not one number.
    #[error("{what} must be one floating-point number, it is {ty}")]
    NotScalar {
        /// What it is: the loss, or the value that a gradient is taken of.
        what: &'static str,
        /// Its type.
        ty: TensorType,
    },
    /// A gradient was asked for that does not exist.
    #[error("no gradient reaches the value")]
    NoGradient {
        /// The ops that cut its paths; none when what is differentiated does not depend on it.
        cuts: Vec<Cut>,
    },
}

impl Problem {
    /// The same problem of the function that the user called, where that is composed of ops.
    pub(crate) fn of(self, function: &'static str) -> Problem {
        match self {
            Problem::Type(problem) => Problem::Type(problem.of(function)),
            Problem::Broadcast { lhs, rhs, .. } => Problem::Broadcast { op: function, lhs, rhs },
            Problem::OtherTrace { .. } => Problem::OtherTrace { op: function },
            Problem::UnlistedParameter { .. }
            | Problem::RepeatedParameter { .. }
            | Problem::NotScalar { .. }
            | Problem::NoGradient { .. } => self,
        }
    }

    /// Facts and advice below the operands, one a line.
    fn help(&self) -> Vec<String> {
        match self {
            Problem::Broadcast { lhs, rhs, .. } => broadcast_help(lhs, rhs),
            Problem::OtherTrace { .. } => {
                vec!["a tensor can be used only in the trace in which it was made".into()]
            }
            Problem::UnlistedParameter { shape } => vec![
                format!("its shape is {shape}"),
                "list the layer that holds it in `kiln::parameters!` of the model".into(),
            ],
            Problem::RepeatedParameter { .. } => {
                vec!["names are the paths of fields in `kiln::parameters!`".into()]
            }
            Problem::NotScalar { .. } => vec!["reduce it with `mean(..)` or `sum(..)`".into()],
            Problem::NoGradient { cuts } if cuts.is_empty() => {
                vec!["what is differentiated does not depend on it".into()]
            }
            Problem::NoGradient { cuts } => cuts.iter().map(Cut::with_line).collect(),
            Problem::Type(_) => Vec::new(),
        }
    }
}

fn broadcast_help(lhs: &Shape, rhs: &Shape) -> Vec<String> {
    let mut lines = Vec::new();
    for from_end in 1..=lhs.rank().min(rhs.rank()) {
        let (l, r) = (lhs[lhs.rank() - from_end], rhs[rhs.rank() - from_end]);
        if l != r && l != 1 && r != 1 {
            let axis = if from_end == 1 { "last axis".to_string() } else { format!("axis -{from_end}") };
            lines.push(format!("{axis}: {l} here, {r} there"));
        }
    }
    lines.push("extents must be equal, or one of them 1".into());
    lines
}

/// A parameter that gets no gradient.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// The parameter's name.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// What cuts its paths to the loss; nothing when the loss does not depend on the parameter.
    pub cuts: Vec<Cut>,
    /// The user's call that asked for its gradient.
    pub location: &'static Location<'static>,
}

/// An op through which no gradient flows.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The op's name.
    pub op: &'static str,
    /// Why no gradient flows through it.
    pub reason: &'static str,
    /// The user's line.
    pub source: Option<Source>,
}

impl Cut {
    /// The sentence, with the user's line.
    fn with_line(&self) -> String {
        let line = self.source.as_ref().map_or(String::new(), |source| format!(", {source}"));
        format!("`{}` cuts the path: {}{line}", self.op, self.reason)
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: parameter `{}` ({}) gets no gradient from the loss", self.name, self.ty)?;
        if self.cuts.is_empty() {
            write!(f, "\n  --> {}\n   = the loss does not depend on it", self.location)?;
        }
        for cut in &self.cuts {
            if let Some(source) = &cut.source {
                write!(f, "\n  --> {source}")?;
            }
            write!(f, "\n   = `{}` cuts the path: {}", cut.op, cut.reason)?;
        }
        f.write_str("\n   = if it shall not be trained, say so with `Trainer::freeze` or `Param::frozen`")
    }
}
