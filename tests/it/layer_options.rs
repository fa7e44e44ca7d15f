//! Options of layers against PyTorch 2.15: borders and padding of convolutions, norms without scale or with statistics,
//! attention to keys of another width, to appended ones and to some of them, single samples. Made as in `trained_layers`.

use crate::trained_layers::{Expected, check, check_call, check_start, numbers};
use kiln::Border;
use kiln::nn::{
    BatchNorm1d, Bilinear, ConvTranspose1d, GroupNorm, InstanceNorm1d, InstanceNorm2d, Mask,
    MultiheadAttention, RmsNorm, Transformer, TransformerDecoderLayer, TransformerEncoderLayer,
    TransformerMasks,
};
use kiln::prelude::*;

/// Which of three keys each of two sequences has.
fn seen() -> TensorData {
    TensorData::new([2, 3], vec![true, true, false, true, false, true])
}

#[test]
fn borders_of_convolutions() {
    check(
        Conv2d::new(2, 3, 3).padding([1, 2]).border(Border::Reflect),
        &[2, 2, 4, 5],
        Expected([-89.196333, -171.70587, -12.346643], &[("weight", -0.12970336), ("bias", 1.0521213)]),
    );
    check(
        Conv1d::new(2, 3, 4).same_padding().border(Border::Circular),
        &[2, 2, 7],
        Expected([-7.6509671, -9.3251333, -1.164096], &[("weight", 0.46390016), ("bias", 1.0301365)]),
    );
    check(
        Conv2d::new(2, 4, [3, 2]).same_padding().dilation([2, 1]).without_bias(),
        &[2, 2, 6, 5],
        Expected([0.14848244, -0.46125157, 1.6518081], &[("weight", 0.91278005)]),
    );
    check(
        Conv3d::new(1, 2, 2).padding(1).border(Border::Replicate).stride([1, 2, 1]),
        &[1, 1, 3, 4, 3],
        Expected([-2.741344, -7.2423493, 3.9363993], &[("weight", -1.1006792), ("bias", 1.0405519)]),
    );
}

#[test]
fn single_samples() {
    check(
        Conv2d::new(2, 3, 3).padding(1),
        &[2, 4, 5],
        Expected([-3.0162214, -15.698423, -3.6817075], &[("weight", 0.55443828), ("bias", 0.97819929)]),
    );
    check(
        ConvTranspose1d::new(2, 3, 3).stride(2).dilation(2).without_bias(),
        &[2, 4],
        Expected([0.94092168, 0.88357084, 2.7422829], &[("weight", -1.2929848)]),
    );
    check_call(
        MultiheadAttention::new(4, 2),
        numbers(&[3, 4], 0),
        &[],
        |layer, x| layer.forward(x),
        Expected(
            [0.44914294, -0.026784145, 0.26453066],
            &[
                ("in_proj_weight", 0.93959585),
                ("in_proj_bias", -1.8358523),
                ("out_proj.weight", 2.3737189),
                ("out_proj.bias", 0.58635454),
            ],
        ),
    );
    check(
        Lstm::new(3, 4).bidirectional().projected(2),
        &[5, 3],
        Expected(
            [0.0093673319, 0.0088250456, -0.18712069],
            &[
                ("weight_ih_l0", 0.15704867),
                ("weight_hh_l0", -0.7356115),
                ("bias_ih_l0", 1.1267609),
                ("bias_hh_l0", -2.371652),
                ("weight_hr_l0", -0.64723496),
                ("weight_ih_l0_reverse", -0.66955723),
                ("weight_hh_l0_reverse", -2.1786095),
                ("bias_ih_l0_reverse", 2.3724113),
                ("bias_hh_l0_reverse", -1.1553961),
                ("weight_hr_l0_reverse", 1.3673329),
            ],
        ),
    );
}

