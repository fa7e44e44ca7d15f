//! Arguments of a call: from PyTorch's positions and names to Rust values, as a table of functions declares them.

use super::case::Case;
use kiln::nn::{Module, parameters_of};
use kiln::prelude::*;
use kiln::{Interpolation, Over};
use serde_json::Value;
use std::cell::Cell;

/// What Kiln does not have: the case is counted and listed with these words.
#[derive(Debug)]
pub struct NotSupported(pub String);

/// What a function makes of a call.
pub type Built = Result<Outputs, NotSupported>;

/// The results of a call.
pub struct Outputs {
    pub values: Vec<Tensor>,
    /// The new values of buffers that the call changes, by position of their input.
    pub updates: Vec<(usize, Tensor)>,
}

/// A function of PyTorch, written with Kiln's tensors.
pub struct Function {
    pub name: &'static str,
    pub build: fn(&Call) -> Built,
}

/// One call that is being traced.
pub struct Call<'a> {
    pub case: &'a Case,
    /// The trace.
    pub tracer: &'a Tracer,
    /// The inputs, as tensors of it.
    pub inputs: &'a [Tensor],
    /// Number of parameters read so far: the position of the next one.
    position: Cell<usize>,
    /// The same for the constructor of a module.
    constructor_position: Cell<usize>,
}

/// Declares functions: PyTorch's name, its parameters as in PyTorch's documentation, and the same in Kiln. A module
/// has the parameters of its constructor in brackets before those of the call. A parameter that the function has no use
/// for begins with `_`. A name between bars is the call itself.
macro_rules! functions {
    ($($name:literal: $([$($c:ident: $ct:ty $(= $cd:expr)?),*])?
        ($($p:ident: $t:ty $(= $d:expr)?),*) $(|$call:ident|)? => $build:expr;)*) => {
        pub const FUNCTIONS: &[$crate::grad_cases::call::Function] = &[$(
            $crate::grad_cases::call::Function {
                name: $name,
                build: |call| {
                    $($(let $c: $ct = call.constructed(stringify!($c), [$($cd)?].into_iter().next())?;)*)?
                    $(let $p: $t = call.argument(stringify!($p), [$($d)?].into_iter().next())?;)*
                    call.check_all_read(&[$(stringify!($p)),*], &[$($(stringify!($c)),*)?])?;
                    $(let $call = call;)?
                    $crate::grad_cases::call::IntoOutputs::into_outputs($build)
                },
            }
        ),*];
    };
}
pub(super) use functions;

