//! Tensors by name in a file: the safetensors format, which PyTorch and JAX users read and write too.
//!
//! Format: <https://huggingface.co/docs/safetensors>: the length of a header as `u64`, the header as JSON,
//! the elements in little-endian order. The same tensors give the same bytes every time.

use crate::atomic_file;
use kiln_ir::data::Storage;
use kiln_ir::{DType, Element, TensorData};
use safetensors::tensor::{Dtype, SafeTensorError, TensorView, View};
use safetensors::{SafeTensors, serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What a file of tensors holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorData>,
    /// Whatever else is to be remembered, as text.
    pub metadata: BTreeMap<String, String>,
}

/// A file of tensors could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct CheckpointError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: CheckpointProblem,
}

/// What is wrong with a file of tensors.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointProblem {
    /// The system cannot read or write it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is shorter than its header says it is.
    #[error("ends too early: {n_bytes} bytes, but the header alone has {n_header_bytes}")]
    Truncated {
        /// The size of the file.
        n_bytes: u64,
        /// The size of the header with the eight bytes of its length.
        n_header_bytes: u64,
    },
    /// The elements end before or after the end of the file.
    #[error("the tensors named in the header do not fill the file: it is damaged or incomplete")]
    Size,
    /// It is not in the safetensors format, or its header contradicts itself.
    #[error("not a safetensors file: {0}")]
    Format(SafeTensorError),
    /// A tensor is of a type that does not exist here.
    #[error(
        "tensor `{name}` is of type {dtype}; F32, F64, I32, I64, U8 and BOOL can be read, BF16 and F16 as F32"
    )]
    DType {
        /// The tensor.
        name: String,
        /// Its type, as the format calls it.
        dtype: Dtype,
    },
    /// A truth value is neither 0 nor 1.
    #[error("element {index} of tensor `{name}` is {value}, not a truth value")]
    NotBool {
        /// The tensor.
        name: String,
        /// The position of the element.
        index: usize,
        /// The byte found.
        value: u8,
    },
    /// Two tensors to be saved have one name.
    #[error("two tensors are called `{0}`")]
    DuplicateName(String),
    /// A tensor to be saved has the name under which the format keeps its metadata.
    #[error("no tensor can be called `{METADATA_KEY}`: the format uses this name itself")]
    ReservedName,
}

/// Where the header of the format keeps its metadata.
const METADATA_KEY: &str = "__metadata__";

/// Writes tensors to a file, which afterwards holds all of them or, if that fails, what it held before.
///
/// Errors: the file cannot be written; two tensors have the same name.
pub fn save<'a>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (&'a str, &'a TensorData)>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    let path = path.as_ref();
    let written = || Ok(atomic_file::write(path, &to_bytes(tensors, metadata)?)?);
    written().map_err(|problem| CheckpointError { path: path.to_path_buf(), problem })
}

/// Reads all tensors of a file; BF16 and F16 become `f32`, without loss.
///
/// Errors: the file cannot be read or is damaged; a tensor is of a type that does not exist here.
pub fn load(path: impl AsRef<Path>) -> Result<Checkpoint, CheckpointError> {
    let path = path.as_ref();
    let read = || from_bytes(&fs::read(path)?);
    read().map_err(|problem| CheckpointError { path: path.to_path_buf(), problem })
}

fn to_bytes<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a TensorData)>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, CheckpointProblem> {
    let mut names = BTreeSet::new();
    let mut saved = Vec::new();
    for (name, data) in tensors {
        if name == METADATA_KEY {
            return Err(CheckpointProblem::ReservedName);
        }
        if !names.insert(name) {
            return Err(CheckpointProblem::DuplicateName(name.to_string()));
        }
        saved.push((name, Saved(data)));
    }
    let bytes = serialize(saved, None).map_err(CheckpointProblem::Format)?;
    Ok(if metadata.is_empty() { bytes } else { with_metadata(&bytes, metadata) })
}

