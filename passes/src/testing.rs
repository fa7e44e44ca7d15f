//! How passes are tested: text in, difference out.

use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::{DType, Graph, Literal, TensorData, TensorType, interpret, parse};
use std::fmt::Write;

/// Runs a pass on a graph in text form and returns what it changed, line by line.
///
/// On the way it holds the pass to what every pass promises: the result is a valid graph, it computes the same, and a
/// second run says and does nothing.
///
/// # Panics
/// When the text is no graph, or a promise is broken.
pub fn check(pass: &dyn Pass, text: &str) -> String {
    let before = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let mut after = before.clone();
    let changed = pass.run(&mut after, &mut Rewrites::unlimited());
    if let Err(difference) = same_results(&before, &after) {
        panic!(
            "`{}` changed what a graph computes\n{difference}\nbefore:\n{before}after:\n{after}",
            pass.name()
        );
    }
    assert_eq!(
        changed == Changed::No,
        before.same_as(&after),
        "`{}` says {changed:?} of\n{after}",
        pass.name()
    );
    let once = after.clone();
    let again = pass.run(&mut after, &mut Rewrites::unlimited());
    assert!(
        again == Changed::No && once.same_as(&after),
        "`{}` is not done after one run:\n{}",
        pass.name(),
        diff(&once.to_string(), &after.to_string())
    );
    diff(&before.to_string(), &after.to_string())
}

/// The lines of two texts: `- ` before those that went, `+ ` before those that came; `unchanged` when there are none.
pub fn diff(before: &str, after: &str) -> String {
    if before == after {
        return "unchanged\n".to_string();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // common[i][j]: length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        let (mark, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', old[i - 1])
        } else {
            j += 1;
            ('+', new[j - 1])
        };
        writeln!(text, "{mark} {line}").expect("writing to a string cannot fail");
    }
    text
}

/// Whether two graphs of one signature compute the same on a few random inputs, some of them with NaN, infinities and
/// zeros of both signs. Floats may differ by the rounding of sums in another order: 64 times the type's precision,
/// relative to the largest value in the tensor.
pub fn same_results(before: &Graph, after: &Graph) -> Result<(), String> {
    for seed in 0..6 {
        let values = if seed < 3 { Values::Plain } else { Values::Special };
        let inputs = random_inputs(before, values, seed);
        let [old, new] = [before, after].map(|graph| interpret(graph, &inputs));
        let (old, new) = (old.map_err(|e| e.to_string())?, new.map_err(|e| e.to_string())?);
        if old.len() != new.len() {
            return Err(format!("{} outputs became {}", old.len(), new.len()));
        }
        for (position, (old, new)) in old.iter().zip(&new).enumerate() {
            if !nearly_equal(old, new) {
                return Err(format!("output {position} on {inputs:?}:\n  was {old:?}\n  is  {new:?}"));
            }
        }
    }
    Ok(())
}

/// Which values random inputs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Floats in -2..2, small integers.
    Plain,
    /// One in three floats is NaN, infinite or a zero.
    Special,
}

/// A value for each input of a graph, the same for the same seed.
pub fn random_inputs(graph: &Graph, values: Values, seed: u64) -> Vec<TensorData> {
    let mut random = Random(seed);
    graph.inputs().iter().map(|&input| random.tensor(graph.node(input).ty(), values)).collect()
}

/// SplitMix64: Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn tensor(&mut self, ty: &TensorType, values: Values) -> TensorData {
        TensorData::from_fn(ty, |_| self.literal(ty.dtype, values))
    }

    fn literal(&mut self, dtype: DType, values: Values) -> Literal {
        const SPECIAL: [f64; 6] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0];
        let bits = self.next();
        match dtype {
            DType::F32 | DType::F64 if values == Values::Special && bits.is_multiple_of(3) => {
                Literal::from_f64(dtype, SPECIAL[(bits >> 8) as usize % SPECIAL.len()])
            }
            // 53 bits make a uniform value in 0..1.
            DType::F32 | DType::F64 => {
                Literal::from_f64(dtype, (bits >> 11) as f64 / (1u64 << 53) as f64 * 4.0 - 2.0)
            }
            DType::I32 | DType::I64 => Literal::from_i64(dtype, (bits % 9) as i64 - 3),
            DType::U8 => Literal::from_i64(dtype, (bits % 6) as i64),
            DType::Bool => Literal::Bool(bits.is_multiple_of(2)),
        }
    }
}

fn nearly_equal(a: &TensorData, b: &TensorData) -> bool {
    let epsilon = match a.dtype() {
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => f64::EPSILON,
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => return a.same_bits(b),
    };
    let (old, new) = (a.to_f64_vec(), b.to_f64_vec());
    let finite = old.iter().chain(&new).filter(|value| value.is_finite());
    let largest = finite.fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let close = |(x, y): (&f64, &f64)| {
        x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 64.0 * epsilon * largest
    };
    a.ty() == b.ty() && old.iter().zip(&new).all(close)
}
