//! What is fused, in which order kernels run and where their results lie; and that the checker of memory plans finds what
//! is wrong with a plan.

use super::*;
use crate::plan_memory::{PlanError, check};
use crate::print_lowered::schedule;
use insta::assert_snapshot;
use kiln_ir::kernel::{Copy, Place};
use kiln_ir::random_graph::{RandomConfig, choices, random_graph};
use kiln_ir::{Names, parse};
use proptest::prelude::*;

fn lowered(text: &str) -> (Graph, Lowered) {
    let mut graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    separate_outputs(&mut graph);
    let lowered = lower(&graph);
    (graph, lowered)
}

/// The schedule of a graph: kernels in order, what they read, write and fuse, and where it lies.
fn program(text: &str) -> String {
    let (graph, lowered) = lowered(text);
    schedule(&graph, &lowered)
}

#[test]
fn a_row_that_is_reduced_and_used_again_is_one_kernel() {
    assert_snapshot!(program(
        "graph norm(%x: f32[64, 40], %scale: f32[40]) {
            %sum: f32[64] = reduce_sum %x { axes = [1] }
            %all: f32[64, 40] = broadcast %sum { axes = [0] }
            %centered: f32[64, 40] = sub %x, %all
            %square: f32[64, 40] = mul %centered, %centered
            %variance: f32[64] = reduce_sum %square { axes = [1] }
            %root: f32[64] = rsqrt %variance
            %roots: f32[64, 40] = broadcast %root { axes = [0] }
            %scales: f32[64, 40] = broadcast %scale { axes = [1] }
            %normal: f32[64, 40] = mul %centered, %roots
            %y: f32[64, 40] = mul %normal, %scales
            return %y
        }"
    ), @"
    schedule norm: 1 kernel, arena 10 KiB (10 KiB without reuse)
        k0 loop  %x, %scale -> %y [0..10240]   2 reduce_sum, sub, 3 mul, rsqrt   15.4 kFLOP
    ");
}

#[test]
fn elementwise_work_after_a_large_product_is_its_epilogue() {
    assert_snapshot!(program(
        "graph dense(%x: f32[64, 32], %w: f32[48, 32], %b: f32[48]) {
            %d: f32[64, 48] = dot %x, %w { contract = [1:1] }
            %bb: f32[64, 48] = broadcast %b { axes = [1] }
            %y: f32[64, 48] = add %d, %bb
            %t: f32[64, 48] = tanh %y
            return %t
        }"
    ), @"
    schedule dense: 1 kernel, arena 12 KiB (24 KiB without reuse)
        k0 contraction  %x, %w, %b -> %d [0..12288], %t [0..12288] over %d   dot, add, tanh   202.8 kFLOP
    ");
}

#[test]
fn what_is_needed_at_another_index_is_not_fused() {
    assert_snapshot!(program(
        "graph transposed(%x: f32[7, 7]) {
            %e: f32[7, 7] = exp %x
            %t: f32[7, 7] = permute %e { permutation = [1, 0] }
            %z: f32[7, 7] = mul %e, %t
            return %z
        }"
    ), @"
    schedule transposed: 2 kernels, arena 512 B (512 B without reuse)
        k0 loop  %x -> %e [0..196]   exp   49 FLOP
        k1 loop  %e -> %z [256..452]   mul   49 FLOP
    ");
}

#[test]
fn what_another_kernel_stands_between_is_not_fused() {
    assert_snapshot!(program(
        "graph between(%x: f32[9, 5]) {
            %e: f32[9, 5] = exp %x
            %c: f32[9, 5] = cumulative_sum %e { axis = 0 }
            %z: f32[9, 5] = mul %e, %c
            return %z
        }"
    ), @"
    schedule between: 3 kernels, arena 384 B (576 B without reuse)
        k0 loop  %x -> %e [0..180]   exp   45 FLOP
        k1 cumulative  %e -> %c [192..372]   cumulative_sum   45 FLOP
        k2 loop  %e, %c -> %z [0..180] over %e   mul   45 FLOP
    ");
}

