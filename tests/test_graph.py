"""The graph: what is recorded, where it ran, when it is checked, and that it goes away."""

import asyncio
import contextvars
import copy
import gc
import threading
import tracemalloc
import weakref
from array import array

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import graph
from tinygrad_rnn.graph import Scope, ancestors, current


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


# ── what a node holds ────────────────────────────────────────────────────────────────────


def test_a_node_holds_its_inputs_their_arrays_and_its_output():
    x, c = live([1.0, 2.0], name="x"), tg.Tensor([3.0, 4.0], name="c")
    y = x * c
    assert y.node.primitive is tg.multiply.primitive
    assert y.node.parents == (x.node, "c")
    assert [a.tolist() for a in y.node.arrays] == [[1.0, 2.0], [3.0, 4.0]]
    assert y.node.output.tolist() == [3.0, 8.0]
    assert y.node.keywords == {}
    assert y.node.number > x.node.number
    assert not y.node.is_leaf
    assert x.node.is_leaf


@pytest.mark.parametrize("other", [2.0, 2, True, np.float64(2), [2.0, 1.0], np.ones(2)])
def test_a_constant_has_no_place_in_the_graph(other):
    x = live([1.0, 2.0])
    assert (x + other).node.parents == (x.node, None)
    assert (other + x).node.parents == (None, x.node)


def test_nothing_is_recorded_where_no_gradient_flows():
    x = tg.Tensor([1.0])
    for y in (tg.tanh(x), x + x, x.sum(), tg.concatenate([x, x]), x[0]):
        assert y.node is None
        assert not y.requires_grad


def test_arrays_in_arrays_out():
    for y in (
        tg.tanh(np.ones(2)),
        tg.add(np.ones(2), 1.0),
        tg.add([1.0], 2),
        tg.sum([1.0, 2.0]),
        tg.concatenate([[1.0], [2.0]]),
        tg.where([True], 1.0, 2.0),
        tg.linear([1.0], [[2.0]]),
        tg.equal(1.0, 2.0),
        tg.split(np.ones(2), 2)[0],
        tg.logsumexp(2.0),
        tg.softmax([1, 2]),
        tg.getitem(2.0, ()),
        tg.astype(1.5, np.float32),
        tg.embedding(1, np.eye(2)),
        tg.dropout([1.0, 2.0], 0.5, rng=0),
        tg.dropout([1.0], training=False),
        tg.conv2d(np.ones((1, 2, 2)), np.ones((1, 1, 1, 1))),
        tg.layer_norm([1.0, 2.0], 2),
        tg.square(3),
    ):
        assert type(y) is np.ndarray


def test_ancestors_are_listed_once_newest_first():
    x = live(2.0, name="x")
    y = x * x
    z = y + y * x
    listed = ancestors([z.node, y.node])
    assert [n.number for n in listed] == sorted({n.number for n in listed}, reverse=True)
    assert listed[-1] is x.node
    assert len(listed) == 4
    assert ancestors([z.node], since=z.node.number) == sorted(
        {z.node, *z.node.parents}, key=lambda n: -n.number
    )
    assert x.node not in ancestors([y.node], until={y.node})
    assert x.node in ancestors([z.node], until={y.node})  # by y * x


def test_ancestors_of_a_graph_with_many_paths_are_found_at_once():
    x = live(1e-30)
    for _ in range(200):  # 2 ** 200 paths
        x = x + x
    assert len(ancestors([x.node])) == 201


def test_representations_name_the_operation_and_the_place():
    x = live([1.0], name="w")
    with tg.scope("cell"):
        y = tg.exp(x)
    assert repr(x.node).endswith("leaf 'w' (1,)>")
    assert repr(y.node).endswith("exp (1,) in cell>")
    assert repr(tg.exp.primitive) == "<Primitive exp>"
    assert repr(Scope(("a",), ((1, 2),))) == "Scope(path=('a',), steps=((1, 2),), sweep=0)"


def test_primitives_are_plain_documented_functions():
    assert tg.tanh.__name__ == "tanh"
    assert "tanh x" in tg.tanh.__doc__
    for name, op in graph.table.items():
        assert op.name == name


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="two primitives are called tanh"):

        @graph.elementwise(lambda g, y, x: g)
        def tanh(x):
            return x


# ── arguments ────────────────────────────────────────────────────────────────────────────


def test_constants_go_by_position_or_by_name():
    x = live(np.ones((2, 3)))
    assert tg.sum(x, 0, True).shape == tg.sum(x, keepdims=True, axis=0).shape == (1, 3)
    assert tg.sum(x=x, axis=0).shape == (3,)
    assert tg.where([True], y=x, x=0.0).shape == (2, 3)
    assert tg.linear(W=np.ones((4, 3)), x=x).shape == (2, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: tg.sum(x, 0, False, 1),
            r"sum\(\) takes from 1 to 3 positional arguments but 4 were given",
        ),
        (lambda x: tg.sum(x, bogus=1), "sum.*'bogus'"),
        (lambda x: tg.sum(x, 0, axis=1), r"sum\(\) got multiple values for argument 'axis'"),
        (lambda x: tg.where(x), "where.* missing 2 required positional arguments: 'x' and 'y'"),
        (lambda x: tg.reshape(x), "reshape.* missing .*'shape'"),
        (lambda x: tg.sum(x, tg.Tensor(0)), "sum: axis must be a constant, got a Tensor"),
        (lambda x: tg.reshape(x, shape=tg.Tensor([3, 2])), "reshape: shape must be a constant"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call(live([1.0]))


@pytest.mark.parametrize(
    "bad",
    ["text", np.array(["a"]), np.array([None]), 1j, np.array([1j]), object(), {}, np.ones(1, "M8")],
)
def test_only_real_numbers_enter_a_graph(bad):
    x = live([1.0])
    for call in (lambda: x + bad, lambda: bad + x, lambda: tg.concatenate([x, bad])):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match=r"add: expected real numbers, got .* of dtype"):
        tg.add(x, bad)