impl<'a> Call<'a> {
    pub fn new(case: &'a Case, tracer: &'a Tracer, inputs: &'a [Tensor]) -> Call<'a> {
        Call { case, tracer, inputs, position: Cell::new(0), constructor_position: Cell::new(0) }
    }

    /// The next parameter of the call, given by position or by name, or else its default.
    pub fn argument<T: FromArgument>(&self, name: &str, default: Option<T>) -> Result<T, NotSupported> {
        let name = name.trim_start_matches('_');
        let position = self.position.replace(self.position.get() + 1);
        let value = T::remaining(self.case.args.get(position..).unwrap_or_default());
        // A few of PyTorch's parameters have capital letters.
        let named = || self.case.kwargs.get(name).or_else(|| self.case.kwargs.get(&name.to_uppercase()));
        // The main input may be given by PyTorch's name.
        let input = || self.case.kwargs.get("input").filter(|_| position == 0);
        let value = value.or_else(|| named().or_else(input).cloned());
        self.convert(name, value, default)
    }

    /// The next parameter of a module's constructor.
    pub fn constructed<T: FromArgument>(&self, name: &str, default: Option<T>) -> Result<T, NotSupported> {
        let module = self.case.module.as_ref().expect("a module's case says how it was constructed");
        let name = name.trim_start_matches('_');
        let position = self.constructor_position.replace(self.constructor_position.get() + 1);
        let value = module.args.get(position).or_else(|| module.kwargs.get(name));
        let value = value.or_else(|| module.kwargs.get(&format!("_{name}"))).cloned();
        self.convert(name, value, default)
    }

    fn convert<T: FromArgument>(
        &self,
        name: &str,
        value: Option<Value>,
        default: Option<T>,
    ) -> Result<T, NotSupported> {
        match (value, default) {
            (Some(value), default) => match T::from_argument(&value, self) {
                Some(converted) => Ok(converted),
                // `None` given for a parameter that has a default means the default, as in PyTorch.
                None if value.is_null() => default.ok_or_else(|| NotSupported(format!("`{name}` of None"))),
                None => Err(NotSupported(format!("`{name}` given as {}", words(&value)))),
            },
            (None, Some(default)) => Ok(default),
            (None, None) => T::absent().ok_or_else(|| NotSupported(format!("without `{name}`"))),
        }
    }

    /// Whether each argument that was given has a parameter: none is ignored.
    pub fn check_all_read(&self, parameters: &[&str], constructor: &[&str]) -> Result<(), NotSupported> {
        let unknown = |names: &serde_json::Map<String, Value>, known: &[&str]| {
            names
                .keys()
                .filter(|name| *name != "input")
                .find(|name| {
                    let name = name.trim_start_matches('_');
                    known.iter().all(|known| !known.trim_start_matches('_').eq_ignore_ascii_case(name))
                })
                .cloned()
        };
        let in_constructor = self.case.module.as_ref().and_then(|m| unknown(&m.kwargs, constructor));
        match unknown(&self.case.kwargs, parameters).or(in_constructor) {
            Some(name) => Err(NotSupported(format!("argument `{name}`"))),
            None => Ok(()),
        }
    }

    /// The elements of the input that a tensor is.
    pub fn data(&self, tensor: &Tensor) -> &TensorData {
        &self.case.inputs[self.position_of(tensor)].data
    }

    /// The position of the input that a tensor is.
    pub fn position_of(&self, tensor: &Tensor) -> usize {
        let position = self.inputs.iter().position(|input| input.id() == tensor.id());
        position.expect("the tensor is an argument")
    }

    /// A layer with the case's parameters and buffers, which have to be those of its `state_dict` by name.
    pub fn layer<M: Module>(&self, layer: M) -> M {
        let mut names: Vec<String> = parameters_of(&layer).into_iter().map(|(name, _)| name).collect();
        let state = &self.case.module.as_ref().expect("a module's case has state").state;
        names.sort();
        let mut given: Vec<&str> =
            state.iter().filter(|(_, at)| !at.is_null()).map(|(name, _)| name.as_str()).collect();
        given.sort_unstable();
        assert_eq!(names, given, "names of the `state_dict`");
        let values: Vec<(&str, Tensor)> =
            given.iter().map(|name| (*name, self.state(name).expect("it was just listed"))).collect();
        self.tracer
            .call_with(&layer, |name| values.iter().find(|(of, _)| *of == name).map(|(_, value)| value));
        layer
    }

    /// What a layer gives, and the new values of its buffers.
    pub fn outputs(&self, layer: &impl Module, values: Vec<Tensor>) -> Outputs {
        let of = &self.inputs[0];
        let changed = parameters_of(layer).into_iter().filter_map(|(name, param)| {
            let (old, new) = (self.state(&name)?, param.of(of));
            (old.id() != new.id()).then(|| (self.position_of(&old), new))
        });
        Outputs { values, updates: changed.collect() }
    }

    /// A parameter or buffer of a module.
    pub fn state(&self, name: &str) -> Option<Tensor> {
        let module = self.case.module.as_ref().expect("a module's case has state");
        Tensor::from_argument(module.state.get(name)?, self)
    }
}

/// A type that arguments of a table's functions have.
pub trait FromArgument: Sized {
    /// The value, if the argument is of this kind.
    fn from_argument(value: &Value, call: &Call) -> Option<Self>;

    /// The value of an argument that is not given and has no default.
    fn absent() -> Option<Self> {
        None
    }

