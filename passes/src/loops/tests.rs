//! What movement ops become in addresses.

mod addresses;

use super::print;
use crate::lower::{lower, separate_outputs};
use insta::assert_snapshot;
use kiln_ir::parse;

/// The loop bodies of a program's kernels, as text.
fn bodies(text: &str) -> String {
    let mut graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    separate_outputs(&mut graph);
    let lowered = lower(&graph);
    let bodies: Vec<String> = lowered.bodies.iter().map(|body| print::body(&graph, body)).collect();
    bodies.join("\n")
}

#[test]
fn axes_that_are_walked_as_one_are_merged() {
    assert_snapshot!(bodies(
        "graph merged(%x: f32[2, 1, 3, 5], %y: f32[5]) {
            %b: f32[2, 1, 3, 5] = broadcast %y { axes = [3] }
            %z: f32[2, 1, 3, 5] = add %x, %b
            return %z
        }"
    ), @"
    parallel i0: 6, parallel i1: 5 (vectors)
    v0: f32 = %x[5*i0 + i1]
    v1: f32 = %y[i1]
    v2: f32 = add v0, v1
    %z[5*i0 + i1] = v2 in phase 0
    ");
}

#[test]
fn words_of_the_random_stream_are_neighbours_over_merged_axes() {
    assert_snapshot!(bodies(
        "graph dropout(%random: i64[2], %x: f32[6, 4, 5, 3]) {
            %bits: i32[6, 4, 5, 3] = random_bits %random
            %limit: i32[6, 4, 5, 3] = fill { value = 100 }
            %zero: f32[6, 4, 5, 3] = fill { value = 0.0 }
            %keep: bool[6, 4, 5, 3] = ge %bits, %limit
            %y: f32[6, 4, 5, 3] = select %keep, %x, %zero
            %flat: f32[6, 60] = reshape %y
            return %keep, %flat
        }"
    ), @"
    parallel i0: 360 (vectors)
    v0: i64 = %random[0]
    v1: i64 = %random[1]
    v2: i32 = random v0, v1 at i0
    v3: i32 = 100
    v4: bool = ge v2, v3
    v5: f32 = %x[i0]
    v6: f32 = 0.0
    v7: f32 = select v4, v5, v6
    %keep[i0] = v4 in phase 0
    %flat[i0] = v7 in phase 0
    ");
}

#[test]
fn transposes_and_slices_become_strides() {
    assert_snapshot!(bodies(
        "graph strides(%x: f32[6, 4], %y: f32[9, 8]) {
            %xt: f32[4, 6] = permute %x { permutation = [1, 0] }
            %s: f32[4, 4] = slice %y { start = [1, 1], limit = [9, 8], step = [2, 2] }
            %p: f32[4, 4] = slice %xt { start = [0, 2], limit = [4, 6] }
            %z: f32[4, 4] = mul %p, %s
            return %z
        }"
    ), @"
    parallel i0: 4, parallel i1: 4 (vectors)
    v0: f32 = %x[i0 + 4*i1 + 8]
    v1: f32 = %y[16*i0 + 2*i1 + 9]
    v2: f32 = mul v0, v1
    %z[4*i0 + i1] = v2 in phase 0
    ");
}

#[test]
fn an_axis_that_is_put_together_is_walked_by_its_parts() {
    assert_snapshot!(bodies(
        "graph heads(%q: f32[5, 2, 16], %k: f32[2, 5, 16]) {
            %qs: f32[5, 32] = reshape %q
            %kt: f32[5, 2, 16] = permute %k { permutation = [1, 0, 2] }
            %ks: f32[5, 32] = reshape %kt
            %z: f32[5, 64] = concatenate %qs, %ks { axis = 1 }
            return %z
        }"
    ), @"
    parallel i0: 5, parallel i1: 4, parallel i2: 16 (vectors)
    d0 = i1 + -2 clamped to 0..=1
    d1 = i1 clamped to 0..=1
    v0: f32 = %k[16*i0 + i2 + 80*d0]
    v1: f32 = %q[32*i0 + i2 + 16*d1]
    v2: bool = i1 < 2
    v3: f32 = select v2, v1, v0
    %z[64*i0 + 16*i1 + i2] = v3 in phase 0
    ");
}

#[test]
fn an_axis_of_small_parts_stays_whole() {
    assert_snapshot!(bodies(
        "graph small(%x: f32[5, 12], %y: f32[5, 8]) {
            %z: f32[5, 20] = concatenate %x, %y { axis = 1 }
            return %z
        }"
    ), @"
    parallel i0: 5, parallel i1: 20 (vectors)
    d0 = i1 + -12 clamped to 0..=7
    d1 = i1 clamped to 0..=11
    v0: f32 = %y[8*i0 + d0]
    v1: f32 = %x[12*i0 + d1]
    v2: bool = i1 < 12
    v3: f32 = select v2, v1, v0
    %z[20*i0 + i1] = v3 in phase 0
    ");
}

