//! What a program is fed with where there are no data: the form of a tensor, and random values for it.

use crate::nn::Init;
use kiln_ir::{DType, Literal, Shape, TensorData, TensorType, random_data};

/// One tensor of a batch.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Extents but for that of the samples.
    extents: Vec<usize>,
    /// Where the axis of the samples is, if there is one.
    batch_at: Option<usize>,
    /// Whether the last axis is that of the places of a sequence, of which there may be others.
    is_sequence: bool,
    values: Values,
}

/// How large a batch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Samples.
    pub batch: usize,
    /// Places of a sequence, if there shall be others than usual.
    pub length: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Values {
    /// `f32`, normal with mean 0 and variance 1.
    Normal,
    /// `f32`, uniform.
    Uniform { low: f64, high: f64 },
    /// `f32`, 0 or 1.
    Bits,
    /// `i64` below this.
    Whole(usize),
}

impl Feed {
    fn new(extents: &[usize], values: Values) -> Feed {
        Feed { extents: extents.to_vec(), batch_at: Some(0), is_sequence: false, values }
    }

    /// Normal numbers; the extents are those of a sample, as in all of these.
    pub fn normal(extents: &[usize]) -> Feed {
        Feed::new(extents, Values::Normal)
    }

    /// Numbers that are as likely everywhere between two.
    pub fn uniform(extents: &[usize], low: f64, high: f64) -> Feed {
        Feed::new(extents, Values::Uniform { low, high })
    }

    /// Images of which each pixel is a number between 0 and 1.
    pub fn images(extents: &[usize]) -> Feed {
        Feed::uniform(extents, 0.0, 1.0)
    }

    /// Numbers that are 0 or 1.
    pub fn bits(extents: &[usize]) -> Feed {
        Feed::new(extents, Values::Bits)
    }

    /// Numbers of classes, one for each sample.
    pub fn classes(n: usize) -> Feed {
        Feed::new(&[], Values::Whole(n))
    }

    /// Sequences of whole numbers below a bound.
    pub fn sequences(length: usize, bound: usize) -> Feed {
        Feed { is_sequence: true, ..Feed::new(&[length], Values::Whole(bound)) }
    }

    /// The same, with the axis of the samples at this place.
    pub fn batch_at(self, axis: usize) -> Feed {
        Feed { batch_at: Some(axis), ..self }
    }

    /// The same for one sample, however many there are elsewhere.
    pub fn alone(mut self) -> Feed {
        self.extents.insert(0, 1);
        Feed { batch_at: None, is_sequence: false, ..self }
    }

    /// The usual number of places of a sequence.
    pub(crate) fn length(&self) -> Option<usize> {
        self.extents.last().copied().filter(|_| self.is_sequence)
    }

    pub(crate) fn ty(&self, size: Size) -> TensorType {
        let mut extents = self.extents.clone();
        if let (true, Some(length), Some(last)) = (self.is_sequence, size.length, extents.last_mut()) {
            *last = length;
        }
        if let Some(axis) = self.batch_at {
            extents.insert(axis, size.batch);
        }
        let dtype = match self.values {
            Values::Normal | Values::Uniform { .. } | Values::Bits => DType::F32,
            Values::Whole(_) => DType::I64,
        };
        TensorType::new(dtype, Shape::new(&extents))
    }

    /// Random values, the same for the same seed.
    pub(crate) fn random(&self, size: Size, seed: u64) -> TensorData {
        let ty = self.ty(size);
        let whole = |bound: usize| random_data(&ty.with_dtype(DType::I64), seed, 0.0..bound as f64);
        match self.values {
            Values::Normal => Init::Normal { mean: 0.0, std: 1.0 }.sample(&ty, seed, 0),
            Values::Uniform { low, high } => Init::Uniform { low, high }.sample(&ty, seed, 0),
            Values::Whole(bound) => whole(bound),
            Values::Bits => {
                let bits = whole(2);
                TensorData::from_fn(&ty, |i| Literal::from_f64(ty.dtype, bits.get(i).as_f64()))
            }
        }
    }
}