def test_an_error_names_operation_operands_module_and_time_step():
    W = live(np.ones((3, 4), np.float32))

    def unroll():
        with tg.scope("encoder"), tg.scope("cell"):
            for _, x_t in tg.steps(np.ones((5, 2, 2))):
                _ = tg.Tensor(x_t) @ W

    with pytest.raises(ValueError, match="matmul") as error:
        unroll()
    message = str(error.value)
    assert message.startswith("matmul: ")
    assert message.endswith(
        "[operands: float64 (2, 2), float32 (3, 4)] in encoder.cell at time step 0"
    )


@pytest.mark.parametrize(
    ("call", "kind", "name"),
    [
        (lambda x: x + np.ones(3), ValueError, "add"),
        (lambda x: x + live(np.ones(3)), ValueError, "add"),
        (lambda x: x @ live(np.ones(3)), ValueError, "matmul"),
        (lambda x: x + None, TypeError, "add"),
        (lambda x: tg.sum(x, 5), IndexError, "sum"),
        (lambda x: x[7], IndexError, "getitem"),
        (lambda x: tg.take(x, [7]), IndexError, "take"),
        (lambda x: x.reshape(3), ValueError, "reshape"),
        (lambda x: tg.concatenate([x, x.reshape(2, 1)]), ValueError, "concatenate"),
        (lambda x: tg.stack([x, x[0]]), ValueError, "stack"),
        (lambda x: x.squeeze(0), ValueError, "squeeze"),
        (lambda x: tg.broadcast_to(x, (3,)), ValueError, "broadcast_to"),
        (lambda x: tg.max(x[:0]), ValueError, "max"),
        (lambda x: tg.linear(x, np.ones((2, 3))), ValueError, "linear"),
        (lambda x: tg.linear(x, np.ones((3, 2)), np.ones(2)), ValueError, "linear"),
        (lambda x: tg.linear(x, np.ones((3, 2)), 0.5), ValueError, "linear"),
        (lambda x: tg.embedding([0, 2], live(np.eye(2))), IndexError, "embedding"),
        (lambda x: tg.embedding([-1], live(np.eye(2))), IndexError, "embedding"),
        (lambda x: tg.embedding(tg.Tensor([5]), live(np.eye(2))), IndexError, "embedding"),
        (lambda x: tg.embedding([0.5], live(np.eye(2))), TypeError, "embedding"),
        (lambda x: tg.embedding(x, live(np.eye(2))), TypeError, "embedding"),
        (lambda x: tg.embedding([0], x), ValueError, "embedding"),
        (lambda x: tg.einsum("ij->j", x), ValueError, "einsum"),
        (lambda x: tg.conv2d(x, x), ValueError, "conv2d"),
        (lambda x: tg.conv2d(x.reshape(1, 1, 1, 2), np.ones((1, 2, 1, 1))), ValueError, "conv2d"),
        (lambda x: tg.max_pool2d(x, 2), ValueError, "max_pool2d"),
        (lambda x: tg.max_pool2d(x.reshape(1, 1, 2), 2), ValueError, "max_pool2d"),
        (lambda x: tg.layer_norm(x, 3), ValueError, "layer_norm"),
        (lambda x: tg.layer_norm(x, 2, np.ones(3)), ValueError, "layer_norm"),
        (lambda x: tg.split(x, 3), ValueError, "split"),
        (lambda x: tg.pad(x, ((1, 1), (1, 1))), ValueError, "pad"),
        (lambda x: tg.pad(x, 1, mode="edges"), ValueError, "pad"),
        (lambda x: tg.pad(x, 0.5), TypeError, "pad"),
        (lambda x: tg.conv2d(x.reshape(1, 1, 1, 2), x, stride=0), ValueError, "conv2d"),
        (lambda x: tg.max_pool2d(x.reshape(1, 1, 2), (1, 2), padding=1), ValueError, "max_pool2d"),
        (lambda x: tg.dropout(x, 2.0, rng=0), ValueError, "dropout"),
        (lambda x: tg.take(x, [0], axis=3), IndexError, "take"),
        (lambda x: tg.astype(x, complex), TypeError, "astype"),
        (lambda x: tg.einsum(3, x), TypeError, "einsum"),
        (lambda x: tg.where(x, 1.0, 0.0), TypeError, "where: its argument 0 has no derivative"),
    ],
)
def test_ill_shaped_operands_are_an_error_that_names_operation_and_module(call, kind, name):
    with tg.scope("layer"), pytest.raises(kind, match=f"{name}.* in layer$"):
        call(live([1.0, 2.0]))


# ── nothing that is written into afterwards changes a gradient ───────────────────────────


def test_the_data_are_copied():
    data = np.array([1.0, 2.0])
    x = live(data)
    y = (x * x).sum()
    data[:] = 100
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    "kind", [np.array, lambda a: array("d", a), lambda a: np.array(a)[:, None].T[0]]
)
def test_a_constant_operand_is_copied(kind):
    c = kind([3.0, 4.0])
    x = live([1.0, 2.0])
    y = (x * c + c * x).sum()
    c[0] = 100
    y.backward()
    assert x.grad.tolist() == [6.0, 8.0]