#[test]
fn normalization_without_parts() {
    check(
        LayerNorm::new([2, 4]).without_bias().eps(1e-2),
        &[3, 2, 4],
        Expected([0.48606038, 0.39372772, -0.80405185], &[("weight", -0.12484565)]),
    );
    check(
        Sequential::new().then(Linear::new(4, 4)).then(LayerNorm::new([4]).without_affine()),
        &[3, 4],
        Expected([0.27677216, 0.24620324, 0.54119898], &[("0.weight", -1.1295938), ("0.bias", 0.53311742)]),
    );
    check(
        RmsNorm::over([2, 4]).eps(1e-3),
        &[3, 2, 4],
        Expected([1.1456322, 1.0555472, 0.1922966], &[("weight", -0.10261802)]),
    );
    check(
        Sequential::new().then(Linear::new(4, 4)).then(RmsNorm::new(4).without_affine()),
        &[3, 4],
        Expected([0.5485738, 0.52436515, 1.1394997], &[("0.weight", -1.1346447), ("0.bias", 0.52633759)]),
    );
    check(
        Sequential::new().then(Linear::new(3, 3)).then(GroupNorm::new(2, 4).without_affine()),
        &[2, 4, 3],
        Expected([-1.0165093, -1.1873126, -2.5914048], &[("0.weight", 1.1377897), ("0.bias", 0.92927276)]),
    );
    check(
        InstanceNorm1d::new(3).affine().running_stats(),
        &[2, 3, 5],
        Expected(
            [-2.1846839, -2.4501922, -0.17234862],
            &[
                ("weight", 0.9667998),
                ("bias", 0.99849787),
                ("running_mean", 0.11754426),
                ("running_var", 1.1482823),
                ("num_batches_tracked", 0.0),
            ],
        ),
    );
    check(
        Sequential::new().then(Linear::new(4, 4)).then(InstanceNorm2d::new(2).running_stats().momentum(0.3)),
        &[2, 2, 3, 4],
        Expected(
            [3.4560322, 2.9719911, -0.81839863],
            &[
                ("0.weight", -0.9433187),
                ("0.bias", 0.51534643),
                ("1.running_mean", 0.5478437),
                ("1.running_var", 1.71994),
                ("1.num_batches_tracked", 0.0),
            ],
        ),
    );
    check(
        BatchNorm1d::new(3).momentum(None),
        &[5, 3],
        Expected(
            [-2.1464791, -2.2464014, -2.1604941],
            &[
                ("weight", 1.0059271),
                ("bias", 0.98843828),
                ("running_mean", -0.0061378829),
                ("running_var", 0.54247246),
                ("num_batches_tracked", 1.910673),
            ],
        ),
    );
    check(
        Sequential::new()
            .then(Linear::new(3, 3))
            .then(BatchNorm1d::new(3).without_affine().without_running_stats()),
        &[5, 3],
        Expected([-2.3728541, -2.4013459, -0.24183102], &[("0.weight", 1.2204757), ("0.bias", 0.9714944)]),
    );
}

#[test]
fn recurrent_layers_without_parts() {
    check(
        Rnn::new(3, 4).relu().without_bias().batch_first(),
        &[2, 5, 3],
        Expected(
            [-0.64204597, -0.75083983, -0.30439661],
            &[("weight_ih_l0", 0.81513154), ("weight_hh_l0", -2.4440291)],
        ),
    );
    check(
        Gru::new(3, 2).bidirectional().without_bias().batch_first(),
        &[2, 5, 3],
        Expected(
            [0.12614076, 0.12432072, 0.10731172],
            &[
                ("weight_ih_l0", 0.46551675),
                ("weight_hh_l0", -1.8063238),
                ("weight_ih_l0_reverse", 1.2610534),
                ("weight_hh_l0_reverse", 0.78347941),
            ],
        ),
    );
    check(
        Lstm::new(3, 4).projected(2).layers(2),
        &[5, 2, 3],
        Expected(
            [0.29278019, 0.28831496, 0.072069026],
            &[
                ("weight_ih_l0", 0.15430834),
                ("weight_hh_l0", -0.73592625),
                ("bias_ih_l0", 1.1246327),
                ("bias_hh_l0", -2.3737802),
                ("weight_hr_l0", -0.64575931),
                ("weight_ih_l1", 1.8203142),
                ("weight_hh_l1", -2.1787289),
                ("bias_ih_l1", 2.371084),
                ("bias_hh_l1", -1.1567234),
                ("weight_hr_l1", 1.3580083),
            ],
        ),
    );
}

