//! Rows about values: elementwise ops on elementwise ops.
//!
//! Left out on purpose: `x * 0 => 0` and `x - x => 0` on floats (NaN and infinities), `log(exp(x)) => x` (overflow),
//! `exp(x) - 1 => expm1(x)` and `log(1 + x) => log1p(x)` (they round differently: near 0 the result changes by more than
//! any tolerance), `a * b + a * c => a * (b + c)` and `(x * k) * l => x * (k * l)` on floats (rounding, overflow).

use super::Row;
use super::pattern::Rule;
use kiln_ir::emit::EmitExt;
use kiln_ir::{DType, Graph, NodeId, Op};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The rules, in the order in which they are tried.
pub const RULES: &[&str] = &[
    // Neutral elements. `x + 0` is not `x` when `x` is `-0.0`.
    "add_minus_zero: add(x, -0) => x",
    "add_zero: add(x, 0) => x if never_minus_zero(x)",
    "sub_zero: sub(x, 0) => x",
    "mul_one: mul(x, 1) => x",
    "div_one: div(x, 1) => x",
    "pow_one: pow(x, 1) => x",
    "and_true: and(x, 1) => x if boolean(x)",
    "or_false: or(x, 0) => x",
    "xor_false: xor(x, 0) => x",
    "shift_left_zero: shift_left(x, 0) => x",
    "shift_right_zero: shift_right(x, 0) => x",
    // Absorbing elements.
    "mul_zero: mul(x, 0) => 0 if integer(x)",
    "and_false: and(x, 0) => 0",
    "or_true: or(x, 1) => 1 if boolean(x)",
    "pow_zero: pow(x, 0) => 1",
    // The same value twice.
    "sub_self: sub(x, x) => 0 if integer(x)",
    "xor_self: xor(x, x) => 0",
    "and_self: and(x, x) => x",
    "or_self: or(x, x) => x",
    "max_self: max(x, x) => x",
    "min_self: min(x, x) => x",
    "eq_self: eq(x, x) => 1 if exact(x)",
    "le_self: le(x, x) => 1 if exact(x)",
    "ge_self: ge(x, x) => 1 if exact(x)",
    "ne_self: ne(x, x) => 0 if exact(x)",
    "lt_self: lt(x, x) => 0",
    "gt_self: gt(x, x) => 0",
    // Signs.
    "neg_neg: neg(neg(x)) => x",
    "sub_from_minus_zero: sub(-0, x) => neg(x) if signed(x)",
    "mul_minus_one: mul(x, -1) => neg(x)",
    "div_minus_one: div(x, -1) => neg(x)",
    "add_neg: add(x, neg(y)) => sub(x, y)",
    "sub_neg: sub(x, neg(y)) => add(x, y)",
    "mul_neg_neg: mul(neg(x), neg(y)) => mul(x, y)",
    "div_neg_neg: div(neg(x), neg(y)) => div(x, y)",
    "mul_neg_constant: mul(neg(x), k) => mul(x, neg(k))",
    "neg_mul_constant: neg(s = mul(x, k)) => mul(x, neg(k)) if once(s)",
    "neg_sub: neg(s = sub(x, y)) => sub(y, x) if once(s) and integer(x)",
    "abs_neg: abs(neg(x)) => abs(x)",
    "abs_of_not_negative: abs(x) => x if never_negative(x)",
    "sign_sign: sign(sign(x)) => sign(x)",
    "square_of_abs: mul(abs(x), abs(x)) => mul(x, x)",
    // Powers: `pow` is a call, a product is an instruction.
    "pow_two: pow(x, 2) => mul(x, x)",
    "pow_three: pow(x, 3) => mul(mul(x, x), x)",
    "pow_minus_one: pow(x, -1) => reciprocal(x)",
    "pow_half_of_not_negative: pow(x, 0.5) => sqrt(x) if never_negative(x)",
    // The two places where `pow` and `sqrt` differ: `-0.0` (gives 0.0 here) and `-inf` (gives inf here).
    "pow_half: pow(x, 0.5) => select(eq(x, -inf), inf, sqrt(add(x, 0)))",
    "pow_minus_half: pow(x, -0.5) => rsqrt(x) if never_negative(x)",
    // Quotients.
    "div_power_of_two: div(x, k) => mul(x, reciprocal(k)) if power_of_two(k)",
    "one_div: div(1, x) => reciprocal(x) if float(x)",
    "reciprocal_sqrt: reciprocal(s = sqrt(x)) => rsqrt(x) if once(s)",
    // Constants meet, where the order of rounding stays.
    "add_add_constants: add(s = add(x, k), l) => add(x, add(k, l)) if once(s) and integer(x)",
    "mul_mul_constants: mul(s = mul(x, k), l) => mul(x, mul(k, l)) if once(s) and integer(x)",
    "max_max_constants: max(max(x, k), l) => max(x, max(k, l))",
    "min_min_constants: min(min(x, k), l) => min(x, min(k, l))",
    "max_max_self: max(max(x, y), y) => max(x, y)",
    "min_min_self: min(min(x, y), y) => min(x, y)",
    // Rounding.
    "floor_floor: floor(floor(x)) => floor(x)",
    "ceil_ceil: ceil(ceil(x)) => ceil(x)",
    "round_round: round(round(x)) => round(x)",
    // Truth values. With NaN, `not(lt(a, b))` is not `ge(a, b)`.
    "not_not: not(not(x)) => x",
    "not_eq: not(eq(x, y)) => ne(x, y)",
    "not_ne: not(ne(x, y)) => eq(x, y)",
    "not_lt: not(lt(x, y)) => ge(x, y) if exact(x)",
    "not_le: not(le(x, y)) => gt(x, y) if exact(x)",
    "not_gt: not(gt(x, y)) => le(x, y) if exact(x)",
    "not_ge: not(ge(x, y)) => lt(x, y) if exact(x)",
    "eq_true: eq(x, 1) => x if boolean(x)",
    "ne_false: ne(x, 0) => x if boolean(x)",
    "eq_false: eq(x, 0) => not(x) if boolean(x)",
    "ne_true: ne(x, 1) => not(x) if boolean(x)",
    "xor_true: xor(x, 1) => not(x) if boolean(x)",
    // Selections, as gradients of `max`, `where` and masks make them.
    "select_same: select(c, x, x) => x",
    "select_true: select(1, x, y) => x",
    "select_false: select(0, x, y) => y",
    "select_not: select(not(c), x, y) => select(c, y, x)",
    "select_truth: s = select(c, 1, 0) => c if boolean(s)",
    "select_falsehood: s = select(c, 0, 1) => not(c) if boolean(s)",
    "select_select_true: select(c, select(c, x, y), z) => select(c, x, z)",
    "select_select_false: select(c, x, select(c, y, z)) => select(c, x, z)",
    "add_selects: add(s = select(c, x, k), t = select(c, y, l)) => select(c, add(x, y), add(k, l)) if once(s) and once(t)",
    "mul_selects: mul(s = select(c, x, k), t = select(c, y, l)) => select(c, mul(x, y), mul(k, l)) if once(s) and once(t)",
    "sub_selects: sub(s = select(c, x, k), t = select(c, y, l)) => select(c, sub(x, y), sub(k, l)) if once(s) and once(t)",
];

