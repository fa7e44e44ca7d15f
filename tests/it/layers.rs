//! Layers against PyTorch 2.15 in `f64`.

use crate::support::{assert_within, run};
use kiln::Border;
use kiln::nn::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, Mask, Pad, PixelShuffle, PixelUnshuffle, Step, TransformerDecoder,
    TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer, Upsample,
};
use kiln::prelude::*;
use std::collections::BTreeMap;

/// `[1, 1, 3, 4]`: the numbers from 0 to 11, to the power of 1.5.
fn image() -> TensorData {
    TensorData::new([1, 1, 3, 4], (0..12).map(|i| f64::from(i).powf(1.5)).collect::<Vec<_>>())
}

/// Checks what a layer makes of the image.
#[track_caller]
fn check(layer: &dyn Model, extents: &[usize], expected: &[f64]) {
    let result = run(&[image()], |x| layer.forward(&x[0]));
    assert_eq!(result.shape().extents(), extents);
    assert_within(&result, expected, 1e-8);
}

#[test]
fn upsampling() {
    let linear = [
        0.0,
        0.5,
        1.304737854,
        2.523689271,
        4.012289774,
        5.196152423,
        4.0,
        5.045084972,
        6.535588752,
        8.317263983,
        10.310444295,
        11.8582058,
        10.437902833,
        12.12742637,
        14.433776835,
        16.901084552,
        19.515969789,
        21.514028097,
        20.189514165,
        22.276452073,
        25.103125581,
        28.062067978,
        31.145453676,
        33.489103774,
    ];
    check(&Upsample::linear(1.5), &[1, 1, 4, 6], &linear);
    let (a, b, c) = ([0.0, 0.0, 1.0, 1.0], [8.0, 8.0], [11.180339887, 11.180339887]);
    let first = [&a[..], &[2.828427125; 2]].concat();
    let second = [&b[..], &c, &[14.696938457; 2]].concat();
    let third = [22.627416998, 22.627416998, 27.0, 27.0, 31.622776602, 31.622776602];
    let nearest = [&first[..], &first, &second, &second, &third].concat();
    check(&Upsample::nearest(1.7), &[1, 1, 5, 6], &nearest);
}

#[test]
fn nearest_neighbours_of_whole_scales_are_repeated() {
    let values = image().to_f64_vec();
    let expected: Vec<f64> = (0..6 * 8).map(|i| values[i / 8 / 2 * 4 + i % 8 / 2]).collect();
    check(&Upsample::nearest(2.0), &[1, 1, 6, 8], &expected);
}

#[test]
fn borders() {
    let expected = [
        1.0,
        0.0,
        1.0,
        2.828427125,
        5.196152423,
        11.180339887,
        8.0,
        11.180339887,
        14.696938457,
        18.520259177,
        27.0,
        22.627416998,
        27.0,
        31.622776602,
        36.482872694,
        11.180339887,
        8.0,
        11.180339887,
        14.696938457,
        18.520259177,
        1.0,
        0.0,
        1.0,
        2.828427125,
        5.196152423,
    ];
    check(&Pad::new(&[(0, 2), (1, 0)], Border::Reflect), &[1, 1, 5, 5], &expected);
}

#[test]
fn adaptive_pooling() {
    let mean = [5.045084972, 7.426426367, 10.310444295, 17.201939221, 21.125013736, 25.330711732];
    check(&AdaptiveAvgPool2d::new([2, 3]), &[1, 1, 2, 3], &mean);
    let max = [11.180339887, 14.696938457, 18.520259177, 27.0, 31.622776602, 36.482872694];
    check(&AdaptiveMaxPool2d::new([2, 3]), &[1, 1, 2, 3], &max);
}

#[test]
fn pixels_and_channels() {
    let values: Vec<f64> = (0..16).map(f64::from).collect();
    let x = TensorData::new([1, 4, 2, 2], values.clone());
    let shuffled = run(&[&x], |x| PixelShuffle(2).forward(&x[0]));
    // Channel `2 i + j` holds the pixels at rows `2 h + i` and columns `2 w + j`.
    let expected = [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15].map(f64::from);
    assert_within(&shuffled, &expected, 0.0);
    assert_within(&run(&[&shuffled], |x| PixelUnshuffle(2).forward(&x[0])), &values, 0.0);
}

#[test]
fn steps() {
    let x = TensorData::new([4], vec![-2.0, 0.0, 1e-9, 3.0]);
    assert_within(&run(&[x], |x| Step(0.5).forward(&x[0])), &[0.0, 0.5, 1.0, 1.0], 0.0);
}

struct Translator {
    encoder: TransformerEncoder,
    decoder: TransformerDecoder,
}
kiln::parameters!(Translator { encoder, decoder });

#[test]
fn stacks_of_transformer_layers() {
    let model = Translator {
        encoder: TransformerEncoder::new(2, || TransformerEncoderLayer::new(4, 2, 6))
            .norm(LayerNorm::new([4])),
        decoder: TransformerDecoder::new(2, || {
            TransformerDecoderLayer::new(4, 2, 6).norm_first(true).gelu(true)
        }),
    };
    let translate = |x: &[Tensor]| {
        let memory = model.encoder.forward(&x[0]);
        model.decoder.decode(&x[1], &memory, &Mask::causal(), &Mask::none())
    };
    let inputs = [f32(&[3, 2, 4]), f32(&[2, 2, 4])];
    let mut predictor = Trainer::of(&model, translate).compile_for_inference(inputs).unwrap();
    // The same numbers as in PyTorch, by the names of the parameters in alphabetical order.
    let parameters: BTreeMap<String, TensorData> = predictor.parameters().into_iter().collect();
    assert_eq!(parameters.len(), 62);
    let number = |(p, (name, data)): (usize, (String, TensorData))| {
        let least = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let value = |i: usize| (0.3 * (i as f64 * 0.37 + p as f64).sin() + least) as f32;
        (name, TensorData::new(data.shape().clone(), (0..data.n_elements()).map(value).collect()))
    };
    predictor.set_parameters(&parameters.into_iter().enumerate().map(number).collect()).unwrap();
    let made = |extents: &[usize], number: fn(f32) -> f32| {
        let n = extents.iter().product::<usize>();
        TensorData::new(extents, (0..n).map(|i| number(i as f32)).collect())
    };
    let batch = [made(&[3, 2, 4], |i| (i * 0.3).cos()), made(&[2, 2, 4], |i| (i * 0.5).sin())];
    let expected = [
        0.9459096766,
        0.9853643267,
        0.3012610339,
        0.3226628126,
        1.748699356,
        0.6879609607,
        -0.3104921046,
        -0.6941375476,
        0.1518243706,
        -0.598014185,
        -1.444589709,
        -1.288032428,
        0.4931808424,
        0.6910657402,
        0.2429664235,
        0.2842141694,
    ];
    assert_within(&predictor.predict(&batch).unwrap(), &expected, 1e-5);
}
