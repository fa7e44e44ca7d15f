//! Attributes of ops as text, in both directions: [`Op::attributes`] writes what [`read_op`] reads.
//!
//! Neither an attribute at its default nor one that the result type tells is written. The type tells the shape of
//! `fill`, `reshape`, `broadcast` and `random_bits`, the type of `iota`, the element type of `cast` and the extent of
//! `scatter_add`.

use crate::op::*;
use crate::{Axes, DType, Graph, Literal, Op, TensorData, TensorType};
use smallvec::SmallVec;
use std::fmt::Display;
use std::sync::Arc;

impl Op {
    /// The attributes as they print, name and value, in declaration order.
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = Vec::new();
        let mut add = |name, value: String| attributes.push((name, value));
        match self {
            Op::Input(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Logical(_)
            | Op::Select
            | Op::Cast(_)
            | Op::Reshape(_)
            | Op::RandomBits(_) => {}
            Op::Loop(looped) => {
                add("steps", looped.n_steps.to_string());
                if looped.n_stacked != 0 {
                    add("stacked", looped.n_stacked.to_string());
                }
                if looped.reverse {
                    add("reverse", looped.reverse.to_string());
                }
            }
            Op::LoopResult { position, .. } => add("position", position.to_string()),
            Op::Fill(value, _) => add("value", value.to_string()),
            Op::Dense(data) => add("data", list((0..data.n_elements()).map(|i| data.get(i)))),
            Op::Reduce(_, axes) | Op::Broadcast { axes, .. } | Op::Reverse(axes) => add("axes", list(axes)),
            Op::Permute(permutation) => add("permutation", list(permutation)),
            Op::Iota { axis, .. }
            | Op::ArgReduce(_, axis)
            | Op::Concatenate(axis)
            | Op::Gather(axis)
            | Op::ScatterAdd { axis, .. } => add("axis", axis.to_string()),
            Op::Cumulative(Cumulative { axis, reverse }) => {
                add("axis", axis.to_string());
                if *reverse {
                    add("reverse", reverse.to_string());
                }
            }
            Op::ArgSort(ArgSort { axis, descending }) => {
                add("axis", axis.to_string());
                if *descending {
                    add("descending", descending.to_string());
                }
            }
            Op::Slice(Slice { start, limit, step }) => {
                add("start", list(start));
                add("limit", list(limit));
                add_unless(&mut add, "step", step, 1);
            }
            Op::Pad(Pad { low, high, interior, value }) => {
                add("low", list(low));
                add("high", list(high));
                add_unless(&mut add, "interior", interior, 0);
                add("value", value.to_string());
            }
            Op::Dot(Dot { batch, contract }) => {
                for (name, axes) in [("batch", batch), ("contract", contract)] {
                    if !axes.is_empty() {
                        add(name, pairs(axes));
                    }
                }
            }
            Op::Conv(Conv { strides, padding, lhs_dilation, rhs_dilation, groups }) => {
                add_unless(&mut add, "strides", strides, 1);
                add_padding(&mut add, padding);
                add_unless(&mut add, "lhs_dilation", lhs_dilation, 1);
                add_unless(&mut add, "rhs_dilation", rhs_dilation, 1);
                if *groups != 1 {
                    add("groups", groups.to_string());
                }
            }
            Op::Window(_, Window { sizes, strides, padding, dilations }) => {
                add("sizes", list(sizes));
                add_unless(&mut add, "strides", strides, 1);
                add_padding(&mut add, padding);
                add_unless(&mut add, "dilations", dilations, 1);
            }
        }
        attributes
    }
}