/// Puts metadata into the header. The crate would take them from a hash map, in another order each time.
fn with_metadata(bytes: &[u8], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let (length, rest) = bytes.split_first_chunk().expect("a length comes first");
    let (header, elements) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let entries = header.trim_ascii().strip_prefix(b"{").expect("a header is a JSON object");
    let pairs: Vec<String> =
        metadata.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
    let comma = if entries == b"}" { "" } else { "," };
    let mut header = format!("{{\"{METADATA_KEY}\":{{{}}}{comma}", pairs.join(",")).into_bytes();
    header.extend(entries);
    // The elements begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, elements].concat()
}

/// A text as a JSON string (RFC 8259, section 7).
pub(crate) fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\0'..='\x1F' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A tensor as the crate wants to see it.
struct Saved<'a>(&'a TensorData);

impl View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            DType::I32 => Dtype::I32,
            DType::I64 => Dtype::I64,
            DType::U8 => Dtype::U8,
            DType::Bool => Dtype::BOOL,
        }
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.0.storage() {
            Storage::F32(elements) => encode(elements, |x| x.to_le_bytes()),
            Storage::F64(elements) => encode(elements, |x| x.to_le_bytes()),
            Storage::I32(elements) => encode(elements, |x| x.to_le_bytes()),
            Storage::I64(elements) => encode(elements, |x| x.to_le_bytes()),
            Storage::U8(elements) => Cow::Borrowed(elements),
            Storage::Bool(elements) => encode(elements, |x| [u8::from(x)]),
        }
    }

    fn data_len(&self) -> usize {
        self.0.n_elements() * self.0.dtype().n_bytes()
    }
}

fn encode<T: Copy, const N: usize>(elements: &[T], bytes: impl Fn(T) -> [u8; N]) -> Cow<'static, [u8]> {
    Cow::Owned(elements.iter().flat_map(|element| bytes(*element)).collect())
}

fn from_bytes(bytes: &[u8]) -> Result<Checkpoint, CheckpointProblem> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| problem(error, bytes))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| problem(error, bytes))?;
    let metadata =
        header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        tensors.insert(name.to_string(), tensor(name, &view)?);
    }
    Ok(Checkpoint { tensors, metadata })
}

/// What the crate says, more precisely where a damaged file is the likely reason.
fn problem(error: SafeTensorError, bytes: &[u8]) -> CheckpointProblem {
    let n_bytes = bytes.len() as u64;
    match error {
        SafeTensorError::HeaderTooSmall => CheckpointProblem::Truncated { n_bytes, n_header_bytes: 8 },
        SafeTensorError::InvalidHeaderLength => {
            let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
            CheckpointProblem::Truncated { n_bytes, n_header_bytes: length.saturating_add(8) }
        }
        SafeTensorError::MetadataIncompleteBuffer => CheckpointProblem::Size,
        other => CheckpointProblem::Format(other),
    }
}

fn tensor(name: &str, view: &TensorView<'_>) -> Result<TensorData, CheckpointProblem> {
    let shape = view.shape();
    let bytes = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => decode(shape, bytes, f32::from_le_bytes),
        Dtype::F64 => decode(shape, bytes, f64::from_le_bytes),
        Dtype::I32 => decode(shape, bytes, i32::from_le_bytes),
        Dtype::I64 => decode(shape, bytes, i64::from_le_bytes),
        Dtype::U8 => decode(shape, bytes, u8::from_le_bytes),
        Dtype::BF16 => decode(shape, bytes, |half| widen_bf16(u16::from_le_bytes(half))),
        Dtype::F16 => decode(shape, bytes, |half| widen_f16(u16::from_le_bytes(half))),
        Dtype::BOOL => {
            if let Some(index) = bytes.iter().position(|byte| *byte > 1) {
                return Err(CheckpointProblem::NotBool {
                    name: name.to_string(),
                    index,
                    value: bytes[index],
                });
            }
            decode(shape, bytes, |[byte]: [u8; 1]| byte == 1)
        }
        dtype => return Err(CheckpointProblem::DType { name: name.to_string(), dtype }),
    })
}