def test_a_memory_map_is_copied(tmp_path):
    c = np.memmap(tmp_path / "weights", dtype=np.float64, mode="w+", shape=2)
    c[:] = 3
    x = live([1.0, 2.0])
    y = (x * c).sum()
    c[:] = 100
    y.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def _overwrite(a):
    a[...] = np.zeros_like(a)


@pytest.mark.parametrize(
    ("constant", "use"),
    [
        (np.array([2, 2]), lambda x, i: x[i]),
        (np.array([2, 2]), lambda x, i: x[..., i]),
        (np.array([2, 2]), lambda x, i: x[(i,)]),
        (np.array([2, 2]), lambda x, i: tg.take(x, i)),
        (np.array([2, 2]), lambda x, i: tg.place(x[:2], i, (4,))),
        (np.array([False, True, True]), lambda x, m: x[m]),
        (np.array([False, True, True]), lambda x, m: tg.where(m, x, 0.0)),
        (np.array([2, 2]), lambda x, i: tg.embedding(i, x.reshape(3, 1))),
        (np.array([1.5, 1.5, 3.5]), lambda x, low: tg.clip(x, low)),
        (np.array([1.5, 1.5, 3.5]), lambda x, high: tg.clip(x, None, high)),
        (np.array([[1, 2]]), lambda x, n: tg.pad(x, n)),
        (np.array([1.0, 2.0, 3.0]), lambda x, c: tg.einsum("i,i->i", x, c)),
        (np.array([1.0, 2.0, 3.0]), lambda x, c: tg.stack([x, x * 2]) @ c),
        (np.array([1.0, 2.0, 3.0]), lambda x, c: x**c),
        (np.array(2), lambda x, n: x[:n]),
        (np.array(2), lambda x, n: x[None, n:]),
    ],
)
def test_an_array_that_is_recorded_may_be_overwritten(constant, use):
    def gradient(change):
        x, c = live([1.0, 2.0, 3.0]), constant.copy()
        y = use(x, c)
        weights = np.arange(1.0, 1.0 + y.size).reshape(y.shape)
        change(c)
        y.backward(weights)
        return x.grad.tolist()

    assert gradient(_overwrite) == gradient(lambda c: None)


@pytest.mark.parametrize(
    ("constant", "use"),
    [
        ([0.5, 2.5, 3.5], lambda x, low: tg.clip(x, low)),
        ([1, 0, 2], lambda x, axes: tg.transpose(x.reshape(3, 1, 1) * np.ones((1, 2, 2)), axes)),
        ([2, 0], lambda x, i: x[i]),
        ([2, 0], lambda x, i: x[i, None]),
    ],
)
def test_a_list_that_is_recorded_may_be_overwritten(constant, use):
    def gradient(change):
        x, c = live([1.0, 2.0, 3.0]), list(constant)
        y = use(x, c)
        if change:
            c.reverse()
        y.backward(np.arange(1.0, 1.0 + y.size).reshape(y.shape))
        return x.grad.tolist()

    assert gradient(True) == gradient(False)


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: (c, 1), lambda c: ((0, c),), list])
def test_a_constant_of_ones_own_operation_may_be_overwritten(wrap):
    def total(weights):
        return sum(map(total, weights)) if isinstance(weights, tuple) else np.sum(weights)

    scaled = tg.primitive(
        lambda x, weights: x * total(weights),
        lambda g, y, x, weights: g * total(weights),
        name="scaled",
    )
    x, c = live([1.0, 2.0]), np.array([1.0, 2.0])
    y = scaled(x, weights=wrap(c)).sum()
    expected = y.item() / 3
    c[:] = 99
    y.backward()
    assert x.grad.tolist() == [expected, expected]


def test_a_tensor_that_bounds_a_slice_may_be_rebound():
    x, n = live([1.0, 2.0, 3.0]), tg.Tensor(2)
    y = x[:n].sum()
    n.data = np.array(1)
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_rebinding_data_is_noticed_by_no_pending_backward():
    x, w = live([1.0, 2.0]), live([3.0, 4.0])
    y = (x * w).sum()
    x.data, w.data = [10.0, 10.0], [20.0, 20.0]
    y.backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert w.grad.tolist() == [1.0, 2.0]
    # and by a sweep that is recorded neither
    y = (x * x * x).sum()
    x.data = [0.0, 0.0]
    first = tg.grad(y, x, create_graph=True)
    assert first.numpy().tolist() == [300.0, 300.0]
    assert tg.grad(first.sum(), x).numpy().tolist() == [60.0, 60.0]


def test_keywords_of_a_users_op_are_copied_deep():
    scaled = tg.primitive(
        lambda x, by: x * by["k"][0], lambda g, y, x, by: g * by["k"][0], name="scaled"
    )
    by = {"k": [3.0]}
    x = live(2.0)
    y = scaled(x, by=by)
    by["k"][0] = 100.0
    y.backward()
    assert x.grad == 3.0


# ── recording off and on ─────────────────────────────────────────────────────────────────


def test_no_grad_is_a_context_manager_and_a_decorator():
    x = live([1.0])

    @tg.no_grad()
    def double(x):
        return x * 2

    for _ in range(2):
        assert not double(x).requires_grad
    with tg.no_grad():
        results = [x + x, tg.exp(x), x * 2, x.sum(), x[0], tg.stack([x, x])]
        with tg.no_grad():
            pass
        results.append(x * 3)
    assert not any(y.requires_grad for y in results)
    assert (x * 2).requires_grad


def test_a_no_grad_object_may_be_entered_again_and_within_itself():
    x = live([1.0])
    for switch in (tg.no_grad(), tg.detect_anomaly()):
        recorded = isinstance(switch, tg.detect_anomaly)
        for _ in range(2):
            with switch:
                with switch:
                    assert (x * 2).requires_grad == recorded
                assert (x * 2).requires_grad == recorded
            assert (x * 2).requires_grad