fn add_unless(add: &mut impl FnMut(&'static str, String), name: &'static str, values: &Axes, default: usize) {
    if values.iter().any(|&value| value != default) {
        add(name, list(values));
    }
}

fn add_padding(add: &mut impl FnMut(&'static str, String), padding: &[(i64, i64)]) {
    if padding.iter().any(|&sides| sides != (0, 0)) {
        add("padding", pairs(padding));
    }
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    format!("[{}]", values.join(", "))
}

fn pairs<T: Display>(pairs: &[(T, T)]) -> String {
    list(pairs.iter().map(|(a, b)| format!("{a}:{b}")))
}

/// A piece of text and where it begins, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    pub text: &'a str,
    pub at: usize,
}

/// What is wrong with the text, and where.
#[derive(Debug)]
pub(crate) struct Problem {
    pub at: usize,
    pub message: String,
}

impl Word<'_> {
    pub fn problem(self, message: impl Into<String>) -> Problem {
        Problem { at: self.at, message: message.into() }
    }

    fn number<T: std::str::FromStr>(self) -> Result<T, Problem> {
        self.text.parse().map_err(|_| self.problem(format!("`{}` is not a number that fits here", self.text)))
    }

    fn pair<T: std::str::FromStr>(self) -> Result<(T, T), Problem> {
        let (a, b) = self
            .text
            .split_once(':')
            .ok_or_else(|| self.problem("expected two numbers with `:` in between, as in `1:0`"))?;
        let b = Word { text: b, at: self.at + a.len() + 1 };
        Ok((Word { text: a, at: self.at }.number()?, b.number()?))
    }

    /// The inverse of how a [`Literal`] prints.
    fn literal(self, dtype: DType) -> Result<Literal, Problem> {
        let value = match dtype {
            DType::F32 => self.float(|bits| u32::try_from(bits).ok().map(f32::from_bits)).map(Literal::F32),
            DType::F64 => self.float(|bits| Some(f64::from_bits(bits))).map(Literal::F64),
            DType::I32 => self.text.parse().ok().map(Literal::I32),
            DType::I64 => self.text.parse().ok().map(Literal::I64),
            DType::U8 => self.text.parse().ok().map(Literal::U8),
            DType::Bool => self.text.parse().ok().map(Literal::Bool),
        };
        value.ok_or_else(|| self.problem(format!("`{}` is not a value of type {dtype}", self.text)))
    }

    fn float<T>(self, from_bits: impl Fn(u64) -> Option<T>) -> Option<T>
    where
        T: std::str::FromStr + Copy + Into<f64>,
    {
        if let Some(bits) = self.text.strip_prefix("nan:") {
            let value = from_bits(u64::from_str_radix(bits, 16).ok()?)?;
            return value.into().is_nan().then_some(value);
        }
        let value: T = self.text.parse().ok()?;
        // A decimal too large for the type would read as an infinity that nobody wrote.
        let wrote_infinity = self.text.contains("inf");
        (value.into().is_finite() || wrote_infinity || self.text == "nan").then_some(value)
    }
}

/// The value of an attribute as it stands in the text.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    One(Word<'a>),
    List(Vec<Word<'a>>),
}

/// The attributes of one op as they stand in the text. Each `take` removes one.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    pub op: Word<'a>,
    pub entries: Vec<(Word<'a>, Value<'a>)>,
    /// The graph after the attributes: the body of a loop.
    pub body: Option<Graph>,
}

impl<'a> Attributes<'a> {
    fn take(&mut self, name: &str) -> Option<(Word<'a>, Value<'a>)> {
        let place = self.entries.iter().position(|(word, _)| word.text == name)?;
        Some(self.entries.remove(place))
    }

    fn missing(&self, name: &str) -> Problem {
        self.op.problem(format!("`{}` needs the attribute `{name}`", self.op.text))
    }

