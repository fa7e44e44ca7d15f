//! Residual networks.

use crate::nn::{BatchNorm2d, Conv2d, Init, Linear, Model, Sequential};
use crate::tensor::Tensor;

/// ResNet-18 for images of 32 x 32: a first convolution of 3 x 3 and no first pooling.
///
/// Input `[n, 3, h, w]`, output `[n, classes]`. Source: He and others, *Deep Residual Learning for Image Recognition*,
/// 2016.
pub struct Resnet18 {
    /// The first convolution.
    pub conv1: Conv2d,
    /// After the first convolution.
    pub bn1: BatchNorm2d,
    /// Two blocks of 64 channels.
    pub layer1: Vec<BasicBlock>,
    /// Two blocks of 128 channels.
    pub layer2: Vec<BasicBlock>,
    /// Two blocks of 256 channels.
    pub layer3: Vec<BasicBlock>,
    /// Two blocks of 512 channels.
    pub layer4: Vec<BasicBlock>,
    /// The scores of the classes.
    pub fc: Linear,
}
crate::parameters!(Resnet18 { conv1, bn1, layer1, layer2, layer3, layer4, fc });

/// Two convolutions, and beside them a way that leaves its input as it is or brings it to the shape of the output.
pub struct BasicBlock {
    /// The first convolution, with the block's stride.
    pub conv1: Conv2d,
    /// After the first convolution.
    pub bn1: BatchNorm2d,
    /// The second convolution.
    pub conv2: Conv2d,
    /// After the second convolution.
    pub bn2: BatchNorm2d,
    /// The other way, where input and output have different shapes.
    pub downsample: Option<Sequential>,
}
crate::parameters!(BasicBlock { conv1, bn1, conv2, bn2, downsample });

/// A convolution without bias.
fn conv(n_in: usize, n_out: usize, kernel: usize, stride: usize) -> Conv2d {
    let conv = Conv2d::new(n_in, n_out, kernel).stride(stride).padding(kernel / 2).without_bias();
    conv.weight_init(Init::KaimingNormalFanOut { slope: 0.0 })
}

impl Resnet18 {
    /// A new model of so many channels and classes.
    pub fn new(channels: usize, classes: usize) -> Resnet18 {
        let layer = |n_in, n_out, stride| {
            vec![BasicBlock::new(n_in, n_out, stride), BasicBlock::new(n_out, n_out, 1)]
        };
        Resnet18 {
            conv1: conv(channels, 64, 3, 1),
            bn1: BatchNorm2d::new(64),
            layer1: layer(64, 64, 1),
            layer2: layer(64, 128, 2),
            layer3: layer(128, 256, 2),
            layer4: layer(256, 512, 2),
            fc: Linear::new(512, classes),
        }
    }
}

impl Model for Resnet18 {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.bn1.forward(&self.conv1.forward(x)).relu();
        let layers = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        let x = layers.into_iter().flatten().fold(x, |x, block| block.forward(&x));
        self.fc.forward(&x.mean([2, 3]))
    }
}

impl BasicBlock {
    fn new(n_in: usize, n_out: usize, stride: usize) -> BasicBlock {
        let downsample =
            || Sequential::new().then(conv(n_in, n_out, 1, stride)).then(BatchNorm2d::new(n_out));
        BasicBlock {
            conv1: conv(n_in, n_out, 3, stride),
            bn1: BatchNorm2d::new(n_out),
            conv2: conv(n_out, n_out, 3, 1),
            bn2: BatchNorm2d::new(n_out),
            downsample: (stride != 1 || n_in != n_out).then(downsample),
        }
    }
}

impl Model for BasicBlock {
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.bn1.forward(&self.conv1.forward(x)).relu();
        let y = self.bn2.forward(&self.conv2.forward(&y));
        let beside = self.downsample.as_ref().map_or_else(|| x.clone(), |layers| layers.forward(x));
        (y + beside).relu()
    }
}
