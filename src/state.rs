//! The state of programs: parameters, optimizer state, counters. It lives between steps, and several programs (a training
//! step, an evaluation) can work on the same state.

use crate::runtime::{AlignedBuffer, advise_large_pages};
use kiln_ir::data::Storage;
use kiln_ir::{DType, TensorData, TensorType};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Bytes of a state that several threads write: for less, starting them takes a share of the time.
const LARGE: usize = 64 << 20;

/// One buffer per state input of a program, in the order of the inputs.
pub struct State {
    buffers: Vec<AlignedBuffer>,
    types: Vec<TensorType>,
}

impl State {
    /// Zeros of these types.
    pub fn new(types: &[TensorType]) -> State {
        let buffers = types.iter().map(|ty| AlignedBuffer::zeroed(ty.n_bytes())).collect();
        State { buffers, types: types.to_vec() }
    }

    /// Values of these types, each written over zeros by `write`: large states on all cores, since the system takes its time to
    /// give the memory.
    pub(crate) fn written(types: &[TensorType], write: impl Fn(usize, &mut [u8]) + Sync) -> State {
        let mut state = State::new(types);
        let n_bytes: usize = types.iter().map(TensorType::n_bytes).sum();
        let n_threads =
            if n_bytes < LARGE { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
        let buffers = Mutex::new(state.buffers.iter_mut().enumerate());
        let work = || {
            loop {
                let next = buffers.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((i, buffer)) = next else { return };
                buffer.populate();
                write(i, buffer.as_mut_slice());
            }
        };
        thread::scope(|scope| {
            // Where the system gives no thread, this one does it all.
            let more = (1..n_threads).map(|_| thread::Builder::new().spawn_scoped(scope, work));
            more.for_each(drop);
            work();
        });
        state
    }

    /// The types, in order.
    pub fn types(&self) -> &[TensorType] {
        &self.types
    }

    /// Sets one value.
    ///
    /// # Panics
    /// When the value is of another type.
    pub fn set(&mut self, i: usize, value: &TensorData) {
        assert_eq!(value.ty(), self.types[i], "state {i} has another type");
        write_bytes(value, self.buffers[i].as_mut_slice());
    }

    /// A copy of one value.
    pub fn get(&self, i: usize) -> TensorData {
        read_bytes(&self.types[i], self.buffers[i].as_slice())
    }

    /// A value that is one `f64`, read without allocating.
    ///
    /// # Panics
    /// When the value is of another type.
    pub(crate) fn scalar(&self, i: usize) -> f64 {
        assert_eq!(self.types[i], TensorType::scalar(DType::F64), "state {i} has another type");
        let bytes = self.buffers[i].as_slice().try_into().expect("an `f64` has eight bytes");
        f64::from_ne_bytes(bytes)
    }

    /// Sets a value that is one `f64`, without allocating.
    ///
    /// # Panics
    /// When the value is of another type.
    pub(crate) fn set_scalar(&mut self, i: usize, value: f64) {
        assert_eq!(self.types[i], TensorType::scalar(DType::F64), "state {i} has another type");
        self.buffers[i].as_mut_slice().copy_from_slice(&value.to_ne_bytes());
    }

    /// Address of a value's elements, for a program to work on.
    pub(crate) fn pointer(&mut self, i: usize) -> *mut u8 {
        self.buffers[i].as_mut_ptr()
    }
}

/// Address of the elements of a host tensor.
pub(crate) fn data_pointer(data: &TensorData) -> *const u8 {
    match data.storage() {
        Storage::F32(v) => v.as_ptr().cast(),
        Storage::F64(v) => v.as_ptr().cast(),
        Storage::I32(v) => v.as_ptr().cast(),
        Storage::I64(v) => v.as_ptr().cast(),
        Storage::U8(v) => v.as_ptr(),
        Storage::Bool(v) => v.as_ptr().cast(),
    }
}

/// Address of the elements of a host tensor, to write them.
pub(crate) fn data_pointer_mut(data: &mut TensorData) -> *mut u8 {
    match data.storage_mut() {
        Storage::F32(v) => v.as_mut_ptr().cast(),
        Storage::F64(v) => v.as_mut_ptr().cast(),
        Storage::I32(v) => v.as_mut_ptr().cast(),
        Storage::I64(v) => v.as_mut_ptr().cast(),
        Storage::U8(v) => v.as_mut_ptr(),
        Storage::Bool(v) => v.as_mut_ptr().cast(),
    }
}

/// Writes the elements of a tensor as bytes.
pub(crate) fn write_bytes(data: &TensorData, bytes: &mut [u8]) {
    match data.storage() {
        Storage::F32(v) => copy_elements(v, bytes, f32::to_ne_bytes),
        Storage::F64(v) => copy_elements(v, bytes, f64::to_ne_bytes),
        Storage::I32(v) => copy_elements(v, bytes, i32::to_ne_bytes),
        Storage::I64(v) => copy_elements(v, bytes, i64::to_ne_bytes),
        Storage::U8(v) => bytes.copy_from_slice(v),
        Storage::Bool(v) => copy_elements(v, bytes, |b| [b as u8]),
    }
}

fn copy_elements<T: Copy, const N: usize>(elements: &[T], bytes: &mut [u8], to_bytes: impl Fn(T) -> [u8; N]) {
    for (element, bytes) in elements.iter().zip(bytes.chunks_exact_mut(N)) {
        bytes.copy_from_slice(&to_bytes(*element));
    }
}

/// A tensor from its elements as bytes. A byte that is no truth value counts as true.
pub(crate) fn read_bytes(ty: &TensorType, bytes: &[u8]) -> TensorData {
    fn elements<T, const N: usize>(bytes: &[u8], from_bytes: impl Fn([u8; N]) -> T) -> Vec<T> {
        let mut elements = Vec::with_capacity(bytes.len() / N);
        advise_large_pages(elements.spare_capacity_mut());
        let chunks = bytes.chunks_exact(N);
        elements.extend(chunks.map(|chunk| from_bytes(chunk.try_into().expect("chunks of N bytes"))));
        elements
    }
    let shape = ty.shape.clone();
    match ty.dtype {
        DType::F32 => TensorData::new(shape, elements(bytes, f32::from_ne_bytes)),
        DType::F64 => TensorData::new(shape, elements(bytes, f64::from_ne_bytes)),
        DType::I32 => TensorData::new(shape, elements(bytes, i32::from_ne_bytes)),
        DType::I64 => TensorData::new(shape, elements(bytes, i64::from_ne_bytes)),
        DType::U8 => TensorData::new(shape, bytes.to_vec()),
        DType::Bool => TensorData::new(shape, elements(bytes, |[b]: [u8; 1]| b != 0)),
    }
}