/// The tensor of these bytes, of which there are as many as the shape needs: the crate has checked it.
fn decode<T: Element, const N: usize>(
    shape: &[usize],
    bytes: &[u8],
    element: impl Fn([u8; N]) -> T,
) -> TensorData {
    let elements = bytes.as_chunks().0.iter().map(|chunk| element(*chunk)).collect();
    TensorData::new(shape.iter().copied().collect::<kiln_ir::Shape>(), elements)
}

/// The value of a bfloat16: the upper half of a binary32.
fn widen_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The value of an IEEE 754 binary16: 1 bit of sign, 5 of exponent (bias 15), 10 of mantissa.
fn widen_f16(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1F;
    let mantissa = u32::from(bits) & 0x3FF;
    let magnitude = match exponent {
        // Zero and subnormal numbers: the mantissa counts steps of 2^-24.
        0 => mantissa as f32 * (1.0 / 16_777_216.0),
        // Infinity and NaN, whose payload moves to the top as in every conversion in hardware.
        0x1F => f32::from_bits(0x7F80_0000 | mantissa << 13),
        _ => f32::from_bits((exponent + (127 - 15)) << 23 | mantissa << 13),
    };
    f32::from_bits(magnitude.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_types() -> BTreeMap<String, TensorData> {
        let tensors = [
            (
                "f32",
                TensorData::new([2, 3], vec![0.0f32, -0.0, 1.5, f32::INFINITY, f32::MIN_POSITIVE, -3e38]),
            ),
            ("f64", TensorData::new([2], vec![std::f64::consts::PI, -1e-300])),
            ("i32", TensorData::new([3], vec![i32::MIN, -1, i32::MAX])),
            ("i64", TensorData::new([1, 2], vec![i64::MIN, i64::MAX])),
            ("u8", TensorData::new([4], vec![0u8, 1, 128, 255])),
            ("bool", TensorData::new([3], vec![true, false, true])),
            ("scalar", TensorData::scalar(7.0f32)),
            ("empty", TensorData::new([3, 0, 2], Vec::<f32>::new())),
        ];
        tensors.map(|(name, data)| (name.to_string(), data)).into()
    }

    fn entries(tensors: &BTreeMap<String, TensorData>) -> impl Iterator<Item = (&str, &TensorData)> {
        tensors.iter().map(|(name, data)| (name.as_str(), data))
    }

    /// A file with this header and these bytes after it.
    fn raw(header: &str, elements: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), elements].concat()
    }

    fn error(bytes: &[u8]) -> String {
        from_bytes(bytes).expect_err("the file is bad").to_string()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("all.safetensors");
        let text = |key: &str, value: &str| (key.to_string(), value.to_string());
        let metadata =
            [text("step", "12"), text("odd \"key\"\\", "line\nbreak, tab\t, é, 🔥"), text("", "")].into();
        for metadata in [BTreeMap::new(), metadata] {
            for tensors in [all_types(), BTreeMap::new()] {
                save(&path, entries(&tensors), &metadata).unwrap();
                assert_eq!(load(&path).unwrap(), Checkpoint { tensors, metadata: metadata.clone() });
            }
        }
    }

    #[test]
    fn the_same_tensors_give_the_same_bytes_in_whatever_order() {
        let tensors = all_types();
        let metadata: BTreeMap<_, _> = (0..10).map(|i| (format!("k{i}"), i.to_string())).collect();
        let bytes = to_bytes(entries(&tensors), &metadata).unwrap();
        let mut reversed: Vec<_> = entries(&tensors).collect();
        reversed.reverse();
        assert_eq!(to_bytes(reversed, &metadata).unwrap(), bytes);
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        assert_eq!(length % 8, 0, "the elements are aligned");
    }

    #[test]
    fn names_that_cannot_be_saved_are_errors() {
        let data = TensorData::scalar(1.0f32);
        let error = |names: [&'static str; 2]| {
            to_bytes(names.map(|name| (name, &data)), &BTreeMap::new()).unwrap_err().to_string()
        };
        assert_eq!(error(["a", "a"]), "two tensors are called `a`");
        assert_eq!(
            error(["a", METADATA_KEY]),
            "no tensor can be called `__metadata__`: the format uses this name itself"
        );
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_or_goes_on_is_an_error() {
        let mut bytes = to_bytes(entries(&all_types()), &BTreeMap::new()).unwrap();
        for n_bytes in 0..bytes.len() {
            assert!(from_bytes(&bytes[..n_bytes]).is_err(), "{n_bytes} of {} bytes", bytes.len());
        }
        assert_eq!(error(&bytes[..3]), "ends too early: 3 bytes, but the header alone has 8");
        let size = "the tensors named in the header do not fill the file: it is damaged or incomplete";
        assert_eq!(error(&bytes[..bytes.len() - 1]), size);
        bytes.push(0);
        assert_eq!(error(&bytes), size);
    }

    #[test]
    fn damaged_headers_are_errors() {
        assert_eq!(error(&u64::MAX.to_le_bytes()), "not a safetensors file: header too large");
        assert_eq!(error(&1000u64.to_le_bytes()), "ends too early: 8 bytes, but the header alone has 1008");
        assert!(error(&raw("{\"a\"", &[])).starts_with("not a safetensors file: invalid JSON in header"));
        assert!(error(b"PK\x03\x04 some other kind of file").starts_with("not a safetensors file: "));
        let overflow =
            r#"{"a":{"dtype":"F32","shape":[4294967295,4294967295,4294967295],"data_offsets":[0,4]}}"#;
        assert!(error(&raw(overflow, &[0; 4])).starts_with("not a safetensors file: "));
        let mismatch = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
        assert!(error(&raw(mismatch, &[0; 4])).starts_with("not a safetensors file: "));
    }

    #[test]
    fn types_and_values_that_do_not_exist_here_are_errors() {
        let header = |dtype| format!(r#"{{"w":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,2]}}}}"#);
        assert_eq!(
            error(&raw(&header("I8"), &[0; 2])),
            "tensor `w` is of type I8; F32, F64, I32, I64, U8 and BOOL can be read, BF16 and F16 as F32"
        );
        assert_eq!(error(&raw(&header("BOOL"), &[1, 2])), "element 1 of tensor `w` is 2, not a truth value");
    }

    #[test]
    fn an_error_names_the_file() {
        let error = load("no/such/file").unwrap_err().to_string();
        assert!(error.starts_with("no/such/file: "), "{error}");
        let error = save("no/such/file", entries(&all_types()), &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.starts_with("no/such/file: "), "{error}");
    }

    /// By the definition of the format, in f64, where every step is exact.
    #[test]
    fn every_f16_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
            let magnitude = match exponent {
                0 => mantissa * 2f64.powi(-24),
                0x1F if mantissa == 0.0 => f64::INFINITY,
                0x1F => f64::NAN,
                _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
            };
            let value = f64::from(widen_f16(bits));
            assert!(value.abs() == magnitude || value.is_nan() && magnitude.is_nan(), "{bits:#x}: {value}");
            assert_eq!(value.is_sign_negative(), bits >> 15 == 1, "{bits:#x}");
        }
    }

    #[test]
    fn half_precision_is_read_as_f32() {
        let header = r#"{"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"h":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}}"#;
        let elements = [0x80, 0x3F, 0x00, 0xC0, 0x00, 0x3C, 0x00, 0xC0];
        let read = from_bytes(&raw(header, &elements)).unwrap();
        let expected = TensorData::new([2], vec![1.0f32, -2.0]);
        assert_eq!((&read.tensors["b"], &read.tensors["h"]), (&expected, &expected));
    }

    #[test]
    fn recorded_parameters_are_read() {
        let Some(trace) = crate::data::testing::shared("traces/mlp") else { return };
        let parameters = load(trace.join("init.safetensors")).unwrap().tensors;
        assert!(!parameters.is_empty());
        assert!(parameters.values().all(|data| data.dtype() == DType::F32));
    }
}