#[test]
fn what_a_sort_needs_in_memory_is_read_there_by_all() {
    // Without the sort, each user would compute it again.
    assert_snapshot!(program(
        "graph ranks(%x: f32[40, 64], %y: f32[64, 40]) {
            %minus: f32[40, 64] = neg %x
            %turned: f32[64, 40] = permute %minus { permutation = [1, 0] }
            %sum: f32[64, 40] = add %turned, %y
            %root: f32[64, 40] = exp %sum
            %order: i64[40, 64] = argsort %minus { axis = 1 }
            return %root, %order
        }"
    ), @"
    schedule ranks: 3 kernels, arena 40 KiB (40 KiB without reuse)
        k0 loop  %x -> %minus [0..10240]   neg   2.6 kFLOP
        k1 loop  %y, %minus -> %root [10240..20480]   add, exp   5.1 kFLOP
        k2 sort  %minus -> %order [20480..40960]   argsort   0 FLOP
    ");
}

#[test]
fn independent_values_are_not_fused() {
    assert_snapshot!(program(
        "graph apart(%x: f32[6], %y: f32[6]) {
            %a: f32[6] = exp %x
            %b: f32[6] = exp %y
            return %a, %b
        }"
    ), @"
    schedule apart: 2 kernels, arena 128 B (128 B without reuse)
        k0 loop  %x -> %a [0..24]   exp   6 FLOP
        k1 loop  %y -> %b [64..88]   exp   6 FLOP
    ");
}

#[test]
fn independent_values_that_meet_are_one_kernel() {
    assert_snapshot!(program(
        "graph meet(%x: f32[6], %y: f32[6]) {
            %a: f32[6] = exp %x
            %b: f32[6] = exp %y
            %c: f32[6] = mul %a, %b
            return %c
        }"
    ), @"
    schedule meet: 1 kernel, arena 64 B (64 B without reuse)
        k0 loop  %x, %y -> %c [0..24]   2 exp, mul   18 FLOP
    ");
}

#[test]
fn reductions_over_other_axes_are_kernels_of_their_own() {
    assert_snapshot!(program(
        "graph both(%x: f32[80, 70]) {
            %e: f32[80, 70] = exp %x
            %rows: f32[80] = reduce_sum %e { axes = [1] }
            %columns: f32[70] = reduce_sum %e { axes = [0] }
            return %rows, %columns
        }"
    ), @"
    schedule both: 2 kernels, arena 22.5 KiB (22.5 KiB without reuse)
        k0 loop  %x -> %e [0..22400], %rows [22400..22720]   exp, reduce_sum   11.2 kFLOP
        k1 loop  %e -> %columns [22720..23000]   reduce_sum   5.6 kFLOP
    ");
}

#[test]
fn state_is_updated_in_place_when_all_have_read_it() {
    assert_snapshot!(program(
        "graph step(%w: f32[40, 30], %x: f32[40, 30]) {
            %w.next: f32[40, 30] = sub %w, %x
            %rows: f32[40] = reduce_sum %w { axes = [1] }
            %sum: f32[30] = reduce_sum %w { axes = [0] }
            return %w.next => %w, %rows, %sum
        }"
    ), @"
    schedule step: 3 kernels, arena 320 B (320 B without reuse)
        k0 loop  %w -> %rows [0..160]   reduce_sum   1.2 kFLOP
        k1 loop  %w -> %sum [192..312]   reduce_sum   1.2 kFLOP
        k2 loop  %w, %x -> %w.next in %w   sub   1.2 kFLOP
    ");
}

#[test]
fn state_that_is_read_at_another_index_is_copied() {
    assert_snapshot!(program(
        "graph step(%w: f32[30, 30], %v: f32[30, 30]) {
            %t: f32[30, 30] = permute %w { permutation = [1, 0] }
            %w.next: f32[30, 30] = add %w, %t
            return %w.next => %w, %w => %v
        }"
    ), @"
    schedule step: 2 kernels, arena 3.6 KiB (3.6 KiB without reuse)
        k0 loop  %w -> %w.next [0..3600]   add   900 FLOP
        k1 loop  %w -> %reshape in %v   reshape   0 FLOP
        copy %w.next -> %w
    ");
}

#[test]
fn memory_is_used_again() {
    assert_snapshot!(program(CHAIN), @"
    schedule chain: 5 kernels, arena 3 KiB (5 KiB without reuse)
        k0 cumulative  %x -> %a [0..1024]   cumulative_sum   256 FLOP
        k1 cumulative  %a -> %b [1024..2048]   cumulative_sum   256 FLOP
        k2 cumulative  %b -> %c [2048..3072]   cumulative_sum   256 FLOP
        k3 cumulative  %c -> %d [1024..2048]   cumulative_sum   256 FLOP
        k4 loop  %a, %d -> %z [0..1024] over %a   add   256 FLOP
    ");
}

/// Four kernels of the same size, each of which needs the one before, and the first one again at the end.
const CHAIN: &str = "graph chain(%x: f32[16, 16]) {
    %a: f32[16, 16] = cumulative_sum %x { axis = 0 }
    %b: f32[16, 16] = cumulative_sum %a { axis = 1 }
    %c: f32[16, 16] = cumulative_sum %b { axis = 0 }
    %d: f32[16, 16] = cumulative_sum %c { axis = 1 }
    %z: f32[16, 16] = add %a, %d
    return %z
}";