def test_a_no_grad_object_may_be_shared_by_threads():
    x, switch = live([1.0]), tg.no_grad()
    inside, outside = threading.Event(), threading.Event()
    found = []

    def work():
        with switch:
            inside.set()
            outside.wait()
            found.append((x * 2).requires_grad)
        found.append((x * 2).requires_grad)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    with switch:
        pass
    assert (x * 2).requires_grad
    outside.set()
    thread.join()
    assert found == [False, True]


def test_no_grad_decorates_generator_functions():
    x = live([1.0])

    @tg.no_grad()
    def doubles(count):
        """Some."""
        try:
            for _ in range(count):
                sent = yield x * 2
                if sent is not None:
                    yield x * sent
        except KeyError:
            yield x * 3
        return (x * 4).requires_grad

    assert doubles.__doc__ == "Some."
    made = []
    for y in doubles(3):
        made.append(y)
        assert (x * 2).requires_grad  # not within the loop that reads it
    assert len(made) == 3
    assert not any(y.requires_grad for y in made)
    running = doubles(2)
    next(running)
    assert running.send(5.0).numpy() == 5.0
    assert not running.throw(KeyError()).requires_grad
    with pytest.raises(StopIteration) as stop:
        next(running)
    assert stop.value.value is False
    running = doubles(2)
    next(running)
    running.close()
    assert (x * 2).requires_grad


def test_no_grad_decorates_coroutines():
    x = live([1.0])

    @tg.no_grad()
    async def double(wait):
        await asyncio.sleep(wait)
        y = x * 2
        await asyncio.sleep(0)
        return y

    async def all_of_them():
        return await asyncio.gather(*[double(wait) for wait in (0.02, 0, 0.01)])

    assert not any(y.requires_grad for y in asyncio.run(all_of_them()))
    assert (x * 2).requires_grad


def test_a_no_grad_object_may_be_shared_by_tasks():
    x, switch = live([1.0]), tg.no_grad()

    async def ends_first():
        with switch:
            await asyncio.sleep(0.01)
        return (x * 2).requires_grad

    async def ends_last():
        with tg.no_grad():
            await asyncio.sleep(0.005)
            with switch:
                await asyncio.sleep(0.02)
            return (x * 2).requires_grad

    async def both():
        return await asyncio.gather(ends_first(), ends_last())

    assert asyncio.run(both()) == [True, False]


def test_no_grad_decorates_asynchronous_generators():
    x = live([1.0])

    @tg.no_grad()
    async def doubles():
        try:
            sent = yield x * 2
            yield x * sent
        except KeyError:
            yield x * 3

    async def read():
        made = [y async for y in doubles_once()]
        running = doubles()
        made.append(await running.__anext__())
        assert (x * 2).requires_grad  # not where it is read
        made.append(await running.asend(5.0))
        made.append(await running.athrow(KeyError()))
        await running.aclose()
        with pytest.raises(StopAsyncIteration):
            await running.__anext__()
        return made

    @tg.no_grad()
    async def doubles_once():
        yield x * 2

    made = asyncio.run(read())
    assert [y.item() for y in made] == [2, 2, 5, 3]
    assert not any(y.requires_grad for y in made)


def test_no_grad_decorates_objects():
    class Doubles:
        def __call__(self):
            yield x * 2

    x = live([1.0])
    assert not any(y.requires_grad for y in tg.no_grad()(Doubles())())


def test_a_no_grad_block_may_end_in_another_context():
    x, switch = live([1.0]), tg.no_grad()
    contextvars.copy_context().run(switch.__enter__)
    switch.__exit__(None, None, None)
    assert (x * 2).requires_grad

    async def fixture():
        with tg.no_grad():
            yield x * 2

    async def use():
        made = fixture()
        y = await asyncio.create_task(made.__anext__())
        with pytest.raises(StopAsyncIteration):
            await asyncio.create_task(made.__anext__())
        return y.requires_grad, (x * 2).requires_grad

    assert asyncio.run(use()) == (False, True)


def test_blocks_of_generators_may_end_in_any_order():
    def block():
        with tg.no_grad():
            yield

    x, first, second = live([1.0]), block(), block()
    for generator in (first, second):
        next(generator)
    for generator in (first, second):
        assert not (x * 2).requires_grad
        generator.close()
    assert (x * 2).requires_grad


def test_no_grad_is_called():
    with pytest.raises(TypeError, match=r"a decorator is written @tg.no_grad\(\)"):

        @tg.no_grad
        def f():
            pass


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert (live() * 2).requires_grad


def test_no_grad_holds_for_its_own_thread():
    x, answers = live(), []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: answers.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert answers == [True]


def test_enable_grad_records_inside_no_grad():
    with tg.no_grad(), graph.enable_grad():
        assert (live() * 2).requires_grad


def test_a_leaf_made_under_no_grad_still_wants_its_gradient():
    with tg.no_grad():
        x = live(2.0)
    (x * x).backward()
    assert x.grad == 4.0


# ── scopes and steps ─────────────────────────────────────────────────────────────────────


def tag(x=None):
    return ((x if x is not None else live()) * 2).node.scope


def test_scopes_nest():
    with tg.scope("encoder"):
        with tg.scope("cell"):
            assert tag().path == ("encoder", "cell")
        assert tag().path == ("encoder",)
    assert tag().path == ()
    assert tag().step is None


