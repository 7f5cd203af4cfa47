"""Every law on every operation; and every law on a function that breaks it."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests import cases
from tests.cases import rows
from tinygrad_rnn import graph, ops
from tinygrad_rnn.backprop import derivatives, reverse
from tinygrad_rnn.testing import differences, laws
from tinygrad_rnn.testing.cases import Case


def test_every_primitive_has_a_row():
    assert set(rows) == {*graph.table, *cases.compositions}


def has_no_derivative(operation):
    op = getattr(operation, "primitive", None)
    return op is not None and op.vjps is None


def test_every_differentiable_operation_of_the_api_has_a_row():
    """Under its own name, however many it has."""
    integers = {"argmax", "argmin", "argsort", "argpartition", "searchsorted", "matrix_rank"}
    integers |= {"one_hot"}  # of integers
    for module, prefix in ((ops, ""), (ops.linalg, "linalg.")):
        for name in set(module.__all__) - {"linalg", "shape_of"}:
            operation = getattr(module, name)
            its = operation.__name__
            if its not in integers and not has_no_derivative(operation):
                assert {its, prefix + its, f"_{its}"} & set(rows), name
    assert has_no_derivative(ops.equal)
    assert not has_no_derivative(ops.tanh)


@pytest.mark.parametrize("name", rows)
def test_every_law_holds(name):
    row = rows[name]
    for seed in range(2):
        for case in row.cases(np.random.default_rng(seed)):
            for law in laws.laws:
                broken = laws.broken_law(case, seed, [law])
                assert broken is None, f"{case.name} breaks {broken[0]}: {broken[1]!r}"
    assert row.subject.broken_test() is None


@pytest.mark.parametrize("name", rows)
def test_a_complex_step_agrees_with_differences_where_the_row_says_so(name):
    rng = np.random.default_rng(0)
    for case in rows[name].cases(rng):
        if case.analytic:
            v = [rng.standard_normal(x.shape) for x in case.arrays]

            def f(*xs, case=case):
                return differences.evaluate(case.f, xs)

            exact = differences.complex_step(f, case.arrays, v)
            close = differences.central_difference(f, case.arrays, v)
            assert np.allclose(exact, close, rtol=1e-6, atol=1e-7)


def test_cases_cover_what_goes_wrong():
    """Broadcasting, 0-d, empty, repeated indices, negative axes, tuples of axes, keepdims."""
    drawn = [case for row in rows.values() for case in row.cases(np.random.default_rng(0))]
    shapes = {x.shape for case in drawn for x in case.arrays}
    assert () in shapes
    assert (0,) in shapes
    names = " ".join(case.name for case in drawn)
    for part in ("axis=-1", "axis=(0, 2)", "keepdims=True", "[array([0, 2, 2, 1])]"):
        assert part in names
    for name, primitive in graph.table.items():
        if primitive.elementwise and len(primitive.vjps) > 1:
            assert any(
                case.arrays[0].shape != np.shape(case.f(*case.arrays))
                for case in rows[name].cases(np.random.default_rng(0))
            ), f"{name} is never broadcast"


# ── every law notices what it is there for ───────────────────────────────────────────────

x = np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6], [-0.9, 0.8, 0.2]])
y = x.T + 0.1


def op(forward, *rules, **settings):
    return tg.primitive(forward, *rules, name="op", **settings)


def square(rule, forward=np.square, **settings):
    return op(forward, rule, **settings)


def kept_buffer():
    buffer = np.empty_like(x)
    return square(lambda g, y, x: np.multiply(g, 2 * x, out=buffer))


def scribble(array, result):
    if isinstance(array, np.ndarray):
        array += 1
    return result


def aware_of_its_inputs(x, y):
    return x * y if not isinstance(y, tg.Tensor) or y.requires_grad else x * y.detach() * 2


def aware_of_identity(x, y):
    return x * (x.detach() if x is y else y)


planted = {
    "adjoint": (square(lambda g, y, x: g * x), (x,)),
    "second_order": (square(lambda g, y, x: g * 2 * getattr(x, "data", x)), (x,)),
    "linear": (square(lambda g, y, x: g * 2 * x * (1 + g * g)), (x,)),
    "every_sweep": (square(lambda g, y, x: g * x * (3 if isinstance(x, tg.Tensor) else 2)), (x,)),
    "untouched": (square(lambda g, y, x: scribble(y, g * 2 * x)), (x,)),
    "fan_out": (kept_buffer(), (x,)),
    "any_subset": (aware_of_its_inputs, (x, y)),
    "same_value_twice": (aware_of_identity, (x, y)),
    "layouts": (
        op(lambda x: x.ravel(order="K").reshape(x.shape) * 2, lambda g, y, x: g * 2),
        (x,),
    ),
    "float32": (op(lambda x: x * np.float64(2), lambda g, y, x: g * 2), (x,)),
    "python_numbers": (
        op(
            lambda x, y: np.asarray(x) * np.asarray(y),
            lambda g, z, x, y: g * y,
            lambda g, z, x, y: tg.sum_to(g * x, np.shape(y)),
        ),
        (x, np.array(0.5)),
    ),
    "plain_arrays": (lambda x: x * 2 if isinstance(x, tg.Tensor) else x * 2.5, (x,)),
    "traits": (
        square(lambda g, y, x: g * 2 * x, batch=lambda *_: lambda x: np.square(x[:1])),
        (x,),
    ),
}


@pytest.mark.parametrize("name", planted)
def test_a_law_notices_what_it_is_there_for(name):
    f, arrays = planted[name]
    law = getattr(laws, name)
    assert laws.broken_law(Case("planted", f, arrays), 0, [law]) is not None
    # And the function beside it, which is right, passes.
    right = {1: np.square, 2: tg.multiply}[len(arrays)]
    assert laws.broken_law(Case("right", right, arrays), 0, [law]) is None


def twice(forward=lambda x: x * 2, **said):
    return op(forward, lambda g, y, x: g * 2, **said)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"view": True}, "does not share memory with its inputs; it declares view=True"),
        ({"view": lambda keywords: True}, "it declares view=True"),
        ({"linear": "all", "forward": lambda x: x * 2 + 1e-7}, "of a sum in the arguments"),
        ({"batch": lambda keywords, operands: lambda block: block}, "step by step differ"),
        ({"batch": lambda keywords, operands: lambda block: block[0] * 2}, "differ in shape"),
        ({"batch": lambda *_: lambda block: 2 * block.astype("f4")}, "float32 on blocks"),
        ({"elementwise": True, "forward": lambda x: x * len(x) * 2 / 3}, "differ"),
    ],
)
def test_what_an_operation_says_of_itself_is_tried(said, message):
    assert laws.broken_law(Case("op", twice(linear="all"), (x,)), 0, [laws.traits]) is None
    law, error = laws.broken_law(Case("op", twice(**said), (x[:2],)), 0, [laws.traits])
    assert law == "traits"
    assert message in str(error)


def test_a_view_that_is_not_told_is_noticed():
    turned = op(lambda x: x.T, lambda g, y, x: g.T, view=False)
    assert "it declares view=False" in str(laws.broken_law(Case("op", turned, (x,)), 0)[1])


def test_not_aliased_notices_a_sweep_that_gives_its_own_arrays_away(monkeypatch):
    case = Case("add", tg.add, (x, y))
    assert laws.broken_law(case, 0, [laws.not_aliased]) is None
    monkeypatch.setattr(
        derivatives, "_as_result", lambda cotangent, x: graph.attach(cotangent, None)
    )
    name, error = laws.broken_law(case, 0, [laws.not_aliased])
    assert name == "not_aliased"
    assert "shares memory" in str(error)


def test_what_the_sweep_lets_through_the_laws_do_not(monkeypatch):
    """The sweep refuses wrong shapes and casts wrong dtypes; should it not, the laws notice."""
    monkeypatch.setattr(reverse, "fitted", lambda contribution, index, node: contribution)
    flat = Case("flat", square(lambda g, y, x: (g * 2 * x).ravel()), (x,))
    assert "has shape (9,)" in str(laws.broken_law(flat, 0, [laws.adjoint])[1])
    wide = Case("wide", square(lambda g, y, x: g * 2.0 * np.float64(x)), (x,))
    assert "its gradient is float64" in str(laws.broken_law(wide, 0, [laws.float32])[1])


def test_shapes_are_compared_first():
    twice = iter([(3, 3), (9,)] * 20)
    unsteady = Case("unsteady", lambda x: tg.reshape(x, next(twice)), (x,), polymorphic=False)
    _, error = laws.broken_law(unsteady, 0, [laws.layouts])
    assert "shape" in str(error)


def test_an_operation_that_takes_no_value_twice():
    opposite = Case("opposite", lambda x, y: tg.log(x) + tg.log(-y), (abs(x), -abs(y)))
    assert laws.broken_law(opposite, 0, [laws.same_value_twice]) is None


def test_numbers_from_arrays_are_no_arrays():
    case = Case("number", lambda x: x * 2 if isinstance(x, tg.Tensor) else float(x.sum()), (x,))
    assert "expected an ndarray" in str(laws.broken_law(case, 0, [laws.plain_arrays])[1])


def test_every_law_has_a_planted_mistake():
    assert {*planted, "not_aliased"} == {law.__name__ for law in laws.laws}


def test_a_law_gets_its_own_arrays():
    """What a wrong rule writes into its inputs reaches neither the caller nor the next law."""
    mine = x.copy()
    bad = square(lambda g, y, x: scribble(x, g * 2 * x))
    laws.broken_law(Case("bad", bad, (mine,)), 0)
    assert np.array_equal(mine, x)


def test_points_notice_a_wrong_convention():
    row = cases.Row(
        "relu", [], op(lambda x: np.maximum(x, 0), lambda g, y, x: g * tg.greater_equal(x, 0)),
        points=rows["relu"].points,
    )  # fmt: skip
    assert "should be" in str(row.subject.broken_test())
    crashing = cases.Row("relu", [], lambda x: 1 / 0, points=rows["relu"].points)
    assert isinstance(crashing.subject.broken_test(), ZeroDivisionError)


@pytest.mark.parametrize("analytic", [True, False])
@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1.0, 1e12])
def test_derivatives_of_any_size_are_told_from_zero(scale, analytic):
    f = op(lambda x: scale * x * x, lambda g, y, x: g * 0.0)
    case = Case("wrong", f, (x,), analytic=analytic)
    assert laws.broken_law(case, 0, [laws.adjoint]) is not None
    right = Case("right", lambda x: scale * x * x, (x,), analytic=analytic)
    assert laws.broken_law(right, 0, [laws.adjoint, laws.second_order, laws.linear]) is None


def test_an_explanation_that_cannot_be_found_is_none():
    assert laws.explanation(Case("right", tg.tanh, (x,))) is None
    assert laws.explanation(Case("broken", lambda x: 1 / 0, (x,))) is None