#[test]
fn attention_with_other_keys() {
    let attended = TensorData::new([3, 3], vec![true, true, true, true, false, true, true, false, true]);
    let seen = seen();
    check_call(
        MultiheadAttention::new(4, 2).key_value_widths(5, 3).batch_first(true),
        numbers(&[2, 3, 4], 0),
        &[],
        |layer, x| layer.attend(x, &cat(&[x, &x.narrow(-1, 0, 1)], -1), &x.narrow(-1, 0, 3), &Mask::none()),
        Expected(
            [-1.0578721, -1.398987, 2.8544418],
            &[
                ("q_proj_weight", 1.4124624),
                ("k_proj_weight", -1.1250169),
                ("v_proj_weight", -2.5467055),
                ("in_proj_bias", -1.8282016),
                ("out_proj.weight", 2.4314623),
                ("out_proj.bias", 0.57552854),
            ],
        ),
    );
    check_call(
        MultiheadAttention::new(4, 2).appended_key().zero_attention(),
        numbers(&[3, 2, 4], 0),
        &[],
        |layer, x| layer.attend(x, x, x, &Mask::causal()),
        Expected(
            [0.065126738, -0.029893821, 1.6097201],
            &[
                ("in_proj_weight", -0.86131663),
                ("in_proj_bias", 2.6434875),
                ("bias_k", 0.5192869),
                ("bias_v", 1.0297171),
                ("out_proj.weight", -0.78276979),
                ("out_proj.bias", -1.001129),
            ],
        ),
    );
    check_call(
        MultiheadAttention::new(4, 2).without_bias().batch_first(true),
        numbers(&[2, 3, 4], 0),
        &[],
        |layer, x| {
            layer.attend(
                x,
                x,
                x,
                &Mask::of(&x.constant(attended.clone())).with_keys(&x.constant(seen.clone())),
            )
        },
        Expected(
            [0.1284591, 0.12366049, -0.29001429],
            &[("in_proj_weight", 0.86351896), ("out_proj.weight", -1.1553173)],
        ),
    );
}