def test_a_scope_may_be_entered_again_and_within_itself():
    tree = tg.scope("tree")
    for _ in range(2):
        with tree, tree:
            assert tag().path == ("tree", "tree")
        assert tag().path == ()


def test_a_scope_ends_with_an_exception():
    with pytest.raises(KeyError), tg.scope("a"), tg.scope("b"):
        raise KeyError
    assert tag().path == ()


def test_a_scope_is_a_string():
    with pytest.raises(TypeError, match=r"scope: expected a name .str., got int"):
        tg.scope(3)


def test_scopes_belong_to_their_thread():
    answers = []
    with tg.scope("a"):
        thread = threading.Thread(target=lambda: answers.append(tag().path))
        thread.start()
        thread.join()
    assert answers == [()]


def test_steps_count_from_0_and_tag_the_reading_too():
    xs = live(np.ones((3, 2)))
    seen = []
    for t, x_t in tg.steps(xs):
        assert x_t.node.scope.step == t
        seen.append((t, tag(x_t).step))
    assert seen == [(0, 0), (1, 1), (2, 2)]
    assert tag().step is None


@pytest.mark.parametrize(
    "xs", [[1.0, 2.0], (1.0, 2.0), np.ones(2), tg.Tensor([1.0, 2.0]), iter([1.0, 2.0])]
)
def test_steps_enumerate_anything(xs):
    assert [t for t, _ in tg.steps(xs)] == [0, 1]


def test_steps_can_go_back_in_time():
    xs = live([1.0, 2.0, 3.0])
    seen = [(t, x_t.item(), tag(x_t).step) for t, x_t in tg.steps(xs, reverse=True)]
    assert seen == [(2, 3.0, 2), (1, 2.0, 1), (0, 1.0, 0)]
    assert tag().steps == ()
    assert list(tg.steps([], reverse=True)) == []
    with pytest.raises(TypeError):
        next(tg.steps(iter([1.0]), reverse=True))
    assert tag().steps == ()


@pytest.mark.parametrize("requires_grad", [True, False])
def test_steps_of_a_named_tensor_have_names(requires_grad):
    xs = tg.Tensor([1.0, 2.0], requires_grad=requires_grad, name="x")
    assert [x_t.name for _, x_t in tg.steps(xs)] == ["x[0]", "x[1]"]
    xs.name = None
    assert [x_t.name for _, x_t in tg.steps(xs)] == [None, None]


def test_steps_of_nothing_and_of_no_sequence():
    assert list(tg.steps([])) == []
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        next(tg.steps(tg.Tensor(1.0)))
    assert tag().step is None


def test_steps_nest_and_know_their_scope():
    with tg.scope("outer"):
        for i, _ in tg.steps(range(2)):
            with tg.scope("inner"):
                for j, _ in tg.steps(range(2)):
                    here = tag()
                    assert here.path == ("outer", "inner")
                    assert [t for _, t in here.steps] == [i, j]
                    assert here.step == j
            assert tag().step == i
    assert tag().steps == ()


def test_two_loops_are_told_apart():
    first = [tag().steps for _ in tg.steps(range(1))]
    second = [tag().steps for _ in tg.steps(range(1))]
    assert first != second


def test_a_loop_left_by_break_or_exception_leaves_no_tag():
    for _ in tg.steps(range(3)):
        break
    assert tag().step is None

    def fail():
        for _ in tg.steps(range(3)):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert tag().step is None


def test_a_generator_that_is_kept_closes_without_disturbing_another_scope():
    kept = tg.steps(range(3))
    next(kept)
    assert tag().step == 0
    kept.close()
    assert tag().step is None
    with tg.scope("later"):
        del kept
        assert tag().path == ("later",)


def test_loops_that_are_zipped_leave_no_tag():
    for n, m in ((2, 3), (3, 2)):
        for (t, _), (s, _) in zip(tg.steps(range(n)), tg.steps(range(m)), strict=False):
            assert t == s == tag().step
        assert tag().steps == ()


def test_a_generator_closed_in_another_scope_leaves_that_scope_alone():
    for _ in tg.steps(range(1)):
        kept = tg.steps(range(3))
        next(kept)
    with tg.scope("later"):
        kept.close()
        assert tag().path == ("later",)
    assert tag().path == ()


def test_whoever_calls_next_himself_stays_inside_no_grad():
    loop = tg.steps(range(3))
    next(loop)
    with tg.no_grad():
        next(loop)
        assert not (live() * 2).requires_grad
    next(loop)
    assert (live() * 2).requires_grad
    loop.close()
    assert current().scope.steps == ()