/// The value of that name that a kernel writes.
fn named(graph: &Graph, name: &str) -> NodeId {
    let names = Names::new(graph);
    graph.ids().find(|&node| names.get(node) == name).expect("a node of that name")
}

/// What the checker says of a plan that was changed.
fn after(text: &str, change: impl Fn(&Graph, &mut MemoryPlan)) -> Result<(), PlanError> {
    let (graph, Lowered { schedule, bodies, mut plan, .. }) = lowered(text);
    assert_eq!(check(&graph, &schedule.kernels, &bodies, &plan), Ok(()));
    change(&graph, &mut plan);
    check(&graph, &schedule.kernels, &bodies, &plan)
}

fn place(plan: &mut MemoryPlan, node: NodeId) -> &mut Place {
    &mut plan.placements.iter_mut().find(|placement| placement.node == node).expect("a placement").place
}

#[test]
fn values_that_live_at_once_may_not_overlap() {
    let (graph, _) = lowered(CHAIN);
    let [a, b, c, z] = ["a", "b", "c", "z"].map(|name| named(&graph, name));
    let same_place = |of: NodeId, as_of: NodeId, by: usize| {
        move |_: &Graph, plan: &mut MemoryPlan| {
            let Place::Arena(offset) = plan.placement(as_of).place else { panic!("in the arena") };
            plan.arena_bytes += by;
            *place(plan, of) = Place::Arena(offset + by);
        }
    };
    assert_eq!(after(CHAIN, same_place(c, a, 0)), Err(PlanError::Overlap(a, c)));
    assert_eq!(after(CHAIN, same_place(c, a, 64)), Err(PlanError::Overlap(a, c)));
    // A running sum reads elements that it has written over.
    assert_eq!(after(CHAIN, same_place(b, a, 0)), Err(PlanError::Overlap(a, b)));
    // An elementwise kernel may take over memory that it reads for the last time, but no part of it.
    assert_eq!(after(CHAIN, same_place(z, a, 0)), Ok(()));
    assert_eq!(after(CHAIN, same_place(z, a, 64)), Err(PlanError::Overlap(a, z)));
}

/// Windows side by side are read before the gradient is put in their place; those that overlap are not.
#[test]
fn gradients_of_pooling_may_lie_where_the_image_did() {
    let overlaps = |windows: &str, size: usize| {
        let text = format!(
            "graph pool(%a: f32[2, 8, 8], %dy: f32[2, {size}, {size}]) {{
                %x: f32[2, 8, 8] = cumulative_sum %a {{ axis = 1 }}
                %d: f32[2, 8, 8] = window_put %x, %dy {{ {windows} }}
                %z: f32[2, 8, 8] = cumulative_sum %d {{ axis = 1 }}
                return %z
            }}"
        );
        let (graph, Lowered { plan, .. }) = lowered(&text);
        let [x, d] = ["x", "d"].map(|name| plan.placement(named(&graph, name)).place);
        x == d
    };
    assert!(overlaps("sizes = [2, 2], strides = [2, 2]", 4));
    assert!(!overlaps("sizes = [2, 2], strides = [1, 1]", 7));
}

#[test]
fn values_may_not_leave_the_arena() {
    let (graph, _) = lowered(CHAIN);
    let z = named(&graph, "z");
    let moved = after(CHAIN, |_, plan| *place(plan, z) = Place::Arena(plan.arena_bytes - 64));
    assert_eq!(moved, Err(PlanError::OutsideArena(z)));
    assert_eq!(
        after(CHAIN, |_, plan| plan.arena_bytes = 64),
        Err(PlanError::OutsideArena(named(&graph, "a")))
    );
    assert_eq!(after(CHAIN, |_, plan| *place(plan, z) = Place::Constant), Err(PlanError::OutsideArena(z)));
}