    fn take_one(&mut self, name: &str) -> Result<Option<Word<'a>>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Value::One(word))) => Ok(Some(word)),
            Some((word, Value::List(_))) => Err(word.problem(format!("`{name}` is one value, not a list"))),
        }
    }

    fn take_list(&mut self, name: &str) -> Result<Option<Vec<Word<'a>>>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Value::List(words))) => Ok(Some(words)),
            Some((word, Value::One(_))) => Err(word.problem(format!("`{name}` is a list, as in `[0, 1]`"))),
        }
    }

    fn number(&mut self, name: &str) -> Result<usize, Problem> {
        self.take_one(name)?.ok_or_else(|| self.missing(name))?.number()
    }

    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        self.take_one(name)?.map_or(Ok(false), |word| word.literal(DType::Bool).map(Literal::is_one))
    }

    fn literal(&mut self, name: &str, dtype: DType) -> Result<Literal, Problem> {
        self.take_one(name)?.ok_or_else(|| self.missing(name))?.literal(dtype)
    }

    fn numbers<T: std::str::FromStr, C: FromIterator<T>>(&mut self, name: &str) -> Result<C, Problem> {
        let words = self.take_list(name)?.ok_or_else(|| self.missing(name))?;
        words.into_iter().map(Word::number).collect()
    }

    /// A list that is `n` times the default when it is not there.
    fn numbers_or(&mut self, name: &str, default: usize, n: usize) -> Result<Axes, Problem> {
        match self.take_list(name)? {
            None => Ok(SmallVec::from_elem(default, n)),
            Some(words) => words.into_iter().map(Word::number).collect(),
        }
    }

    fn axis_pairs(&mut self, name: &str) -> Result<SmallVec<[(usize, usize); 3]>, Problem> {
        self.take_list(name)?.unwrap_or_default().into_iter().map(Word::pair).collect()
    }

    fn padding(&mut self, n: usize) -> Result<SmallVec<[(i64, i64); 3]>, Problem> {
        match self.take_list("padding")? {
            None => Ok(SmallVec::from_elem((0, 0), n)),
            Some(words) => words.into_iter().map(Word::pair).collect(),
        }
    }

    fn dense(&mut self, ty: &TensorType) -> Result<TensorData, Problem> {
        let words = self.take_list("data")?.ok_or_else(|| self.missing("data"))?;
        let n = ty.shape.checked_n_elements();
        if n != Some(words.len()) {
            let message = format!("{ty} does not have {} elements", words.len());
            return Err(self.op.problem(message));
        }
        let elements: Vec<Literal> =
            words.into_iter().map(|word| word.literal(ty.dtype)).collect::<Result<_, _>>()?;
        Ok(TensorData::from_fn(ty, |i| elements[i]))
    }

    /// The extent of an axis of the result, which the written type tells.
    fn extent_of_result(&self, ty: &TensorType, axis: usize) -> Result<usize, Problem> {
        let extent = ty.shape.get(axis).copied();
        extent.ok_or_else(|| self.op.problem(format!("{ty} has no axis {axis}")))
    }
}

/// The op that the text means: its name, its attributes, the result type written before it and its operands' types.
/// Whether operands suit the op is not looked at here.
pub(crate) fn read_op(
    mut attributes: Attributes,
    ty: &TensorType,
    operands: &[&TensorType],
) -> Result<Op, Problem> {
    let op = read_with(&mut attributes, ty, operands)?;
    match attributes.entries.first() {
        None => Ok(op),
        Some((word, _)) => {
            Err(word.problem(format!("`{}` has no attribute `{}`", attributes.op.text, word.text)))
        }
    }
}