#[test]
fn reversals_become_negative_strides() {
    assert_snapshot!(bodies(
        "graph reversed(%x: f32[3, 5]) {
            %r: f32[3, 5] = reverse %x { axes = [1] }
            %z: f32[3, 5] = neg %r
            return %z
        }"
    ), @"
    parallel i0: 3, parallel i1: 5 (vectors)
    v0: f32 = %x[5*i0 + -1*i1 + 4]
    v1: f32 = neg v0
    %z[5*i0 + i1] = v1 in phase 0
    ");
}

#[test]
fn a_reshape_across_axes_divides() {
    assert_snapshot!(bodies(
        "graph split(%x: f32[4, 3]) {
            %t: f32[3, 4] = permute %x { permutation = [1, 0] }
            %r: f32[2, 6] = reshape %t
            %z: f32[2, 6] = neg %r
            return %z
        }"
    ), @"
    parallel i0: 12 (vectors)
    d0 = (i0) / 4
    d1 = (i0) mod 4
    v0: f32 = %x[d0 + 3*d1]
    v1: f32 = neg v0
    %z[i0] = v1 in phase 0
    ");
}

/// Groups of two channels of 8 by 8 pixels: along the row that is reduced, the factor of a channel changes once.
#[test]
fn a_reduced_axis_is_split_where_its_index_is_divided() {
    assert_snapshot!(bodies(
        "graph group_norm(%x: f32[2, 4, 8, 8], %w: f32[4]) {
            %rows: f32[2, 2, 128] = reshape %x
            %sum: f32[2, 2] = reduce_sum %rows { axes = [2] }
            %each: f32[2, 2, 128] = broadcast %sum { axes = [0, 1] }
            %y: f32[2, 2, 128] = sub %rows, %each
            %back: f32[2, 4, 8, 8] = reshape %y
            %wide: f32[2, 4, 8, 8] = broadcast %w { axes = [1] }
            %z: f32[2, 4, 8, 8] = mul %back, %wide
            return %z
        }"
    ), @"
    parallel i0: 2, parallel i1: 2, reduced i2: 2, reduced i3: 64 (vectors)
    v0: f32 = %x[256*i0 + 128*i1 + 64*i2 + i3]
    v1: f32 = r0 in phase 1
    v2: f32 = sub v0, v1 in phase 1
    v3: f32 = %w[2*i1 + i2]
    v4: f32 = mul v2, v3 in phase 1
    r0 = reduce_sum v0 in phase 0
    %z[256*i0 + 128*i1 + 64*i2 + i3] = v4 in phase 1
    ");
}

#[test]
fn padding_becomes_a_condition_on_a_clamped_index() {
    assert_snapshot!(bodies(
        "graph padded(%x: f32[5]) {
            %p: f32[8] = pad %x { low = [1], high = [2], value = 7.0 }
            %q: f32[9] = pad %x { low = [0], high = [0], interior = [1], value = 0.0 }
            %c: f32[4] = pad %x { low = [-1], high = [0], value = 0.0 }
            return %p, %q, %c
        }"
    ), @"
    parallel i0: 8 (vectors)
    d0 = i0 + -1 clamped to 0..=4
    v0: bool = 0 <= i0 + -1 < 5
    v1: f32 = 7.0
    v2: f32 = %x[d0]
    v3: f32 = select v0, v2, v1
    %p[i0] = v3 in phase 0

    parallel i0: 9 (vectors)
    d0 = (i0) / 2
    d1 = (i0) mod 2
    v0: bool = 0 <= d1 < 1
    v1: f32 = 0.0
    v2: f32 = %x[d0]
    v3: f32 = select v0, v2, v1
    %q[i0] = v3 in phase 0

    parallel i0: 4 (vectors)
    v0: f32 = 0.0
    v1: f32 = %x[i0 + 1]
    %c[i0] = v1 in phase 0
    ");
}

#[test]
fn pieces_are_chosen_by_the_index() {
    assert_snapshot!(bodies(
        "graph joined(%x: f32[2, 3], %e: f32[2, 0], %y: f32[2, 1]) {
            %c: f32[2, 4] = concatenate %x, %e, %y { axis = 1 }
            return %c
        }"
    ), @"
    parallel i0: 2, parallel i1: 4 (vectors)
    d0 = i1 clamped to 0..=2
    v0: f32 = %y[i0]
    v1: f32 = %x[3*i0 + d0]
    v2: bool = i1 < 3
    v3: f32 = select v2, v1, v0
    %c[4*i0 + i1] = v3 in phase 0
    ");
}