#[test]
fn values_must_live_until_they_are_read() {
    let (graph, _) = lowered(CHAIN);
    let a = named(&graph, "a");
    let last = |last: usize| {
        move |_: &Graph, plan: &mut MemoryPlan| {
            plan.placements.iter_mut().find(|p| p.node == a).expect("a placement").last = last;
        }
    };
    assert_eq!(after(CHAIN, last(3)), Err(PlanError::ReadWhenDead(a, 0)));
    let first = after(CHAIN, |_, plan| {
        plan.placements.iter_mut().find(|p| p.node == a).expect("a placement").first = Some(1);
    });
    assert_eq!(first, Err(PlanError::ReadWhenDead(a, 0)));
}

#[test]
fn what_the_loops_load_must_be_known_to_be_read() {
    let (graph, Lowered { mut schedule, bodies, plan, .. }) = lowered(CHAIN);
    schedule.kernels[1].reads.clear();
    let a = named(&graph, "a");
    assert_eq!(check(&graph, &schedule.kernels, &bodies, &plan), Err(PlanError::ReadUnseen(a, 1)));
}

#[test]
fn values_must_be_written_before_they_are_read() {
    let (graph, Lowered { mut schedule, bodies, plan, .. }) = lowered(CHAIN);
    let z = named(&graph, "z");
    schedule.kernels[1].reads.push(z);
    assert_eq!(check(&graph, &schedule.kernels, &bodies, &plan), Err(PlanError::ReadWhenDead(z, 1)));
}

#[test]
fn state_may_not_be_lost() {
    let text = "graph step(%w: f32[30, 30], %x: f32[30, 30]) {
        %e: f32[30, 30] = exp %x
        %y: f32[30, 30] = cumulative_sum %w { axis = 0 }
        %t: f32[30, 30] = permute %w { permutation = [1, 0] }
        %z: f32[30, 30] = exp %t
        return %e => %w, %y, %z
    }";
    let (graph, Lowered { schedule, .. }) = lowered(text);
    let [w, e, y, z] = ["w", "e", "y", "z"].map(|name| named(&graph, name));
    let writer = |node| schedule.kernels.iter().position(|kernel| kernel.writes.contains(&node));
    let in_place = |of| after(text, move |_, plan| *place(plan, of) = Place::Input(0));
    // The new value is written last of all; a kernel before it would be too early...
    assert_eq!(in_place(e), Ok(()));
    assert_eq!(in_place(y), Err(PlanError::StateLost(w, writer(z).unwrap())));
    // ...and so would one that reads the state at another index than it writes.
    assert_eq!(in_place(z), Err(PlanError::StateLost(w, writer(z).unwrap())));
}

#[test]
fn state_must_get_its_next_value_and_no_other() {
    let text = "graph step(%w: f32[30, 30], %v: f32[30, 30], %x: f32[30, 30]) {
        %t: f32[30, 30] = permute %w { permutation = [1, 0] }
        %w.next: f32[30, 30] = add %w, %t
        %v.next: f32[30, 30] = exp %x
        return %w.next => %w, %v.next => %v
    }";
    let (graph, _) = lowered(text);
    let w = named(&graph, "w.next");
    assert_eq!(after(text, |_, plan| plan.copies.clear()), Err(PlanError::WrongUpdate(0)));
    assert_eq!(after(text, |_, plan| plan.copies[0].to = 1), Err(PlanError::WrongUpdate(0)));
    let twice = after(text, |_, plan| plan.copies.push(Copy { from: w, to: 1 }));
    assert_eq!(twice, Err(PlanError::WrongUpdate(1)));
    let swapped = after(text, |graph, plan| *place(plan, named(graph, "v.next")) = Place::Input(2));
    assert_eq!(swapped, Err(PlanError::WrongUpdate(1)));
}

proptest! {
    /// Lowering checks its own plans only in debug builds; here they always are.
    #[test]
    fn plans_of_random_graphs_hold(words in proptest::collection::vec(any::<u32>(), 0..300)) {
        let mut graph = random_graph(&RandomConfig::default(), &mut choices(&words));
        separate_outputs(&mut graph);
        let Lowered { schedule, bodies, plan, .. } = lower(&graph);
        let checked = check(&graph, &schedule.kernels, &bodies, &plan);
        prop_assert!(checked.is_ok(), "{checked:?}\n{graph}");
        prop_assert!(plan.arena_bytes <= plan.bytes_without_reuse.next_multiple_of(64) + 64 * plan.placements.len());
    }
}