/// The rules by the name of the op at the root of the pattern.
static BY_ROOT: LazyLock<HashMap<&'static str, Vec<Rule>>> = LazyLock::new(|| {
    let mut by_root: HashMap<_, Vec<Rule>> = HashMap::new();
    for rule in RULES.iter().map(|text| Rule::parse(text)) {
        by_root.entry(rule.root().name()).or_default().push(rule);
    }
    by_root
});

/// The name of the first rule that applies to a node, and the value to put in its place.
pub fn rewrite(graph: &mut Graph, id: NodeId) -> Option<(&'static str, NodeId)> {
    let rules = BY_ROOT.get(graph.op(id).name())?;
    rules.iter().find_map(|rule| Some((rule.name, rule.apply(graph, id)?)))
}

/// Rows about casts.
pub const CAST: &[Row] = &[
    Row { name: "cast_to_same", text: "cast(x) => x if x has that type", apply: cast_to_same },
    Row {
        name: "cast_of_cast",
        text: "cast(cast(x)) => cast(x) if the inner one is exact",
        apply: cast_of_cast,
    },
];

fn cast_to_same(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let x = graph.operands(id)[0];
    (graph.node(x).ty() == graph.node(id).ty()).then_some(x)
}

fn cast_of_cast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let middle = graph.operands(id)[0];
    let Op::Cast(via) = *graph.op(middle) else { return None };
    let x = graph.operands(middle)[0];
    let (from, to) = (graph.node(x).ty().dtype, graph.node(id).ty().dtype);
    // From a float to an integer saturates, between integers wraps: a float in the middle shows when it does not fit.
    let same_conversion = !(from.is_int() && via.is_float() && to.is_int()) || holds_all_of(to, from);
    (holds_all_of(via, from) && same_conversion).then(|| graph.cast(to, x))
}