def test_steps_belong_to_their_thread():
    answers = {}

    def run(name, n):
        answers[name] = [tag().step for _ in tg.steps(range(n))]

    threads = [threading.Thread(target=run, args=(n, n)) for n in (50, 60, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: list(range(n)) for n in (50, 60, 70)}


def test_a_recorded_sweep_keeps_the_places_of_what_it_differentiates():
    x = live([0.5, 1.0])
    for _, x_t in tg.steps(x):
        with tg.scope("cell"):
            y = tg.sin(x_t)
    (dx,) = tg.grad(y, [x], create_graph=True)
    cosine = next(n for n in ancestors([dx.node]) if n.primitive is tg.cos.primitive)
    assert cosine.scope.path == ("cell",)
    assert cosine.scope.step == 1
    assert cosine.scope.sweep == 1
    (ddx,) = tg.grad(dx.sum(), [x], create_graph=True)
    assert max(n.scope.sweep for n in ancestors([ddx.node])) == 2


# ── detect_anomaly ───────────────────────────────────────────────────────────────────────


def test_nothing_is_checked_outside():
    with np.errstate(all="ignore"):
        x = live([-1.0])
        y = tg.log(x)
    assert np.isnan(y.numpy()).all()


def test_the_first_nan_names_operation_module_and_time_step():
    x = live([4.0, 1.0, 0.0])

    def unroll():
        with tg.detect_anomaly(), tg.scope("cell"):
            for _, x_t in tg.steps(x):
                _ = tg.log(x_t - 0.5)

    with pytest.raises(FloatingPointError) as error:
        unroll()
    assert (
        str(error.value) == "log: NaN in its output from inputs of shape () in cell at time step 2"
    )


def test_inf_counts_where_the_inputs_were_finite():
    with tg.detect_anomaly():
        with pytest.raises(FloatingPointError, match="divide: Inf in its output"):
            live([1.0]) / 0.0
        with pytest.raises(FloatingPointError, match="exp: Inf in its output"):
            tg.exp(tg.Tensor([1000.0]))
        # An Inf that was there before is none of theirs.
        y = live([np.inf]) * 2
        assert np.isinf(y.numpy()).all()
        assert np.isinf(tg.where([True, False], live([1.0, 1.0]), -np.inf).numpy()).any()
        # Nor is one that was asked for.
        assert tg.pad(live([1.0]), 1, constant_values=-np.inf).shape == (3,)
        assert tg.max_pool2d(live(np.ones((1, 4, 4))), 3, padding=1).shape == (1, 2, 2)
        assert tg.clip(live([1.0]), -np.inf, np.inf).numpy() == 1.0


def test_nan_counts_wherever_it_came_from():
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match="add: NaN"):
        live([np.nan]) + 1


def test_backward_is_checked_and_names_the_operation():
    x = live([0.0, 1.0])
    with tg.detect_anomaly():
        with tg.scope("norm"):
            y = tg.sqrt(x)
        with pytest.raises(FloatingPointError, match=r"sqrt: Inf in its backward .* in norm"):
            y.sum().backward()
        with pytest.raises(FloatingPointError, match="sqrt: Inf in its backward"):
            tg.grad(y.sum(), x)


def test_a_forward_outside_and_a_backward_inside():
    x = live([0.0])
    y = tg.sqrt(x).sum()
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match="sqrt"):
        y.backward()
    with np.errstate(all="ignore"):
        y.backward()
    assert np.isinf(x.grad).all()


def test_a_recorded_backward_is_checked_too():
    x = live([0.0])
    with tg.detect_anomaly():
        y = (x * tg.sqrt(x)).sum()
        with pytest.raises(FloatingPointError, match="divide: NaN in its output"):
            tg.grad(y, x, create_graph=True)


def test_the_sum_of_two_cotangents_is_checked():
    x = live([1.0])
    with tg.detect_anomaly():
        y = tg.stack([x * 1e308, tg.checkpoint(lambda x: x * 1e308, x)])
        with pytest.raises(FloatingPointError, match="Inf where its backward adds up"):
            y.backward([[1.0], [1.0]])
        y = tg.stack([x * 1e308, x * 1e308])
        with pytest.raises(FloatingPointError, match="multiply: Inf where its backward adds up"):
            y.backward([[1.0], [1.0]])
        for y, name in (
            (tg.stack([x[0], x[0]]), "getitem"),
            (tg.embedding([0, 0], x.reshape(1, 1)), "embedding"),
        ):
            with pytest.raises(FloatingPointError, match=f"^{name}: Inf where its backward adds"):
                y.backward(np.full(y.shape, 1.5e308))


def test_indexing_is_checked_too():
    x = live(np.ones((3, 2)))
    with tg.detect_anomaly():
        y = tg.sqrt(x[0] - 1.0) + x[[1, 1]].sum() + tg.embedding([0], x).sum()
        with pytest.raises(FloatingPointError, match="sqrt"):
            y.sum().backward()


def test_inside_a_checkpoint_module_and_step_are_named():
    x = live([0.0])
    with tg.detect_anomaly():
        for _ in tg.steps(range(1)):
            with tg.scope("cell"):
                y = tg.checkpoint(tg.sqrt, x)
        with pytest.raises(FloatingPointError, match=r"sqrt: .* in cell at time step 0"):
            y.sum().backward()


def test_what_is_finite_passes_with_the_same_numbers():
    x = live([0.5, 1.5])
    plain = tg.grad((tg.tanh(x) @ tg.exp(x)) * x[0], x)
    with tg.detect_anomaly():
        checked = tg.grad((tg.tanh(x) @ tg.exp(x)) * x[0], x)
    assert checked.numpy().tobytes() == plain.numpy().tobytes()


def test_integers_and_booleans_pass():
    with tg.detect_anomaly():
        assert (tg.Tensor([1, 2]) + 1).numpy().tolist() == [2, 3]
        assert (live([1.0]) > 0).numpy().all()


def test_detect_anomaly_is_a_decorator_and_ends_with_an_exception():
    @tg.detect_anomaly()
    def check(x):
        return tg.log(x)

    with pytest.raises(FloatingPointError):
        check(live([-1.0]))
    assert not current().anomaly


# ── a user's own operations ──────────────────────────────────────────────────────────────

cube = tg.primitive(lambda x: x**3, lambda g, y, x: g * 3 * x**2, name="cube", elementwise=True)


def test_a_users_op_has_gradients_of_every_order():
    x = live([1.0, 2.0])
    y = cube(x)
    first = tg.grad(y.sum(), x, create_graph=True)
    second = tg.grad(first.sum(), x, create_graph=True)
    third = tg.grad(second.sum(), x)
    assert y.numpy().tolist() == [1.0, 8.0]
    assert first.numpy().tolist() == [3.0, 12.0]
    assert second.numpy().tolist() == [6.0, 12.0]
    assert third.numpy().tolist() == [6.0, 6.0]
    assert cube.__name__ == cube.primitive.name == "cube"
    assert cube(np.array([2.0])).tolist() == [8.0]
    assert "cube" not in graph.table


