//! What a [`Gpt`] remembers while it writes: one token at a time, without computing the ones before again.

use super::{Gpt, GptConfig};
use crate::nn::{Init, Model, Module, Param, Visitor};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// The keys and values of the tokens that a [`Gpt`] has seen, and how many there are: buffers, so that they are part of
/// a trainer's state and a program of it can go on where the last run ended.
///
/// Source: Shazeer, *Fast Transformer Decoding: One Write-Head is All You Need*, 2019, section 2.4.1.
#[derive(Debug)]
pub struct GptCache {
    /// Of each block, `[1, heads, context, width / heads]`.
    keys: Vec<Param>,
    values: Vec<Param>,
    place: Param,
}

impl Module for GptCache {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        visitor.child("keys", &self.keys);
        visitor.child("values", &self.values);
        visitor.child("place", &self.place);
    }
}

impl GptCache {
    /// An empty cache for a model of this configuration.
    pub fn new(config: GptConfig) -> GptCache {
        let shape = [1, config.heads, config.context, config.width / config.heads];
        let buffers = || (0..config.layers).map(|_| Param::buffer(shape, Init::Zeros)).collect();
        let place = Param::buffer([], Init::Zeros).with_dtype(DType::I64);
        GptCache { keys: buffers(), values: buffers(), place }
    }
}

impl Gpt {
    /// The scores `[1, 1, vocabulary]` of what follows a token `[1, 1]`, which comes after those that the cache has seen; the
    /// token is added to the cache. For a
    /// [training program](crate::trainer::TrainerBuilder::training_program), since outside of training buffers do not
    /// change.
    ///
    /// The cache holds as many tokens as the model has positions. Where it has seen more, the result means nothing: begin
    /// again by setting the parameter `place` of the cache to 0.
    #[track_caller]
    pub fn decode(&self, token: &Tensor, cache: &GptCache) -> Tensor {
        let place = cache.place.of(token);
        let mut x = self.wte.forward(token) + self.wpe.weight.of(token).index_select(0, &place.reshape([1]));
        for (block, (keys, values)) in self.h.iter().zip(cache.keys.iter().zip(&cache.values)) {
            x = block.with_attention(&x, |[q, k, v]| {
                let [all_keys, all_values] = [(keys, k), (values, v)].map(|(cached, new)| {
                    let before = cached.of(token);
                    let all = positions(&before, 2).eq(&place).select(&new, &before);
                    cached.set(&all);
                    all
                });
                let seen = positions(&all_keys, 2).select_index(-1, 0).le(&place).unsqueeze(-2);
                q.attention(&all_keys, &all_values, Some(&seen), false)
            });
        }
        cache.place.set(&(&place + 1));
        self.scores(&x)
    }
}

/// The index of each element along an axis.
fn positions(like: &Tensor, axis: usize) -> Tensor {
    like.iota(DType::I64, like.shape().clone(), axis)
}