#[test]
fn a_softmax_is_one_body_of_three_phases() {
    assert_snapshot!(bodies(
        "graph softmax(%x: f32[100, 16]) {
            %max: f32[100] = reduce_max %x { axes = [1] }
            %m: f32[100, 16] = broadcast %max { axes = [0] }
            %shifted: f32[100, 16] = sub %x, %m
            %e: f32[100, 16] = exp %shifted
            %sum: f32[100] = reduce_sum %e { axes = [1] }
            %s: f32[100, 16] = broadcast %sum { axes = [0] }
            %y: f32[100, 16] = div %e, %s
            return %y
        }"
    ), @"
    parallel i0: 100, reduced i1: 16 (vectors)
    v0: f32 = %x[16*i0 + i1]
    v1: f32 = r0 in phase 1
    v2: f32 = sub v0, v1 in phase 1
    v3: f32 = exp v2 in phase 1
    v4: f32 = r1 in phase 2
    v5: f32 = div v3, v4 in phase 2
    r0 = reduce_max v0 in phase 0
    r1 = reduce_sum v3 in phase 1
    %y[16*i0 + i1] = v5 in phase 2
    ");
}

#[test]
fn reductions_choose_the_axis_of_vectors() {
    assert_snapshot!(bodies(
        "graph reduced(%x: f32[20, 40], %state: i64[2]) {
            %rows: f32[20] = reduce_sum %x { axes = [1] }
            %columns: f32[40] = reduce_sum %x { axes = [0] }
            %bits: i32[40, 20] = random_bits %state
            %most: i32[40] = reduce_max %bits { axes = [1] }
            %at: i64[20] = argmax %x { axis = 1 }
            return %rows, %columns, %most, %at
        }"
    ), @"
    parallel i0: 20, reduced i1: 40 (vectors)
    v0: f32 = %x[40*i0 + i1]
    v1: f32 = r0 in phase 1
    r0 = reduce_sum v0 in phase 0
    %rows[i0] = v1 per row

    reduced i0: 20, parallel i1: 40 (vectors)
    v0: f32 = %x[40*i0 + i1]
    v1: f32 = r0 in phase 1
    r0 = reduce_sum v0 in phase 0
    %columns[i1] = v1 per row

    parallel i0: 40, reduced i1: 20 (vectors)
    v0: i64 = %state[0]
    v1: i64 = %state[1]
    v2: i32 = random v0, v1 at 20*i0 + i1
    v3: i32 = r0 in phase 1
    r0 = reduce_max v2 in phase 0
    %most[i0] = v3 per row

    parallel i0: 20, reduced i1: 40 (vectors)
    v0: f32 = %x[40*i0 + i1]
    v1: i64 = r0 in phase 1
    r0 = argmax v0 at i1 in phase 0
    %at[i0] = v1 per row
    ");
}

#[test]
fn nothing_is_reduced_over_no_axes_and_no_contraction() {
    assert_snapshot!(bodies(
        "graph nothing(%x: f32[3, 2], %y: f32[4]) {
            %r: f32[3, 2] = reduce_sum %x { axes = [] }
            %d: f32[3, 2, 4] = dot %r, %y
            return %d
        }"
    ), @"
    parallel i0: 6 (vectors)
    v0: f32 = %x[i0]
    %r[i0] = v0 in phase 0

    parallel i0: 6, parallel i1: 4 (vectors)
    v0: f32 = %r[i0]
    v1: f32 = %y[i1]
    v2: f32 = mul v0, v1
    %d[4*i0 + i1] = v2 in phase 0
    ");
}

#[test]
fn gathers_load_their_index_and_scatters_walk_in_order() {
    assert_snapshot!(bodies(
        "graph indexed(%x: f32[7, 4], %at: i64[3, 4]) {
            %g: f32[3, 4] = gather %x, %at { axis = 0 }
            %s: f32[7, 4] = scatter_add %g, %at { axis = 0 }
            return %s
        }"
    ), @"
    parallel i0: 3, parallel i1: 4 (vectors)
    d0 = v0 clamped to 0..=6
    v0: i64 = %at[4*i0 + i1]
    v1: i64 = 0
    v2: i64 = 7
    v3: bool = ge v0, v1
    v4: bool = lt v0, v2
    v5: bool = and v3, v4
    v6: f32 = %x[i1 + 4*d0]
    v7: f32 = 0.0
    v8: f32 = select v5, v6, v7
    %g[4*i0 + i1] = v8 in phase 0

    ordered i0: 3, parallel i1: 4 (vectors)
    d0 = v1 clamped to 0..=6
    v0: f32 = %g[4*i0 + i1]
    v1: i64 = %at[4*i0 + i1]
    v2: i64 = 0
    v3: i64 = 7
    v4: bool = ge v1, v2
    v5: bool = lt v1, v3
    v6: bool = and v4, v5
    %s[i1 + 4*d0] += v0 if v6
    ");
}