fn read_with(a: &mut Attributes, ty: &TensorType, operands: &[&TensorType]) -> Result<Op, Problem> {
    let name = a.op.text;
    if let Some(op) = elementwise(name) {
        return Ok(op);
    }
    if let Some(op) = ReduceOp::ALL.into_iter().find(|op| op.name() == name) {
        return Ok(Op::Reduce(op, a.numbers("axes")?));
    }
    if let Some(op) = ArgReduceOp::ALL.into_iter().find(|op| op.name() == name) {
        return Ok(Op::ArgReduce(op, a.number("axis")?));
    }
    if let Some(op) = WindowOp::ALL.into_iter().find(|op| op.name() == name) {
        return Ok(Op::Window(op, read_window(a)?));
    }
    Ok(match name {
        "fill" => Op::Fill(a.literal("value", ty.dtype)?, ty.shape.clone()),
        "dense" => Op::Dense(Arc::new(a.dense(ty)?)),
        "iota" => Op::Iota { ty: ty.clone(), axis: a.number("axis")? },
        "select" => Op::Select,
        "cast" => Op::Cast(ty.dtype),
        "cumulative_sum" => {
            Op::Cumulative(Cumulative { axis: a.number("axis")?, reverse: a.flag("reverse")? })
        }
        "argsort" => Op::ArgSort(ArgSort { axis: a.number("axis")?, descending: a.flag("descending")? }),
        "reshape" => Op::Reshape(ty.shape.clone()),
        "permute" => Op::Permute(a.numbers("permutation")?),
        "broadcast" => Op::Broadcast { shape: ty.shape.clone(), axes: a.numbers("axes")? },
        "slice" => Op::Slice(read_slice(a)?),
        "pad" => Op::Pad(read_pad(a, ty)?),
        "concatenate" => Op::Concatenate(a.number("axis")?),
        "reverse" => Op::Reverse(a.numbers("axes")?),
        "dot" => Op::Dot(Dot { batch: a.axis_pairs("batch")?, contract: a.axis_pairs("contract")? }),
        "conv" => Op::Conv(read_conv(a, operands)?),
        "gather" => Op::Gather(a.number("axis")?),
        "scatter_add" => {
            let axis = a.number("axis")?;
            Op::ScatterAdd { axis, extent: a.extent_of_result(ty, axis)? }
        }
        "random_bits" => Op::RandomBits(ty.shape.clone()),
        "loop" => Op::Loop(Arc::new(read_loop(a)?)),
        "loop_result" => Op::LoopResult { position: a.number("position")?, ty: ty.clone() },
        "input" => return Err(a.op.problem("inputs stand in the head of the graph, after its name")),
        other => return Err(a.op.problem(format!("`{other}` is not an op"))),
    })
}

/// The ops without attributes, by name.
fn elementwise(name: &str) -> Option<Op> {
    let unary = UnaryOp::ALL.into_iter().find(|op| op.name() == name).map(Op::Unary);
    let binary = BinaryOp::ALL.into_iter().find(|op| op.name() == name).map(Op::Binary);
    let compare = CompareOp::ALL.into_iter().find(|op| op.name() == name).map(Op::Compare);
    let logical = LogicalOp::ALL.into_iter().find(|op| op.name() == name).map(Op::Logical);
    unary.or(binary).or(compare).or(logical)
}

fn read_window(a: &mut Attributes) -> Result<Window, Problem> {
    let sizes: Axes = a.numbers("sizes")?;
    let n = sizes.len();
    Ok(Window {
        sizes,
        strides: a.numbers_or("strides", 1, n)?,
        padding: a.padding(n)?,
        dilations: a.numbers_or("dilations", 1, n)?,
    })
}

fn read_loop(a: &mut Attributes) -> Result<Loop, Problem> {
    Ok(Loop {
        n_steps: a.number("steps")?,
        n_stacked: a.take_one("stacked")?.map_or(Ok(0), Word::number)?,
        reverse: a.flag("reverse")?,
        body: a
            .body
            .take()
            .ok_or_else(|| a.op.problem("a loop needs a body: a graph after its attributes"))?,
    })
}

fn read_slice(a: &mut Attributes) -> Result<Slice, Problem> {
    let start: Axes = a.numbers("start")?;
    let n = start.len();
    Ok(Slice { start, limit: a.numbers("limit")?, step: a.numbers_or("step", 1, n)? })
}

fn read_pad(a: &mut Attributes, ty: &TensorType) -> Result<Pad, Problem> {
    let low: SmallVec<[i64; 6]> = a.numbers("low")?;
    let n = low.len();
    Ok(Pad {
        low,
        high: a.numbers("high")?,
        interior: a.numbers_or("interior", 0, n)?,
        value: a.literal("value", ty.dtype)?,
    })
}

fn read_conv(a: &mut Attributes, operands: &[&TensorType]) -> Result<Conv, Problem> {
    let n = operands.first().map_or(0, |x| x.rank().saturating_sub(2));
    Ok(Conv {
        strides: a.numbers_or("strides", 1, n)?,
        padding: a.padding(n)?,
        lhs_dilation: a.numbers_or("lhs_dilation", 1, n)?,
        rhs_dilation: a.numbers_or("rhs_dilation", 1, n)?,
        groups: a.take_one("groups")?.map_or(Ok(1), Word::number)?,
    })
}