    /// What this parameter takes of the arguments from its position on.
    fn remaining(args: &[Value]) -> Option<Value> {
        args.first().cloned()
    }
}

impl FromArgument for Tensor {
    fn from_argument(value: &Value, call: &Call) -> Option<Tensor> {
        Some(call.inputs[position(value)?].clone())
    }
}

impl FromArgument for Operand {
    fn from_argument(value: &Value, call: &Call) -> Option<Operand> {
        if let Some(tensor) = Tensor::from_argument(value, call) {
            return Some(tensor.into());
        }
        if let Some(truth) = value.as_bool() {
            return Some(truth.into());
        }
        match value.as_i64() {
            Some(int) => Some(int.into()),
            None => f64::from_argument(value, call).map(Operand::from),
        }
    }
}

impl FromArgument for f64 {
    fn from_argument(value: &Value, _: &Call) -> Option<f64> {
        // `{"f": "inf"}` and the like.
        value.as_f64().or_else(|| value.get("f")?.as_str()?.parse().ok())
    }
}

impl FromArgument for i64 {
    fn from_argument(value: &Value, call: &Call) -> Option<i64> {
        // An index may come as a tensor of rank 0.
        value.as_i64().or_else(|| match Vec::from_argument(value, call)?.as_slice() {
            [only] => Some(*only),
            _ => None,
        })
    }
}

impl FromArgument for usize {
    fn from_argument(value: &Value, call: &Call) -> Option<usize> {
        i64::from_argument(value, call)?.try_into().ok()
    }
}

impl FromArgument for bool {
    fn from_argument(value: &Value, _: &Call) -> Option<bool> {
        value.as_bool()
    }
}

impl FromArgument for Interpolation {
    fn from_argument(value: &Value, _: &Call) -> Option<Interpolation> {
        match value.as_str()? {
            "linear" => Some(Interpolation::Linear),
            "lower" => Some(Interpolation::Lower),
            "higher" => Some(Interpolation::Higher),
            "nearest" => Some(Interpolation::Nearest),
            "midpoint" => Some(Interpolation::Midpoint),
            _ => None,
        }
    }
}

impl FromArgument for Reduction {
    fn from_argument(value: &Value, _: &Call) -> Option<Reduction> {
        match value.as_str()? {
            "mean" => Some(Reduction::Mean),
            "sum" => Some(Reduction::Sum),
            "none" => Some(Reduction::None),
            "batchmean" => Some(Reduction::BatchMean),
            _ => None,
        }
    }
}

/// An element type, by PyTorch's name.
pub struct Type(pub DType);

impl FromArgument for Type {
    fn from_argument(value: &Value, _: &Call) -> Option<Type> {
        let name = value.as_str()?;
        let dtype = match name.strip_prefix("torch.").unwrap_or(name) {
            "float32" => DType::F32,
            "float64" => DType::F64,
            "int32" => DType::I32,
            "int64" => DType::I64,
            "uint8" => DType::U8,
            "bool" => DType::Bool,
            _ => return None,
        };
        Some(Type(dtype))
    }
}

/// A tensor in the type that an argument names, if one is given.
pub fn typed(x: &Tensor, dtype: Option<Type>) -> Tensor {
    dtype.map_or_else(|| x.clone(), |dtype| x.cast(dtype.0))
}

impl FromArgument for String {
    fn from_argument(value: &Value, _: &Call) -> Option<String> {
        value.as_str().map(str::to_string)
    }
}

impl FromArgument for Value {
    fn from_argument(value: &Value, _: &Call) -> Option<Value> {
        Some(value.clone())
    }
}

/// One number or a list of them, or the elements of a tensor of indices.
impl FromArgument for Vec<i64> {
    fn from_argument(value: &Value, call: &Call) -> Option<Vec<i64>> {
        if let Some(position) = position(value) {
            let data = &call.case.inputs[position].data;
            return (!data.dtype().is_float()).then(|| data.to_f64_vec().iter().map(|&v| v as i64).collect());
        }
        match value {
            Value::Array(values) => values.iter().map(Value::as_i64).collect(),
            value => value.as_i64().map(|one| vec![one]),
        }
    }
}

impl FromArgument for Vec<usize> {
    fn from_argument(value: &Value, call: &Call) -> Option<Vec<usize>> {
        let values = Vec::<i64>::from_argument(value, call)?;
        values.into_iter().map(|value| value.try_into().ok()).collect()
    }
}

impl FromArgument for Vec<Value> {
    fn from_argument(value: &Value, _: &Call) -> Option<Vec<Value>> {
        value.as_array().cloned()
    }
}

impl FromArgument for Vec<Tensor> {
    fn from_argument(value: &Value, call: &Call) -> Option<Vec<Tensor>> {
        value.as_array()?.iter().map(|item| Tensor::from_argument(item, call)).collect()
    }
}

impl<T: FromArgument> FromArgument for Option<T> {
    fn from_argument(value: &Value, call: &Call) -> Option<Option<T>> {
        if value.is_null() { Some(None) } else { T::from_argument(value, call).map(Some) }
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

/// All arguments from this position on, as Python's `*args`; a single list stands for its items.
pub struct Rest<T>(pub Vec<T>);

impl<T: FromArgument> FromArgument for Rest<T> {
    fn from_argument(value: &Value, call: &Call) -> Option<Rest<T>> {
        let all = value.as_array()?;
        let items = match all.as_slice() {
            [Value::Array(items)] => items,
            items => items,
        };
        items.iter().map(|item| T::from_argument(item, call)).collect::<Option<_>>().map(Rest)
    }

    fn remaining(args: &[Value]) -> Option<Value> {
        Some(Value::Array(args.to_vec()))
    }
}

/// A parameter that is given by name only, after `*args`.
pub struct Named<T>(pub T);

impl<T: FromArgument> FromArgument for Named<T> {
    fn from_argument(value: &Value, call: &Call) -> Option<Named<T>> {
        T::from_argument(value, call).map(Named)
    }

    fn remaining(_: &[Value]) -> Option<Value> {
        None
    }
}

/// PyTorch's `dim`: one axis, several, or `None` (or an empty list) for all.
pub struct Dim(Option<Vec<i64>>);

impl FromArgument for Dim {
    fn from_argument(value: &Value, call: &Call) -> Option<Dim> {
        if value.is_null() {
            return Some(Dim(None));
        }
        let axes = Vec::from_argument(value, call)?;
        Some(Dim((!axes.is_empty()).then_some(axes)))
    }

    fn absent() -> Option<Dim> {
        Some(Dim(None))
    }
}

impl Dim {
    /// The axes of `x`; PyTorch lets 0 and -1 stand for the axis that a scalar does not have.
    pub fn over(&self, x: &Tensor, keepdim: bool) -> Over {
        let over = match &self.0 {
            Some(axes) if x.rank() > 0 => Over::from(axes.as_slice()),
            Some(_) | None => Over::from(..),
        };
        if keepdim { keep(over) } else { over }
    }

    /// The axes as a list; all of `x` when none is given.
    pub fn axes(&self, x: &Tensor) -> Vec<i64> {
        self.0.clone().unwrap_or_else(|| (0..x.rank() as i64).collect())
    }
}

fn position(value: &Value) -> Option<usize> {
    value.get("t")?.as_u64().map(|position| position as usize)
}

fn words(value: &Value) -> String {
    if position(value).is_some() { "a tensor".to_string() } else { value.to_string() }
}

/// What a function of the table may return.
pub trait IntoOutputs {
    fn into_outputs(self) -> Built;
}

impl IntoOutputs for Tensor {
    fn into_outputs(self) -> Built {
        vec![self].into_outputs()
    }
}

impl IntoOutputs for Vec<Tensor> {
    fn into_outputs(self) -> Built {
        Ok(Outputs { values: self, updates: Vec::new() })
    }
}

impl<const N: usize> IntoOutputs for [Tensor; N] {
    fn into_outputs(self) -> Built {
        self.to_vec().into_outputs()
    }
}

impl IntoOutputs for Outputs {
    fn into_outputs(self) -> Built {
        Ok(self)
    }
}

impl<T: IntoOutputs> IntoOutputs for Result<T, NotSupported> {
    fn into_outputs(self) -> Built {
        self?.into_outputs()
    }
}

/// A case that Kiln does not support, for this reason.
pub fn not_supported<T>(reason: impl Into<String>) -> Result<T, NotSupported> {
    Err(NotSupported(reason.into()))
}
