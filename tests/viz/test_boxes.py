"""What is in a picture: which boxes, in which clusters, and which edges between them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.backprop import expanded
from tinygrad_rnn.graph import ancestors
from tinygrad_rnn.viz.boxes import build
from tinygrad_rnn.viz.picture import Box, Cluster, Edge, Picture, boxes_in

from .nets import lstm, rnn


def picture(output: Any, detail: str = "op", **keywords: Any) -> Picture:
    outputs = output if isinstance(output, list) else [output]
    return build(expanded([y.node for y in outputs]), detail, **keywords)


def boxes(of: Picture, *kinds: str) -> list[Box]:
    return [box for box in boxes_in(of.root) if box.kind in kinds]


def titles(of: Picture, *kinds: str) -> list[str]:
    return [box.title for box in boxes(of, *kinds)]


def box(of: Picture, title: str) -> Box:
    (found,) = [box for box in boxes_in(of.root) if box.title == title]
    return found


def clusters(cluster: Cluster) -> list[Any]:
    """Titles of the clusters as nested lists."""
    return [[part.title, *clusters(part)] for part in cluster.parts if isinstance(part, Cluster)]


def edges(of: Picture, *kinds: str) -> list[tuple[str, str]]:
    return [(edge.tail.title, edge.head.title) for edge in of.edges if edge.kind in kinds]


def edge(of: Picture, tail: str, head: str) -> Edge:
    (found,) = [e for e in of.edges if (e.tail.title, e.head.title) == (tail, head)]
    return found


def leaf(*shape: int, name: str | None = None) -> tg.Tensor:
    return tg.Tensor(np.ones(shape), requires_grad=True, name=name)


operations = ("operation", "state", "output")

# ── op detail ────────────────────────────────────────────────────────────────────────────


def test_every_node_that_backward_walks_is_one_box() -> None:
    for T in (1, 2, 5):
        loss = lstm(T)
        nodes = ancestors([loss.node])
        shown = picture(loss)
        drawn = [node for b in boxes_in(shown.root) for node in b.nodes]
        assert Counter(drawn) == Counter(nodes)
        assert len(boxes(shown, *operations)) == sum(not node.is_leaf for node in nodes)
        inputs = [(node, i) for e in shown.edges for node, i in e.inputs]
        assert len(set(inputs)) == len(inputs)
        computed = {
            (node, i)
            for node in nodes
            for i, parent in enumerate(node.parents)
            if parent is not None
        }
        assert set(inputs) == computed


def test_each_step_is_a_cluster_in_time_order() -> None:
    shown = picture(rnn(3))
    assert clusters(shown.root) == [["cell: t = 0"], ["cell: t = 1"], ["cell: t = 2"]]


def test_a_shared_weight_is_one_box_outside_the_steps_with_a_tap_at_each() -> None:
    shown = picture(rnn(4))
    assert sorted(titles(shown, "weight")) == ["bias", "weight_hh", "weight_ih"]
    assert all(b.place == () for b in boxes(shown, "weight", "weight tap"))
    assert len(boxes(shown, "weight tap")) == 3 * 4
    # A rail leads from the weight through all its taps.
    rails = {e.tail: e.head for e in shown.edges if e.kind == "weight rail"}
    for weight in boxes(shown, "weight"):
        stops = []
        stop = weight
        while stop in rails:
            stop = rails[stop]
            (user,) = {e.head for e in shown.edges if e.tail is stop and e.kind == "weight"}
            stops.append(user.place[0].t)
        assert stops == [0, 1, 2, 3]


def test_what_is_used_in_one_place_has_no_rail() -> None:
    shown = picture(leaf(2, name="a") * leaf(2, name="b"))
    assert edges(shown, "weight") == [("a", "×"), ("b", "×")]
    assert not boxes(shown, "weight tap")


def test_a_loop_without_tags_is_drawn_too() -> None:
    shown = picture(rnn(3, tagged=False))
    assert clusters(shown.root) == [["cell"]]
    assert len(boxes(shown, "weight tap")) == 3 * 3


def test_a_value_that_crosses_steps_is_a_state() -> None:
    shown = picture(lstm(3))
    assert titles(shown, "state") == ["c_t", "h_t"] * 2
    assert edges(shown, "state") == [("h_t", "linear"), ("c_t", "×")] * 2


def test_the_output_is_marked_even_where_it_is_a_state() -> None:
    h: Any = leaf(2)
    hs = []
    for _, x_t in tg.steps([1.0, 2.0]):
        h = h * x_t
        hs.append(h)
    assert titles(picture(hs), *operations) == titles(picture(hs), "output") == ["× 1.0", "× 2.0"]


def test_a_leaf_can_be_drawn_and_be_an_output() -> None:
    x = leaf(2, 3, name="x")
    (only,) = boxes_in(picture(x).root)
    assert (only.kind, only.title, only.lines) == ("weight", "x", ["(2, 3)"])
    shown = picture([x, tg.exp(x)])
    assert edges(shown, "weight") == [("x", "exp")]


def test_inputs_of_one_step_lie_in_it() -> None:
    shown = picture(rnn(2))
    assert [time_step.t for time_step in box(shown, "x_1").place] == [1]
    assert box(shown, "x_1").lines == ["(2, 3)"]


def test_the_same_array_is_the_same_constant() -> None:
    mask = tg.Tensor(np.ones(2), name="mask")
    h: Any = leaf(2)
    for _, x_t in tg.steps([mask, mask, tg.Tensor(np.ones(2))]):
        h = h * x_t * mask
    shown = picture(h)
    assert sorted(titles(shown, "constant")) == ["(2,)", "mask"]
    assert len(boxes(shown, "constant tap")) == 3


def test_numbers_are_part_of_the_title() -> None:
    x = leaf(2)
    two = np.float64(2)
    assert titles(picture(x * 2.0), "output") == ["× 2.0"]
    assert titles(picture(1 - x), "output") == ["1 −"]
    assert titles(picture(x**two), "output") == ["^ 2.0"]
    assert titles(picture(x / 3.000000001), "output") == ["÷ 3"]
    assert titles(picture(tg.maximum(0.0, x)), "output") == ["maximum(0.0, ·)"]
    named = tg.Tensor(2.0, name="two")
    assert edges(picture(x * named), "constant") == [("two", "×")]


@pytest.mark.parametrize(
    ("compute", "title"),
    [
        (lambda x: x[1], "[1]"),
        (lambda x: x[:, 1:], "[:, 1:]"),
        (lambda x: x[..., ::2], "[..., ::2]"),
        (lambda x: x[None], "[None]"),
        (lambda x: x[[0, 1, 0]], "[int64 (3,)]"),
        (lambda x: tg.place(x, slice(0, 3), (5, 4)), "place [0:3]"),
        (lambda x: tg.sum(x), "Σ"),
        (lambda x: tg.sum(x, axis=0, keepdims=True), "Σ axis=0"),
        (lambda x: tg.reshape(x, (4, 3)), "reshape"),
        (lambda x: tg.einsum("ij,ij->i", x, x), "einsum ij,ij→i"),
        (lambda x: tg.astype(x, np.float32), "astype dtype=float32"),
        (lambda x: tg.concatenate([x, x], axis=1), "concatenate axis=1"),
        (lambda x: tg.sigmoid(x), "σ"),
        (lambda x: -x, "−"),
        (lambda x: tg.where(x > 0, x, 0.0), "where(·, ·, 0.0)"),
        (lambda x: tg.linear(x, np.ones((2, 4))), "linear"),
        (
            lambda x: tg.transpose(x[(None,) * 7], tuple(range(9))),
            "transpose axes=(0, 1, 2, 3, 4, 5, 6, 7…",
        ),
    ],
)
def test_titles_of_operations(compute: Any, title: str) -> None:
    assert titles(picture(compute(leaf(3, 4))), "output") == [title]


def test_a_name_comes_first() -> None:
    h = tg.tanh(leaf(2))
    h.name = "h_t"
    (drawn,) = boxes(picture(h), "output")
    assert (drawn.title, drawn.lines) == ("h_t", ["tanh", "(2,)"])


def test_the_dtype_is_shown_where_it_is_not_the_common_one() -> None:
    x = leaf(2, name="x")
    shown = picture(tg.exp(x) * tg.Tensor([1, 2], name="ids") + 1.0)
    assert box(shown, "exp").lines == ["(2,)"]
    assert box(shown, "ids").lines == ["(2,) int64"]
    assert box(picture(x.sum()), "Σ").lines == ["scalar"]


def test_values() -> None:
    x = tg.Tensor([[1.0, 2.00001], [3.0, 4.0]], requires_grad=True, name="x")
    shown = picture(x.sum(), values=True)
    assert box(shown, "x").lines == ["(2, 2)", "[[1. 2.]", " [3. 4.]]"]
    assert box(shown, "Σ").lines == ["scalar", "10."]
    large = box(picture(tg.exp(leaf(2, 3, 50, name="x")), values=True), "x")
    assert large.lines == ["(2, 3, 50)", "[1. 1. ... 1. 1.]"]
    assert box(picture(tg.exp(leaf(0, name="x")), values=True), "x").lines == ["(0,)", "[]"]


def test_values_are_those_the_graph_was_computed_with() -> None:
    x = tg.Tensor([1.0], requires_grad=True, name="x")
    y = tg.exp(x)
    x.data = np.array([5.0])
    assert box(picture(y, values=True), "x").lines == ["(1,)", "[1.]"]


def test_modules_are_clusters_and_a_single_operation_is_not() -> None:
    x: Any = leaf(2)
    with tg.scope("net"):
        with tg.scope("attention"):
            x = tg.softmax(tg.exp(x))
        with tg.scope("readout"):
            x = tg.square(x)
    shown = picture(x)
    assert clusters(shown.root) == [["net", ["attention"]]]
    assert box(shown, "square").lines == ["(2,)", "readout"]


def test_weights_of_one_name_are_told_apart_by_their_modules() -> None:
    x: Any = np.ones(2)
    for name in ("encoder", "decoder"):
        with tg.scope(name):
            x = leaf(2, name="weight") * x * leaf(2)
    spare = leaf(2, name="weight")
    shown = picture([x, spare])
    assert titles(shown, "weight") == ["weight", "encoder.weight", "(2,)", "decoder.weight", "(2,)"]


def test_a_backward_outside_of_loops_is_a_cluster_of_its_own() -> None:
    x = leaf(2)
    with tg.scope("net"):
        y = tg.exp(tg.tanh(x)).sum()
    shown = picture(tg.grad(y, x, create_graph=True).sum())
    assert [title for title, *_ in clusters(shown.root)] == ["net", "net, backward"]


def test_a_value_used_twice_has_two_edges() -> None:
    x = tg.exp(leaf(2))
    assert edges(picture(x * x), "data") == [("exp", "×")] * 2


def test_the_inside_of_a_checkpoint_is_drawn() -> None:
    x = leaf(2)
    assert titles(picture(tg.checkpoint(lambda x: tg.exp(tg.tanh(x)), x)), *operations) == [
        "tanh",
        "exp",
    ]


def test_steps_stand_in_order_even_where_none_depends_on_another() -> None:
    x = leaf(3)
    parts = [tg.exp(x[t]) for t, _ in tg.steps(range(3))]
    shown = picture(tg.stack(parts).sum())
    posts = boxes(shown, "post")
    assert len(posts) == 2
    for t, post in enumerate(posts):
        assert [e.tail.place[0].t for e in shown.edges if e.head is post] == [t]
        assert [e.head.place[0].t for e in shown.edges if e.tail is post] == [t + 1]


def test_a_wide_graph_grows_linearly() -> None:
    # Without a set of the nodes that were visited the walk takes 2^200 steps.
    x: Any = leaf(2)
    for _ in range(200):
        x = x + x
    assert len(boxes(picture(x), *operations)) == 200


# ── no cycles ────────────────────────────────────────────────────────────────────────────


def is_acyclic(of: Picture) -> bool:
    following: dict[Box, list[Box]] = {}
    waiting: Counter[Box] = Counter()
    for one in of.edges:
        following.setdefault(one.tail, []).append(one.head)
        waiting[one.head] += 1
    ready = [b for b in boxes_in(of.root) if not waiting[b]]
    for b in ready:
        for head in following.get(b, []):
            waiting[head] -= 1
            if not waiting[head]:
                ready.append(head)
    return len(ready) == len(boxes_in(of.root))


def both_directions() -> Any:
    y, _ = tg.nn.GRU(3, 2, 2, bidirectional=True, rng=0)(np.ones((3, 1, 3)), unroll=True)
    return tg.sum(y * y)


def reused_linear() -> Any:
    linear, x = tg.nn.Linear(3, 3, rng=0), tg.Tensor(np.ones((2, 3), "f"), requires_grad=True)
    for _ in tg.steps(range(1)):
        x = tg.exp(x)
    return tg.sum(linear(tg.tanh(linear(x))))


def penalty() -> Any:
    net = tg.nn.LSTM(3, 2, rng=0)
    y, _ = net(np.ones((3, 1, 3)), unroll=True)
    (g,) = tg.grad(tg.sum(y * y), [net.weight_hh_l0], create_graph=True)
    return tg.sum(g * g)


def two_calls() -> Any:
    net = tg.nn.GRU(3, 2, rng=0)
    y, state = net(np.ones((3, 1, 3)), unroll=True)
    z, _ = net(np.ones((4, 1, 3)), state, unroll=True)
    return tg.sum(y * y) + tg.sum(z * z)


@pytest.mark.parametrize("make", [both_directions, reused_linear, penalty, two_calls])
@pytest.mark.parametrize("detail", ["op", "cell", "layer"])
def test_a_picture_has_no_cycles_and_ends_with_the_loss(make: Any, detail: str) -> None:
    shown = picture(make(), detail)
    assert is_acyclic(shown)
    (output,) = boxes(shown, "output")
    assert not [e for e in shown.edges if e.tail is output and e.kind not in ("before", "after")]
    tails = {e.tail for e in shown.edges}
    ends = [b for b in boxes_in(shown.root) if b not in tails and b.kind not in ("next", "post")]
    assert ends == [output]


def test_every_call_of_a_layer_says_its_steps() -> None:
    shown = picture(two_calls(), "layer")
    assert [box(shown, title).lines[0] for title in ("gru.l0", "gru.l0 (2)")] == [
        "3 steps",
        "4 steps",
    ]


def test_the_boxes_of_a_backward_say_of_what() -> None:
    net = tg.nn.LSTM(3, 2, rng=0)
    y, _ = net(np.ones((3, 1, 3)), unroll=True)
    (g,) = tg.grad(tg.sum(y * y), [net.weight_hh_l0], create_graph=True)
    shown = picture(g)
    names = titles(shown, *operations)
    for name in ("dh_t", "dc_t", "di_t", "df_t", "dg_t", "do_t", "d tanh", "dweight_hh_l0"):
        assert name in names, name


def test_long_names_are_cut_and_titles_stay_apart() -> None:
    name = "a" * 60 + "b" * 60
    x = leaf(2, name=name)
    with tg.scope(name):
        y = tg.tanh(tg.exp(x))
        y.name = name
    shown = picture(y)
    for text in (*titles(shown), *[c[0] for c in clusters(shown.root)]):
        assert len(text) <= 40
        assert text.startswith("aaa")
        assert text.endswith("bbb")


# ── leaving steps out ────────────────────────────────────────────────────────────────────


def test_max_steps() -> None:
    shown = picture(rnn(48), max_steps=5)
    ends = [f"cell: t = {t}" for t in (0, 1, 2, 46, 47)]
    assert clusters(shown.root) == [[title] for title in ends]
    (gap,) = boxes(shown, "gap")
    assert gap.title == "... 43 steps (3 to 45) left out ..."
    assert titles(shown, "constant") == ["x_0", "h_0", "x_1", "x_2", "x_46", "x_47"]
    assert edge(shown, "h_t", gap.title).kind == "state"
    assert edge(shown, gap.title, "linear").lines == ["h_t"]
    # Each weight runs past the gap, too.
    assert sum(e.head is gap and e.kind == "weight" for e in shown.edges) == 3


def test_max_steps_that_leave_out_one_or_none() -> None:
    assert titles(picture(rnn(5), max_steps=4), "gap") == ["... 1 step (2) left out ..."]
    assert titles(picture(rnn(5), max_steps=5), "gap") == []
    assert titles(picture(rnn(5), max_steps=50), "gap") == []


def test_max_steps_of_nested_loops_and_of_a_backward() -> None:
    h: Any = leaf(2)
    w = leaf(2, name="w")
    for _ in tg.steps(range(4)):
        for _ in tg.steps(range(5)):
            h = tg.tanh(h * w)
    shown = picture(h.sum(), max_steps=2)
    assert [len(inner) - 1 for inner in clusters(shown.root)] == [2, 2]
    assert Counter(titles(shown, "gap")) == {
        "... 2 steps (1 to 2) left out ...": 1,
        "... 3 steps (1 to 3) left out ...": 2,
    }
    h = x = leaf(2)
    for _ in tg.steps(range(6)):
        h = tg.tanh(h)
    backward = picture(tg.grad(h.sum(), x, create_graph=True), max_steps=2)
    assert titles(backward, "gap") == [
        "... 4 steps (1 to 4) left out ...",
        "... 4 steps (4 to 1) left out ...",
    ]


# ── cell detail ──────────────────────────────────────────────────────────────────────────


def test_cell_detail_has_a_box_for_every_step() -> None:
    shown = picture(lstm(3), "cell")
    assert titles(shown, "step") == ["cell: t = 0", "cell: t = 1", "cell: t = 2"]
    assert edge(shown, "cell: t = 0", "cell: t = 1").lines == ["h_t, c_t"]
    assert edge(shown, "cell: t = 0", "cell: t = 1").kind == "state"
    assert edge(shown, "cell: t = 2", "readout").lines == ["h_t"]
    assert titles(shown, "module") == ["readout"]
    assert titles(shown, "output") == ["mean"]
    assert sorted(titles(shown, "weight")) == ["V", "bias", "weight_hh", "weight_ih"]


def test_states_without_names_are_shown_by_their_shapes() -> None:
    h: Any = leaf(2)
    c: Any = leaf(2)
    for _ in tg.steps(range(2)):
        h, c = tg.exp(c), tg.exp(h)
    shown = picture(h + c, "cell")
    assert edge(shown, "t = 0", "t = 1").lines == ["2 × (2,)"]


def test_inputs_stand_beside_their_step_and_first_states_before() -> None:
    shown = picture(lstm(3), "cell")
    assert box(shown, "x_0").beside is box(shown, "cell: t = 0")
    assert box(shown, "x_2").beside is box(shown, "cell: t = 2")
    assert box(shown, "h_0").beside is None
    assert box(shown, "c_0").beside is None


def test_first_states_are_found_only_where_the_next_step_is_alike() -> None:
    h: Any = np.ones(2)
    for t, x_t in tg.steps([leaf(2, name="x_0"), leaf(2, name="x_1")]):
        h = tg.exp(x_t) * h if t == 0 else tg.exp(h)
    shown = picture(h, "cell")
    assert box(shown, "x_0").beside is None  # where the next step takes its state in
    assert box(shown, "(2,)").beside is box(shown, "t = 0")
    one = picture(tg.stack([tg.exp(leaf(1, name="x")) for _ in tg.steps([0])]), "cell")
    assert box(one, "x").beside is box(one, "t = 0")
    h = leaf(2, name="start")
    for t, x_t in tg.steps(np.ones((2, 2))):
        h = tg.concatenate([x_t, x_t, h]) if t == 0 else tg.concatenate([h, x_t])
    assert box(picture(h, "cell"), "start").beside is not None


def test_a_step_names_its_modules() -> None:
    h: Any = leaf(2)
    for _ in tg.steps(range(2)):
        with tg.scope("first"):
            h = tg.exp(h)
        with tg.scope("second"):
            h = tg.tanh(tg.exp(h))
    assert box(picture(h, "cell"), "t = 1").lines == ["first", "second"]


def test_a_step_with_a_loop_inside_is_a_cluster() -> None:
    h: Any = leaf(2)
    for _ in tg.steps(range(2)):
        with tg.scope("word"):
            for _ in tg.steps(range(2)):
                with tg.scope("letter"):
                    h = tg.exp(h)
            h = tg.tanh(h)
    shown = picture(h, "cell")
    assert clusters(shown.root) == [["word: t = 0"], ["word: t = 1"]]
    assert titles(shown, "step") == [
        "letter: t = 0",
        "letter: t = 1",
        "word: t = 0",
        "letter: t = 0",
        "letter: t = 1",
        "word: t = 1",
    ]


def test_cell_detail_needs_steps() -> None:
    with pytest.raises(ValueError, match=r"needs time steps.*tg.steps\(xs\).*unroll=True"):
        picture(rnn(2, tagged=False), "cell")


# ── layer detail ─────────────────────────────────────────────────────────────────────────


def test_layer_detail_has_a_box_for_every_module() -> None:
    shown = picture(lstm(4), "layer")
    assert titles(shown, "module") == ["cell", "readout"]
    weights = ["weight_ih (16, 3)", "bias (16,)", "weight_hh (16, 4)"]
    assert box(shown, "cell").lines == ["4 steps", *weights]
    recurrence = edge(shown, "cell", "h_t, c_t")
    assert (recurrence.kind, recurrence.head.kind) == ("state", "next")
    assert recurrence.head.lines == ["to its next step"]
    assert edge(shown, "cell", "readout").lines == ["h_t"]
    assert box(shown, "x_0 … x_3").lines == ["(2, 3)"]
    assert box(shown, "h_0, c_0").lines == ["(2, 4)"]
    assert clusters(shown.root) == []


def test_a_loop_without_modules_is_a_layer() -> None:
    w = leaf(2, name="w")
    h: Any = np.ones(2)
    for _, x_t in tg.steps(np.ones((2, 2))):
        h = tg.exp(h * w + x_t)
    assert box(picture(h, "layer"), "loop").lines == ["2 steps", "w (2,)"]
    for _ in tg.steps([0]):
        h = tg.tanh(h)
    assert box(picture(h, "layer"), "loop 2").lines == ["1 step"]


def test_weights_without_names_and_inputs_without_names() -> None:
    h: Any = np.ones(2)
    w = leaf(2)
    for _, x_t in tg.steps([leaf(3, 2), leaf(3, 2)]):
        with tg.scope("cell"):
            h = tg.exp(h * w + x_t)
    shown = picture(h, "layer")
    assert box(shown, "cell").lines == ["2 steps", "(2,)"]
    assert len(box(shown, "2 × (3, 2)").nodes) == 2


def test_a_weight_that_layers_share_is_a_box() -> None:
    w = leaf(2, name="w")
    x: Any = np.ones(2)
    for name in ("encoder", "decoder", "readout"):
        with tg.scope(name):
            x = x * w
    shown = picture(x, "layer")
    assert edges(shown, "weight") == [("w", "encoder"), ("w", "decoder"), ("w", "readout")]


def test_a_recorded_backward_is_a_layer() -> None:
    x = leaf(2)
    with tg.scope("cell"):
        y = tg.tanh(x)
    loss = tg.exp(y).sum()
    shown = picture(tg.grad(loss, x, create_graph=True), "layer")
    assert titles(shown, "module") == ["cell", "cell, backward"]


def test_a_state_between_layers() -> None:
    h: Any = leaf(2)
    for _ in tg.steps(range(3)):
        with tg.scope("a"):
            y = tg.exp(h)
        with tg.scope("b"):
            h = tg.tanh(y)
    shown = picture(h, "layer")
    assert edges(shown, "data") == [("a", "b")]
    (stub,) = boxes(shown, "next")
    assert edges(shown, "state") == [("b", stub.title)]
    assert stub.lines == ["to the next step of a"]