def test_a_users_elementwise_op_is_unbroadcast():
    def product(x, y):
        return x * y

    op = tg.primitive(product, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x, elementwise=True)
    x, y, s = live(np.ones((2, 1))), live(np.ones(3)), live(2.0)
    op(op(x, y), s).sum().backward()
    assert x.grad.tolist() == [[6.0], [6.0]]
    assert y.grad.tolist() == [4.0, 4.0, 4.0]
    assert s.grad == 6.0
    assert op.__name__ == "product"


def test_a_python_number_never_changes_the_dtype_in_a_users_op():
    op = tg.primitive(lambda x, y: x * y, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x)
    assert op(live(np.float32(2)), 3.0).dtype == np.float32


def test_keywords_reach_the_rules():
    seen = []

    def scale(x, *, by=2.0):
        return x * by

    def rule(g, y, x, *, by):
        seen.append(by)
        return g * by

    op = tg.primitive(scale, rule)
    x = live(1.0)
    op(x).backward()
    op(x, by=3.0).backward()
    assert seen == [2.0, 3.0]
    assert x.grad == 5.0
    with pytest.raises(TypeError, match="scale: by must be a constant, got a Tensor"):
        op(x, by=tg.Tensor(1.0))


def test_rules_may_leave_the_defaults_to_the_forward():
    op = tg.primitive(lambda x, by=2.0: x * by, lambda g, y, x: g * 2.0)
    x = live(1.0)
    op(x).backward()
    assert x.grad == 2.0


def test_ufuncs_and_callable_objects_make_ops():
    sinh = tg.primitive(np.sinh, lambda g, y, x: g * np.cosh(x))
    assert sinh.__name__ == "sinh"
    x = live([0.5])
    sinh(x).backward()
    assert x.grad == np.cosh(0.5)

    class Twice:
        def __call__(self, x):
            return x * 2

    twice = tg.primitive(Twice(), lambda g, y, x: g * 2)
    assert twice.__name__ == "Twice"
    y = twice(x)
    y.backward()
    # a function written in C has no signature to read
    least = tg.primitive(min, lambda g, y, x: g * (x == y))
    x = live([2.0, 1.0])
    least(x).backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_an_argument_without_rule_takes_no_gradient():
    op = tg.primitive(lambda x, n: x * n, lambda g, y, x, n: g * n, None, name="times")
    x = live(2.0)
    y = op(x, tg.Tensor(3.0))
    y.backward()
    assert x.grad == 3.0
    with pytest.raises(TypeError, match=r"times: its argument 1 has no derivative.*detach"):
        op(x, live(3.0))
    with tg.no_grad():
        assert op(x, live(3.0)).item() == 6.0


def test_a_rule_of_the_wrong_shape_names_the_operation():
    x = live([1.0, 2.0])
    for elementwise in (False, True):
        op = tg.primitive(
            lambda x: x * 2, lambda g, y, x: np.ones(3), name="bad", elementwise=elementwise
        )
        with tg.scope("layer"):
            y = op(x).sum()
        with pytest.raises(
            ValueError,
            match=r"bad: its rule for argument 0 returned a cotangent of shape \(3,\), "
            r"expected its input's shape \(2,\) in layer",
        ):
            y.backward()
        with pytest.raises(ValueError, match="bad: its rule for argument 0"):
            tg.grad(y, x, create_graph=True)


def test_only_elementwise_ops_are_unbroadcast():
    op = tg.primitive(lambda x: x * np.ones((3, 1)), lambda g, y, x: g, name="spread")
    with pytest.raises(ValueError, match="spread: its rule for argument 0"):
        op(live([1.0, 2.0])).sum().backward()


@pytest.mark.parametrize("returned", [None, "text", 1j, [None]])
def test_a_rule_that_returns_no_numbers_names_the_operation(returned):
    op = tg.primitive(lambda x: x * 2, lambda g, y, x: returned, name="bad")
    with pytest.raises(TypeError, match=r"bad: its rule for argument 0 returned .*real numbers"):
        op(live(1.0)).backward()


def test_a_rule_may_return_a_list_or_another_dtype():
    op = tg.primitive(lambda x: x * 2, lambda g, y, x: [2, 2], name="twice")
    x = live(np.ones(2, np.float32))
    op(x).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2.0, 2.0]
    (dx,) = tg.grad(op(x).sum(), [x], create_graph=True)
    assert dx.dtype == np.float32


def test_a_users_error_keeps_its_kind_and_says_where():
    def fail(x):
        raise ValueError("no luck")

    op = tg.primitive(fail, lambda g, y, x: g)
    with tg.scope("cell"), pytest.raises(ValueError, match=r"fail: no luck \[.*\] in cell"):
        op(live([1.0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, lambda g, y, x: g), "forward must be callable, got int"),
        ((np.tanh,), "expected one rule for each array argument, got none"),
        ((np.tanh, 3), "rule 0 must be callable or None, got 3"),
    ],
)
def test_primitive_says_what_it_expects(arguments, message):
    with pytest.raises(TypeError, match=message):
        tg.primitive(*arguments)


def test_a_users_op_takes_its_arrays_by_position():
    with pytest.raises(TypeError, match=r"cube: expected 1 array argument by position .*got 0"):
        cube(x=live())
    two = tg.primitive(np.add, lambda g, z, x, y: g, lambda g, z, x, y: g)
    with pytest.raises(TypeError, match=r"add: expected 2 array arguments .*got 1"):
        two(live())


