//! How much work a step of a model is.
//!
//! Counts are those of the comparison with other frameworks: what the mathematics asks for, two operations a multiply-add of
//! products and convolutions, whatever a program does; bytes are the traffic of parameters.

use crate::cli::workloads::ModelWorkload;
use crate::models::GptConfig;

/// Work of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Floating-point operations of products and convolutions, if there are any.
    pub flops: Option<f64>,
    /// Bytes that must cross memory.
    pub bytes: Option<f64>,
}

impl ModelWorkload {
    /// Work of one step.
    pub(super) fn work(self) -> Work {
        match self {
            // Reads and writes of a step of SGD (3 words a parameter more), or of Adam (7).
            ModelWorkload::Xor => training(4, &[16, 8], 33, 6),
            ModelWorkload::Mlp => training(128, &[784 * 512, 512 * 256, 256 * 10], 535_818, 10),
            ModelWorkload::Cnn => {
                let convolutions = [26 * 26 * 32 * 9, 24 * 24 * 64 * 32 * 9];
                let layers = [convolutions[0], convolutions[1], 9216 * 128, 128 * 10];
                training(64, &layers, 1_199_882, 10)
            }
            // No gradient ends at the input of a first layer that is a table.
            ModelWorkload::Lstm => training(32, &[0, 64 * ((128 + 256) * 1024 + 256 * 65)], 420_289, 10),
            ModelWorkload::Gpt => training(12, &[0, gpt_multiply_adds(GptConfig::SMALL)], 804_096, 10),
            ModelWorkload::Gpt2 => training(1, &[0, gpt_multiply_adds(GptConfig::GPT2)], 123_849_984, 10),
            ModelWorkload::Resnet18 => training(32, &RESNET18_MULTIPLY_ADDS, 11_173_962, 8),
            ModelWorkload::Vae => training(128, &[784 * 400, 3 * 400 * 20, 400 * 784], 652_824, 10),
            ModelWorkload::Dcgan => dcgan(),
            ModelWorkload::Ddpm => training(32, &DDPM_MULTIPLY_ADDS, 797_345, 10),
            ModelWorkload::MlpInfer => inference(784 * 512 + 512 * 256 + 256 * 10, 535_818),
            ModelWorkload::GptInfer => inference(gpt_multiply_adds(GptConfig::SMALL), 804_096),
            ModelWorkload::Gpt2Infer => inference(gpt_multiply_adds(GptConfig::GPT2), 123_849_984),
            ModelWorkload::Resnet18Infer => inference(RESNET18_MULTIPLY_ADDS.iter().sum(), 11_173_962),
        }
    }
}

/// Work of a step of training. Layers have so many multiply-adds a sample, each three times: for the prediction, for the
/// gradient of its parameters and for that of its input, which the first layer needs not.
fn training(batch: usize, layers: &[usize], n_parameters: usize, words: usize) -> Work {
    let multiply_adds = batch * (3 * layers.iter().sum::<usize>() - layers[0]);
    Work { flops: Some(2.0 * multiply_adds as f64), bytes: Some((4 * words * n_parameters) as f64) }
}

/// Work of a prediction.
fn inference(multiply_adds: usize, n_parameters: usize) -> Work {
    Work { flops: Some(2.0 * multiply_adds as f64), bytes: Some(4.0 * n_parameters as f64) }
}

/// Multiply-adds of a transformer for one sequence, of which attention is counted as if nothing were masked.
fn gpt_multiply_adds(config: GptConfig) -> usize {
    let GptConfig { layers, width, context, vocabulary, .. } = config;
    let products = 12 * layers * width * width + vocabulary * width;
    context * products + 2 * layers * context * context * width
}

/// Multiply-adds of ResNet-18 for one image: first convolution, the four stages, the last layer.
const RESNET18_MULTIPLY_ADDS: [usize; 6] = {
    const SAME: usize = 64 * 64 * 9 * 1024;
    // Half the pixels along each axis and twice the channels: the first convolution of a stage is half of the others.
    const STAGE: usize = 3 * SAME + SAME / 2 + 64 * 128 * 256;
    [3 * 64 * 9 * 1024, 4 * SAME, STAGE, STAGE, STAGE, 512 * 10]
};

/// Multiply-adds of the diffusion model for one image: stem, the way down, the middle, the way up, the last convolution.
const DDPM_MULTIPLY_ADDS: [usize; 5] = {
    const BLOCK: usize = 2 * 32 * 32 * 9 * 1024;
    // A block with a skip: its first convolution has twice the channels as input, and so has its way around.
    const UP: usize = BLOCK + BLOCK + BLOCK / 2 + 64 * 32 * 1024;
    [32 * 9 * 1024, 2 * (BLOCK + BLOCK / 4), BLOCK, 2 * UP, 32 * 9 * 1024]
};

/// Work of a step of the pair: the discriminator on real and made images, then the generator through it.
fn dcgan() -> Work {
    let (first_g, first_d) = (64 * 128 * 16, 32 * 16 * 256);
    let generator = first_g + 128 * 64 * 16 * 16 + 64 * 32 * 16 * 64 + 32 * 16 * 256;
    let discriminator = first_d + 32 * 64 * 16 * 64 + 64 * 128 * 16 * 16 + 128 * 16;
    // Of the discriminator, the generator needs no gradients of parameters.
    let multiply_adds = 3 * generator - first_g + 2 * (3 * discriminator - first_d) + 2 * discriminator;
    Work { flops: Some(2.0 * 32.0 * multiply_adds as f64), bytes: Some(4.0 * 10.0 * 462_656.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against what PyTorch counts for the same workloads.
    #[test]
    fn work_is_that_of_the_comparison() {
        let gflop = |workload: ModelWorkload| workload.work().flops.unwrap() / 1e9;
        assert!((gflop(ModelWorkload::Mlp) - 0.3081).abs() < 1e-3);
        assert!((gflop(ModelWorkload::Cnn) - 4.580).abs() < 5e-3);
        let near = |workload, expected: f64| {
            let found = gflop(workload);
            assert!((found / expected - 1.0).abs() < 0.02, "{found} instead of {expected}");
        };
        near(ModelWorkload::Gpt, 3.96);
        near(ModelWorkload::Gpt2, 197.0);
        near(ModelWorkload::Resnet18, 106.5);
        near(ModelWorkload::Vae, 0.42);
        near(ModelWorkload::Dcgan, 3.05);
        near(ModelWorkload::Ddpm, 31.7);
    }
}