#[test]
fn transformers() {
    let seen = seen();
    let encoder = || TransformerEncoderLayer::new(4, 2, 6).dropout(0.0).eps(1e-3);
    let decoder = || TransformerDecoderLayer::new(4, 2, 6).dropout(0.0).eps(1e-3);
    let masks = TransformerMasks { target: Mask::causal(), ..TransformerMasks::default() };
    check_call(
        TransformerEncoderLayer::new(4, 2, 6)
            .dropout(0.0)
            .norm_first(true)
            .gelu(true)
            .eps(1e-2)
            .without_bias()
            .batch_first(true),
        numbers(&[2, 3, 4], 0),
        &[],
        |layer, x| layer.encode(x, &Mask::none().with_keys(&x.constant(seen.clone()))),
        Expected(
            [-0.70963265, -0.87064619, 0.16637506],
            &[
                ("self_attn.in_proj_weight", -0.80499156),
                ("self_attn.out_proj.weight", -0.80739861),
                ("linear1.weight", 0.90473312),
                ("linear2.weight", 0.79634),
                ("norm1.weight", 0.62106129),
                ("norm2.weight", -0.38792271),
            ],
        ),
    );
    check_call(
        TransformerDecoderLayer::new(4, 2, 6).dropout(0.0).without_bias(),
        numbers(&[3, 2, 4], 0),
        &[],
        |layer, x| {
            layer.decode(x, &x.flip([0]), &Mask::causal(), &Mask::none().with_keys(&x.constant(seen.clone())))
        },
        Expected(
            [-0.21478897, -0.29743244, -0.20744915],
            &[
                ("self_attn.in_proj_weight", 0.84380244),
                ("self_attn.out_proj.weight", 0.49131211),
                ("multihead_attn.in_proj_weight", -0.098692021),
                ("multihead_attn.out_proj.weight", 2.3590736),
                ("linear1.weight", 0.91478124),
                ("linear2.weight", 0.80087556),
                ("norm1.weight", -1.0146958),
                ("norm2.weight", -0.6993977),
                ("norm3.weight", 0.22199465),
            ],
        ),
    );
    check_call(
        Transformer::new([1, 1], encoder, decoder),
        numbers(&[3, 2, 4], 0),
        &[],
        |layer, x| layer.run(x, &x.flip([0]), &masks),
        Expected(
            [-0.41938126, -0.43543769, -1.714355],
            &[
                ("encoder.layers.0.self_attn.in_proj_weight", -0.83238251),
                ("encoder.layers.0.self_attn.in_proj_bias", 2.3058796),
                ("encoder.layers.0.self_attn.out_proj.weight", -2.2322463),
                ("encoder.layers.0.self_attn.out_proj.bias", -0.79349337),
                ("encoder.layers.0.linear1.weight", -0.19990863),
                ("encoder.layers.0.linear1.bias", 2.1072685),
                ("encoder.layers.0.linear2.weight", -0.78379607),
                ("encoder.layers.0.linear2.bias", -0.52792093),
                ("encoder.layers.0.norm1.weight", 0.39849756),
                ("encoder.layers.0.norm1.bias", -0.58018931),
                ("encoder.layers.0.norm2.weight", 0.69376529),
                ("encoder.layers.0.norm2.bias", 1.0108965),
                ("encoder.norm.weight", 0.87742428),
                ("encoder.norm.bias", 0.92166978),
                ("decoder.layers.0.self_attn.in_proj_weight", -0.47128576),
                ("decoder.layers.0.self_attn.in_proj_bias", 1.8254566),
                ("decoder.layers.0.self_attn.out_proj.weight", 0.50906221),
                ("decoder.layers.0.self_attn.out_proj.bias", -0.75181066),
                ("decoder.layers.0.multihead_attn.in_proj_weight", -0.025543276),
                ("decoder.layers.0.multihead_attn.in_proj_bias", -0.40063099),
                ("decoder.layers.0.multihead_attn.out_proj.weight", -1.6915343),
                ("decoder.layers.0.multihead_attn.out_proj.bias", 0.25230573),
                ("decoder.layers.0.linear1.weight", 0.78952025),
                ("decoder.layers.0.linear1.bias", 0.15799608),
                ("decoder.layers.0.linear2.weight", -0.84845685),
                ("decoder.layers.0.linear2.bias", 0.58709981),
                ("decoder.layers.0.norm1.weight", -0.10965803),
                ("decoder.layers.0.norm1.bias", 0.79921759),
                ("decoder.layers.0.norm2.weight", -0.88180016),
                ("decoder.layers.0.norm2.bias", -0.9182494),
                ("decoder.layers.0.norm3.weight", 0.84199767),
                ("decoder.layers.0.norm3.bias", -0.039877396),
                ("decoder.norm.weight", 0.63419578),
                ("decoder.norm.bias", -0.32426019),
            ],
        ),
    );
    check_call(
        Bilinear::new([3, 2], 4),
        numbers(&[5, 3], 0),
        &[],
        |layer, x| layer.run(x, &x.narrow(1, 1, 2)),
        Expected([-1.3538795, -1.4927062, 0.64466427], &[("weight", 0.7505744), ("bias", 0.4890151)]),
    );
}

/// Where everything is dropped, there is nothing random: what a layer then gives in training says where it drops.
#[test]
fn dropout_stands_where_it_does_in_pytorch() {
    check(
        Gru::new(3, 4).layers(2).dropout(1.0),
        &[5, 2, 3],
        Expected(
            [0.24572639, 0.24165793, -0.33044443],
            &[
                ("weight_ih_l0", -1.9714263),
                ("weight_hh_l0", -0.77721854),
                ("bias_ih_l0", 2.653318),
                ("bias_hh_l0", -1.8069848),
                ("weight_ih_l1", 0.83555193),
                ("weight_hh_l1", -0.024470494),
                ("bias_ih_l1", 2.0685557),
                ("bias_hh_l1", 0.77246775),
            ],
        ),
    );
    check(
        MultiheadAttention::new(4, 2).dropout(1.0),
        &[3, 2, 4],
        Expected(
            [-0.31416012, -0.31927854, 1.989577],
            &[
                ("in_proj_weight", 0.70332906),
                ("in_proj_bias", -1.8069848),
                ("out_proj.weight", 2.3714253),
                ("out_proj.bias", 0.59652345),
            ],
        ),
    );
    check(
        TransformerEncoderLayer::new(4, 2, 6).dropout(1.0),
        &[3, 2, 4],
        Expected(
            [-1.10864, -1.2259016, -1.2479619],
            &[
                ("self_attn.in_proj_weight", -0.66970123),
                ("self_attn.in_proj_bias", 2.3316711),
                ("self_attn.out_proj.weight", -0.16059577),
                ("self_attn.out_proj.bias", -0.91748902),
                ("linear1.weight", 0.78888247),
                ("linear1.bias", 0.15850103),
                ("linear2.weight", -0.84804021),
                ("linear2.bias", 0.58765326),
                ("norm1.weight", -0.68995927),
                ("norm1.bias", -1.0377123),
                ("norm2.weight", 0.95164991),
                ("norm2.bias", 0.25664373),
            ],
        ),
    );
}

