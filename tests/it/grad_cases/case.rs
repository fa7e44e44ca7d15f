//! Reads the cases: `index.json`, and for each operator its calls in JSON and their tensors in safetensors.

use kiln_ir::{DType, Element, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::path::Path;

/// An operator in the index.
pub struct Entry {
    /// PyTorch's name, with a variant after `/`.
    pub op: String,
    file: String,
}

/// All cases of an operator.
pub struct Operator {
    pub op: String,
    pub cases: Vec<Case>,
}

/// One call, with what PyTorch made of it.
pub struct Case {
    pub number: u64,
    /// Arguments by position; `{"t": i}` is input `i`.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: serde_json::Map<String, Value>,
    /// For a module: what it was constructed with, whether in training, and its parameters and buffers.
    pub module: Option<Module>,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    /// Whether the point is a kink, where another subgradient is not an error.
    pub nonsmooth: bool,
}

pub struct Module {
    pub args: Vec<Value>,
    pub kwargs: serde_json::Map<String, Value>,
    pub training: bool,
    /// Name of a parameter or buffer to the position of its input.
    pub state: serde_json::Map<String, Value>,
}

pub struct Input {
    pub data: TensorData,
    pub gradient: Option<Expected>,
    /// The value of a buffer after the call that changes it.
    pub mutated: Option<TensorData>,
}

pub struct Output {
    pub expected: Expected,
    pub cotangent: Option<TensorData>,
}

/// A value, and how far from it one may be.
pub struct Expected {
    pub data: TensorData,
    pub atol: f64,
}

/// The operators there are cases for.
pub fn index(directory: &Path) -> Vec<Entry> {
    let text = |entry: &Value, key: &str| entry[key].as_str().expect("text").to_string();
    let index = json(&directory.join("index.json"));
    let ops = index["ops"].as_array().expect("a list of operators");
    ops.iter().map(|entry| Entry { op: text(entry, "op"), file: text(entry, "file") }).collect()
}

/// The cases of one operator.
pub fn load(directory: &Path, entry: &Entry) -> Operator {
    let calls = json(&directory.join(format!("{}.json", entry.file)));
    let path = directory.join(format!("{}.safetensors", entry.file));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors =
        SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases = calls["cases"].as_array().expect("a list of cases");
    Operator { op: entry.op.clone(), cases: cases.iter().map(|case| read(case, &tensors)).collect() }
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(case: &Value, tensors: &SafeTensors) -> Case {
    let number = case["case"].as_u64().expect("a number");
    let named = |kind: char, i: usize| tensor(tensors, &format!("{number}.{kind}{i}"));
    let atol = |value: &Value, key: &str| value[key].as_f64().unwrap_or(0.0);
    let list = |key: &str| case[key].as_array().expect("a list");
    let read_input = |(i, input): (usize, &Value)| Input {
        data: named('i', i),
        gradient: (input["grad"] == true)
            .then(|| Expected { data: named('g', i), atol: atol(input, "g_atol") }),
        mutated: (input["mutated"] == true).then(|| named('m', i)),
    };
    let read_output = |(j, output): (usize, &Value)| Output {
        expected: Expected { data: named('o', j), atol: atol(output, "atol") },
        cotangent: (output["cotangent"] == true).then(|| named('c', j)),
    };
    let arguments = |value: &Value| value["args"].as_array().cloned().unwrap_or_default();
    let keywords = |value: &Value| value["kwargs"].as_object().cloned().unwrap_or_default();
    let module = case.get("constructor").map(|constructor| Module {
        args: arguments(constructor),
        kwargs: keywords(constructor),
        training: case["training"] == true,
        state: case["state"].as_object().cloned().unwrap_or_default(),
    });
    Case {
        number,
        args: arguments(case),
        kwargs: keywords(case),
        module,
        inputs: list("inputs").iter().enumerate().map(read_input).collect(),
        outputs: list("outputs").iter().enumerate().map(read_output).collect(),
        nonsmooth: case["nonsmooth"] == true,
    }
}

fn tensor(tensors: &SafeTensors, name: &str) -> TensorData {
    let view = tensors.tensor(name).unwrap_or_else(|error| panic!("tensor {name}: {error}"));
    let (shape, bytes) = (view.shape(), view.data());
    match view.dtype() {
        Dtype::F32 => elements(shape, bytes, f32::from_le_bytes),
        Dtype::F64 => elements(shape, bytes, f64::from_le_bytes),
        Dtype::I32 => elements(shape, bytes, i32::from_le_bytes),
        Dtype::I64 => elements(shape, bytes, i64::from_le_bytes),
        Dtype::U8 => elements(shape, bytes, u8::from_le_bytes),
        Dtype::BOOL => elements(shape, bytes, |[byte]: [u8; 1]| byte != 0),
        other => panic!("tensor {name}: element type {other:?}"),
    }
}

fn elements<T: Element, const N: usize>(
    shape: &[usize],
    bytes: &[u8],
    decode: fn([u8; N]) -> T,
) -> TensorData {
    let decoded = bytes.chunks_exact(N).map(|chunk| decode(chunk.try_into().expect("N bytes"))).collect();
    TensorData::new(shape, decoded)
}

/// Whether an element type is one of which gradients are taken.
pub fn is_differentiable(data: &TensorData) -> bool {
    matches!(data.dtype(), DType::F32 | DType::F64)
}