# ── graphs go away ───────────────────────────────────────────────────────────────────────


def everything():
    """A graph with an operation of each kind, swept in every way."""
    x = live(np.arange(6.0).reshape(2, 3) / 7)
    W = live(np.ones((3, 3)))
    total = live(0.0)
    with tg.scope("loop"):
        for _, x_t in tg.steps(x):
            h = tg.checkpoint(lambda x: tg.tanh(x @ W), x_t)
            a, b = tg.checkpoint(lambda h: (h * 2, tg.exp(h)), h)
            total = total + (cube(a) + b[[0, 0, 1]]).sum() + tg.embedding([1], W).sum()
    total.backward(retain_grads=True)
    dx = tg.grad(total, x, create_graph=True)
    dx.sum().backward()
    tg.hessian(lambda v: tg.logsumexp(v), x.numpy())
    tg.jvp(tg.softmax, x, np.ones((2, 3)))
    with pytest.raises(ValueError, match="matmul"):
        x @ x
    return total


def test_nothing_is_left_to_the_cyclic_collector():
    everything()
    gc.collect()
    gc.disable()
    try:
        reference = weakref.ref(everything())
        assert reference() is None
        found = gc.collect()
    finally:
        gc.enable()
    assert found == 0


def test_a_graph_lives_as_long_as_its_output():
    x = live(2.0)
    y = x * x
    inner = weakref.ref(y)
    z = tg.exp(y)
    del y
    assert inner() is None  # the tensor is gone, its place in the graph is not
    z.backward()
    assert x.grad == 4 * np.exp(4)


def test_a_long_chain_needs_no_recursion():
    n = 200_000
    x = live(1.0)
    y = x
    for _ in range(n):
        y = y + x
    y.backward()
    assert x.grad == n + 1
    del y  # freed without recursion too


def test_a_long_chain_is_differentiated_twice():
    n = 20_000
    x = live(1.0)
    y = x
    for _ in range(n):
        y = y + x * x
    (dx,) = tg.grad(y, [x], create_graph=True)
    assert dx.item() == 1 + 2 * n
    assert tg.grad(dx, x).item() == 2 * n


def train(steps, W, b):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        h = tg.Tensor(np.zeros((2, 4)))
        for _, x_t in tg.steps(rng.standard_normal((3, 2, 4))):
            h = tg.tanh(tg.linear(x_t + h, W, b))
        loss = tg.mean(tg.square(tg.checkpoint(lambda h: h * 2, h)))
        W.node.grad = b.node.grad = None
        loss.backward()
        for p in (W, b):
            p.data = p.data - 0.1 * p.grad


def live_objects(kind):
    return sum(issubclass(type(o), kind) for o in gc.get_objects())


def test_training_with_the_collector_off_grows_nothing():
    W, b = live(np.eye(4)), live(np.zeros(4))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        train(20, W, b)
        gc.collect()
        counted = live_objects((tg.Tensor, graph.Node))
        growth = []
        for _ in range(3):  # a leak shows in each; what a coverage tracer notes down, in one
            before = tracemalloc.get_traced_memory()[0]
            train(200, W, b)
            assert live_objects((tg.Tensor, graph.Node)) == counted
            # It finds nothing; it empties Python's free lists, whose length says nothing about us.
            assert gc.collect() == 0
            growth.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
        gc.enable()
    # One step's graph alone holds more than 10 kB.
    assert min(growth) < 10_000


def test_reading_every_step_of_a_sequence_costs_its_length(monkeypatch):
    """Backward through x[t] for all t makes one buffer of x's size, not T of them."""
    made = []
    zeros = np.zeros

    def counting(shape, *args, **options):
        made.append(int(np.prod(shape)))
        return zeros(shape, *args, **options)

    T = 2_000
    x = live(np.ones((T, 3)))
    y = live(0.0)
    for t in range(T):
        y = y + x[t].sum()
    monkeypatch.setattr(np, "zeros", counting)
    y.backward()
    assert [n for n in made if n >= T] == [3 * T]
    assert (x.grad == 1).all()


def test_deep_copies_and_pickles_are_of_leaves_alone():
    x = live([1.0])
    with pytest.raises(ValueError, match="only leaves can be copied; detach"):
        copy.deepcopy(x * 2)


# ── the cotangents of values that have names ─────────────────────────────────────────────


def test_a_backward_graph_has_the_names_of_what_it_differentiates():
    cell = tg.nn.LSTMCell(2, 3, dtype=np.float64, rng=0)
    state = None
    for _, x_t in tg.steps(np.ones((2, 1, 2))):
        state = cell(x_t, state)
    g = tg.grad((state[0] * state[0]).sum(), cell.weight_hh, create_graph=True)
    source = tg.draw(g).source
    for name in ("dc_t", "df_t", "di_t", "do_t", "dg_t", "dh_t"):
        assert name in source
    assert g.name == "dweight_hh"


def test_errors_of_the_backward_name_the_cotangent():
    shrinks = tg.primitive(np.tanh, lambda g, y, x: g[:1], name="shrinks")
    W = tg.Tensor([1.0, 2.0], requires_grad=True, name="W")
    with pytest.raises(ValueError, match=r"shape \(1,\) \(dW\), expected its input's shape \(2,\)"):
        shrinks(W).sum().backward()
    v = tg.Tensor(0.0, requires_grad=True, name="v")
    with (
        tg.detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"sqrt: Inf in its backward \(dv\) from"),
    ):
        tg.sqrt(v).backward()