#[test]
fn short_windows_are_written_out() {
    assert_snapshot!(bodies(
        "graph windows(%x: f32[2, 9]) {
            %m: f32[2, 5] = window_max %x { sizes = [3], strides = [2], padding = [1:1] }
            return %m
        }"
    ), @"
    parallel i0: 2, parallel i1: 5 (vectors)
    d0 = 2*i1 + -1 clamped to 0..=8
    d1 = 2*i1 + 1 clamped to 0..=8
    v0: bool = 0 <= 2*i1 + -1 < 9
    v1: f32 = -inf
    v2: f32 = %x[9*i0 + d0]
    v3: f32 = select v0, v2, v1
    v4: f32 = %x[9*i0 + 2*i1]
    v5: f32 = max v3, v4
    v6: bool = 0 <= 2*i1 + 1 < 9
    v7: f32 = %x[9*i0 + d1]
    v8: f32 = select v6, v7, v1
    v9: f32 = max v5, v8
    %m[5*i0 + i1] = v9 in phase 0
    ");
}

#[test]
fn windows_are_reduced_axes() {
    assert_snapshot!(bodies(
        "graph windows(%x: f32[2, 15], %dy: f32[2, 5]) {
            %m: f32[2, 5] = window_max %x { sizes = [9], strides = [2], padding = [1:1] }
            %p: f32[2, 15] = window_put %x, %dy { sizes = [9], strides = [2], padding = [1:1] }
            return %m, %p
        }"
    ), @"
    parallel i0: 2, parallel i1: 5 (vectors)
    d0 = 2*i1 + -1 clamped to 0..=14
    d1 = 2*i1 + 7 clamped to 0..=14
    v0: bool = 0 <= 2*i1 + -1 < 15
    v1: f32 = -inf
    v2: f32 = %x[15*i0 + d0]
    v3: f32 = select v0, v2, v1
    v4: f32 = %x[15*i0 + 2*i1]
    v5: f32 = max v3, v4
    v6: f32 = %x[15*i0 + 2*i1 + 1]
    v7: f32 = max v5, v6
    v8: f32 = %x[15*i0 + 2*i1 + 2]
    v9: f32 = max v7, v8
    v10: f32 = %x[15*i0 + 2*i1 + 3]
    v11: f32 = max v9, v10
    v12: f32 = %x[15*i0 + 2*i1 + 4]
    v13: f32 = max v11, v12
    v14: f32 = %x[15*i0 + 2*i1 + 5]
    v15: f32 = max v13, v14
    v16: f32 = %x[15*i0 + 2*i1 + 6]
    v17: f32 = max v15, v16
    v18: bool = 0 <= 2*i1 + 7 < 15
    v19: f32 = %x[15*i0 + d1]
    v20: f32 = select v18, v19, v1
    v21: f32 = max v17, v20
    %m[5*i0 + i1] = v21 in phase 0

    parallel i0: 2, ordered i1: 5, reduced i2: 9 (vectors)
    d0 = 2*i1 + i2 + -1 clamped to 0..=14
    d1 = v5 clamped to 0..=14
    v0: bool = 0 <= 2*i1 + i2 + -1 < 15
    v1: f32 = -inf
    v2: f32 = %x[15*i0 + d0]
    v3: f32 = select v0, v2, v1
    v4: i64 = d0
    v5: i64 = r0 in phase 1
    v6: f32 = %dy[5*i0 + i1]
    v7: i64 = 0
    v8: i64 = 15
    v9: bool = ge v5, v7 in phase 1
    v10: bool = lt v5, v8 in phase 1
    v11: bool = and v9, v10 in phase 1
    r0 = pick v4 at greatest v3 if v0, else -1 in phase 0
    %p[15*i0 + d1] += v6 if v11 per row
    ");
}

#[test]
fn a_running_sum_is_stored_at_each_step() {
    assert_snapshot!(bodies(
        "graph running(%x: f32[3, 5]) {
            %c: f32[3, 5] = cumulative_sum %x { axis = 1, reverse = true }
            return %c
        }"
    ), @"
    parallel i0: 3, reduced i1: 5 (vectors)
    v0: f32 = %x[5*i0 + -1*i1 + 4]
    v1: f32 = r0 in phase 1
    r0 = running_sum v0 in phase 0
    %c[5*i0 + -1*i1 + 4] = v1 in phase 0
    ");
}