/// Whether each value of type `narrow` is a value of type `wide`.
fn holds_all_of(wide: DType, narrow: DType) -> bool {
    match narrow {
        DType::Bool => true,
        DType::U8 => wide != DType::Bool,
        DType::I32 => matches!(wide, DType::I32 | DType::I64 | DType::F64),
        DType::I64 => wide == DType::I64,
        DType::F32 => matches!(wide, DType::F32 | DType::F64),
        DType::F64 => wide == DType::F64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Simplify;
    use super::super::pattern::{Term, is_constant_letter};
    use super::*;
    use crate::testing::{Values, check, random_inputs};
    use insta::assert_snapshot;
    use kiln_ir::op::{BinaryOp, UnaryOp};
    use kiln_ir::{Literal, Shape, TensorData, TensorType, Tolerance, interpret};

    fn changes(text: &str) -> String {
        check(&Simplify, text)
    }

    /// Enough elements that special values meet each other.
    const N_ELEMENTS: usize = 700;

    /// A graph of the pattern: each letter an input, or a fill of `constant`, or the absolute value of an input.
    fn instance(rule: &Rule, dtype: DType, constant: f64, absolute: bool) -> Option<(Graph, NodeId)> {
        let mut graph = Graph::new("rule");
        let mut values = HashMap::new();
        let root = build(&mut graph, rule.pattern(), dtype, (constant, absolute), &mut values)?;
        graph.add_output(root, None);
        Some((graph, root))
    }

    fn build(
        graph: &mut Graph,
        term: &Term,
        dtype: DType,
        (constant, absolute): (f64, bool),
        values: &mut HashMap<char, NodeId>,
    ) -> Option<NodeId> {
        let shape = Shape::from([N_ELEMENTS]);
        let fill = |graph: &mut Graph, value| {
            graph.add(Op::Fill(Literal::from_f64(dtype, value), shape.clone()), &[])
        };
        match term {
            Term::Number(number) => fill(graph, *number).ok(),
            Term::Letter(letter) if values.contains_key(letter) => Some(values[letter]),
            Term::Letter(letter) => {
                let value = if is_constant_letter(*letter) {
                    fill(graph, constant).ok()?
                } else {
                    let input = graph.add_input(&letter.to_string(), TensorType::new(dtype, shape));
                    if absolute { graph.add(Op::Unary(UnaryOp::Abs), &[input]).ok()? } else { input }
                };
                values.insert(*letter, value);
                Some(value)
            }
            Term::Apply { op, operands, .. } => {
                let operands: Option<Vec<NodeId>> = operands
                    .iter()
                    .enumerate()
                    .map(|(i, operand)| {
                        let is_condition = **op == Op::Select && i == 0;
                        let dtype = if is_condition { DType::Bool } else { dtype };
                        let absolute = absolute && !is_condition;
                        build(graph, operand, dtype, (constant, absolute), values)
                    })
                    .collect();
                graph.add(Op::clone(op), &operands?).ok()
            }
        }
    }

    /// The same bits; any NaN is as good as another.
    fn same(a: &TensorData, b: &TensorData) -> Option<usize> {
        let is_nan = |value: Literal| value.as_f64().is_nan();
        (0..a.n_elements()).find(|&i| a.get(i) != b.get(i) && !(is_nan(a.get(i)) && is_nan(b.get(i))))
    }

    /// Of zeros of both signs, `max` and `min` may give either, and so may a rule about them.
    fn same_but_for_signs_of_zero(a: &TensorData, b: &TensorData) -> Option<usize> {
        same(a, b).and_then(|_| (0..a.n_elements()).find(|&i| !near(a.get(i), b.get(i), 0)))
    }

    fn near(a: Literal, b: Literal, ulps: u64) -> bool {
        Tolerance::ulps(ulps).accepts(a, b)
    }

    /// The first element where a rule gives another value than its pattern, beyond what the rule's kind allows.
    fn first_difference(rule: &Rule, old: &TensorData, new: &TensorData) -> Option<usize> {
        let root = rule.root();
        // Two multiplications round twice, `pow` once; a square root and a reciprocal twice, `rsqrt` once.
        if matches!(root, Op::Binary(BinaryOp::Pow) | Op::Unary(UnaryOp::Reciprocal)) {
            return (0..old.n_elements()).find(|&i| !near(new.get(i), old.get(i), 2));
        }
        if matches!(root, Op::Binary(BinaryOp::Max | BinaryOp::Min)) {
            return same_but_for_signs_of_zero(old, new);
        }
        same(old, new)
    }

    /// Every rule applies to its own pattern, in some type, and never changes a value.
    #[test]
    fn every_rule_is_right_on_special_values() {
        for text in RULES {
            let rule = Rule::parse(text);
            let mut n_applied = 0;
            for dtype in DType::ALL {
                for (constant, absolute) in [(2.0, false), (-0.25, true), (3.0, true), (1.0, false)] {
                    let Some((before, root)) = instance(&rule, dtype, constant, absolute) else { continue };
                    let mut after = before.clone();
                    let Some(replacement) = rule.apply(&mut after, root) else { continue };
                    after.replace_uses(root, replacement);
                    n_applied += 1;
                    for seed in 0..3 {
                        let inputs = random_inputs(&before, Values::Special, seed);
                        let run = |graph| interpret(graph, &inputs).unwrap().remove(0);
                        let (old, new) = (run(&before), run(&after));
                        if let Some(i) = first_difference(&rule, &old, &new) {
                            let inputs: Vec<_> = inputs.iter().map(|input| input.get(i)).collect();
                            let (old, new) = (old.get(i), new.get(i));
                            panic!("`{text}` on {inputs:?}: {old} became {new}\n{before}{after}");
                        }
                    }
                }
            }
            assert!(n_applied > 0, "`{text}` never applies");
        }
    }

    #[test]
    fn names_of_rules_are_unique() {
        let mut names: Vec<&str> = RULES.iter().map(|text| Rule::parse(text).name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn neutral_elements_go() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3]) {
                %one: f32[2, 3] = fill { value = 1.0 }
                %zero: f32[2, 3] = fill { value = 0.0 }
                %a: f32[2, 3] = mul %one, %x
                %b: f32[2, 3] = sub %a, %zero
                return %b
            }
        "
        ), @"
          graph f(%x: f32[2, 3]) {
        -     %one: f32[2, 3] = fill { value = 1.0 }
        -     %zero: f32[2, 3] = fill { value = 0.0 }
        -     %a: f32[2, 3] = mul %one, %x
        -     %b: f32[2, 3] = sub %a, %zero
        -     return %b
        +     return %x
          }
        ");
    }

    #[test]
    fn zero_times_a_float_stays() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3], %n: i32[3]) {
                %zero: f32[3] = fill { value = 0.0 }
                %none: i32[3] = fill { value = 0 }
                %a: f32[3] = mul %x, %zero
                %b: f32[3] = add %x, %zero
                %c: i32[3] = mul %n, %none
                return %a, %b, %c
            }
        "
        ), @"
          graph f(%x: f32[3], %n: i32[3]) {
              %zero: f32[3] = fill { value = 0.0 }
        -     %none: i32[3] = fill { value = 0 }
              %a: f32[3] = mul %x, %zero
              %b: f32[3] = add %x, %zero
        -     %c: i32[3] = mul %n, %none
        +     %c: i32[3] = fill { value = 0 }
              return %a, %b, %c
          }
        ");
    }

    #[test]
    fn division_by_a_power_of_two_is_a_product() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3]) {
                %k: f32[3] = fill { value = 4.0 }
                %l: f32[3] = fill { value = 3.0 }
                %a: f32[3] = div %x, %k
                %b: f32[3] = div %x, %l
                return %a, %b
            }
        "
        ), @"
          graph f(%x: f32[3]) {
        -     %k: f32[3] = fill { value = 4.0 }
              %l: f32[3] = fill { value = 3.0 }
        -     %a: f32[3] = div %x, %k
              %b: f32[3] = div %x, %l
        +     %fill: f32[3] = fill { value = 0.25 }
        +     %a: f32[3] = mul %x, %fill
              return %a, %b
          }
        ");
    }

    #[test]
    fn a_square_root_by_power_keeps_minus_infinity() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3]) {
                %half: f32[3] = fill { value = 0.5 }
                %a: f32[3] = pow %x, %half
                %b: f32[3] = mul %x, %x
                %c: f32[3] = pow %b, %half
                return %a, %c
            }
        "
        ), @"
          graph f(%x: f32[3]) {
        -     %half: f32[3] = fill { value = 0.5 }
        -     %a: f32[3] = pow %x, %half
              %b: f32[3] = mul %x, %x
        -     %c: f32[3] = pow %b, %half
        +     %fill: f32[3] = fill { value = -inf }
        +     %eq: bool[3] = eq %x, %fill
        +     %fill.2: f32[3] = fill { value = 0.0 }
        +     %add: f32[3] = add %x, %fill.2
        +     %sqrt: f32[3] = sqrt %add
        +     %fill.3: f32[3] = fill { value = inf }
        +     %a: f32[3] = select %eq, %fill.3, %sqrt
        +     %c: f32[3] = sqrt %b
              return %a, %c
          }
        ");
    }

    #[test]
    fn accumulated_selections_become_one() {
        assert_snapshot!(changes(
            "
            graph f(%c: bool[3], %x: f32[3], %y: f32[3]) {
                %zero: f32[3] = fill { value = 0.0 }
                %a: f32[3] = select %c, %x, %zero
                %b: f32[3] = select %c, %y, %zero
                %d: f32[3] = add %a, %b
                return %d
            }
        "
        ), @"
          graph f(%c: bool[3], %x: f32[3], %y: f32[3]) {
        -     %zero: f32[3] = fill { value = 0.0 }
        -     %a: f32[3] = select %c, %x, %zero
        -     %b: f32[3] = select %c, %y, %zero
        -     %d: f32[3] = add %a, %b
        +     %add: f32[3] = add %x, %y
        +     %fill: f32[3] = fill { value = 0.0 }
        +     %d: f32[3] = select %c, %add, %fill
              return %d
          }
        ");
    }

    #[test]
    fn exact_casts_meet() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3], %n: i32[3]) {
                %a: f64[3] = cast %x
                %b: f32[3] = cast %a
                %c: f64[3] = cast %n
                %d: f32[3] = cast %c
                return %b, %d
            }
        "
        ), @"
          graph f(%x: f32[3], %n: i32[3]) {
        -     %a: f64[3] = cast %x
        -     %b: f32[3] = cast %a
        -     %c: f64[3] = cast %n
        -     %d: f32[3] = cast %c
        -     return %b, %d
        +     %d: f32[3] = cast %n
        +     return %x, %d
          }
        ");
    }

    #[test]
    fn rounding_casts_stay() {
        assert_snapshot!(changes(
            "
            graph f(%x: f64[3], %n: i32[3]) {
                %a: f32[3] = cast %x
                %b: f64[3] = cast %a
                %c: f64[3] = cast %n
                %d: u8[3] = cast %c
                return %b, %d
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn rules_about_constants_end_when_all_are_constant() {
        assert_snapshot!(changes(
            "
            graph f() {
                %k: f32[3] = fill { value = 0.5 }
                %a: f32[3] = mul %k, %k
                %b: f32[3] = neg %a
                return %b
            }
        "
        ), @"
          graph f() {
        -     %k: f32[3] = fill { value = 0.5 }
        -     %a: f32[3] = mul %k, %k
        -     %b: f32[3] = neg %a
        +     %b: f32[3] = fill { value = -0.25 }
              return %b
          }
        ");
    }
}