/// As `reset_parameters` of PyTorch's modules: `xavier_uniform_` of each projection; `1 / sqrt(in)` of a bilinear layer;
/// `xavier_uniform_` of all matrices of a transformer.
#[test]
fn parameters_start_as_in_pytorch() {
    struct Called<M>(M, fn(&M, &Tensor) -> Tensor);
    impl<M: Module> Module for Called<M> {
        fn visit<'m>(&'m self, visitor: &mut kiln::nn::Visitor<'m>) {
            self.0.visit(visitor);
        }
    }
    impl<M: Module> Model for Called<M> {
        fn forward(&self, x: &Tensor) -> Tensor {
            (self.1)(&self.0, x)
        }
    }
    let xavier = |n_out: f64, n_in: f64| (6.0 / (n_out + n_in)).sqrt();
    let attention = MultiheadAttention::new(96, 4).key_value_widths(32, 48);
    let attend = |layer: &MultiheadAttention, x: &Tensor| {
        layer.attend(x, &x.narrow(-1, 0, 32), &x.narrow(-1, 0, 48), &Mask::none())
    };
    let bounds = [
        ("q_proj_weight", xavier(96.0, 96.0)),
        ("k_proj_weight", xavier(96.0, 32.0)),
        ("v_proj_weight", xavier(96.0, 48.0)),
        ("in_proj_bias", 0.0),
    ];
    check_start(Called(attention, attend), f32(&[2, 1, 96]), &bounds);
    let bilinear = Called(Bilinear::new([100, 3], 50), |layer, x| layer.run(x, &x.narrow(-1, 0, 3)));
    check_start(bilinear, f32(&[2, 100]), &[("weight", 0.1), ("bias", 0.1)]);
    let encoder = || TransformerEncoderLayer::new(64, 4, 128);
    let decoder = || TransformerDecoderLayer::new(64, 4, 128);
    let run = |layer: &Transformer, x: &Tensor| layer.run(x, x, &TransformerMasks::default());
    let bounds = [
        ("encoder.layers.0.linear1.weight", xavier(64.0, 128.0)),
        ("encoder.layers.0.linear1.bias", 0.125),
        ("decoder.layers.0.multihead_attn.out_proj.weight", xavier(64.0, 64.0)),
        ("decoder.layers.0.self_attn.in_proj_weight", xavier(192.0, 64.0)),
    ];
    check_start(Called(Transformer::new([1, 1], encoder, decoder), run), f32(&[2, 1, 64]), &bounds);
}

/// PyTorch draws the appended key and value by `xavier_normal_`, whose fans are the width both.
#[test]
fn appended_keys_start_as_in_pytorch() {
    let layer = MultiheadAttention::new(512, 4).appended_key();
    let of_name = |name: &str| {
        let found = kiln::nn::parameters_of(&layer).into_iter().find(|(of, _)| of == name);
        let (_, param) = found.unwrap_or_else(|| panic!("no `{name}`"));
        let values = param.init().sample(param.ty(), 3, 0).to_f64_vec();
        (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
    };
    for name in ["bias_k", "bias_v"] {
        let expected = (1.0f64 / 512.0).sqrt();
        assert!(
            (of_name(name) / expected - 1.0).abs() < 0.15,
            "{name}: {} instead of {expected}",
            of_name(name)
        );
    }
}

#[test]
fn a_model_is_called_with_tensors_as_its_parameters() {
    let layer = Linear::new(3, 2);
    let tracer = Tracer::new("call");
    let (x, w) = (tracer.input("x", f32(&[5, 3])), tracer.input("w", f32(&[2, 3])));
    let b = tracer.input("b", f32(&[3]));
    tracer.call_with(&layer, |name| if name == "weight" { Some(&w) } else { Some(&b) });
    let message = tracer.finish(&[&layer.forward(&x)]).expect_err("a bias of another shape").to_string();
    assert!(message.contains("`bias` is of type f32[2]"), "{message}");
}
