"""Products: matmul, linear and einsum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


def check_bilinear(ours, numpys, *arrays):
    """Values, and for each factor <g, f(.., v, ..)> = <dL/dx, v>, by either sweep."""
    rng = np.random.default_rng(1)
    xs = [live(x) for x in arrays]
    y = ours(*xs)
    np.testing.assert_allclose(y.numpy(), numpys(*arrays), rtol=1e-12, atol=1e-14)
    g = rng.standard_normal(y.shape)
    plain = tg.grad(y, xs, g)
    recorded = tg.grad(y, xs, g, create_graph=True)
    for i, x in enumerate(arrays):
        v = rng.standard_normal(x.shape)
        expected = (g * numpys(*(*arrays[:i], v, *arrays[i + 1 :]))).sum()
        for gradients in (plain, recorded):
            assert gradients[i].shape == x.shape
            np.testing.assert_allclose(
                (gradients[i].numpy() * v).sum(), expected, rtol=1e-9, atol=1e-12
            )


@given(
    hnp.mutually_broadcastable_shapes(
        signature="(n?,k),(k,m?)->(n?,m?)", max_dims=3, min_side=0, max_side=3
    )
)
def test_matmul_of_any_shapes(shapes):
    rng = np.random.default_rng(0)
    check_bilinear(
        tg.matmul, np.matmul, *(rng.standard_normal(shape) for shape in shapes.input_shapes)
    )


def test_matmul_of_the_same_tensor():
    A = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = live(A)
    (x @ x).sum().backward()
    np.testing.assert_allclose(x.grad, np.ones((2, 2)) @ A.T + A.T @ np.ones((2, 2)))


@pytest.mark.parametrize(
    ("x", "y"), [((2, 3), (2, 3)), ((), (2,)), ((2,), ()), ((2, 2, 3), (3, 3, 4)), ((3,), (2,))]
)
def test_matmul_of_shapes_that_do_not_fit(x, y):
    with pytest.raises(ValueError, match=r"matmul: expected .*, got \(.* and \(.*operands"):
        tg.matmul(live(np.ones(x)), live(np.ones(y)))


@pytest.mark.parametrize("lead", [(), (2,), (0,), (4, 2), (2, 0), (3, 1, 2)])
@pytest.mark.parametrize("size", [(3, 2), (1, 1), (0, 2), (2, 0)])
def test_linear(lead, size):
    rng = np.random.default_rng(0)
    x, W, b = rng.random((*lead, size[0])), rng.random(size[::-1]), rng.random(size[1])
    check_bilinear(tg.linear, lambda x, W: x @ W.T, x, W)
    y = tg.linear(live(x), live(W), bias := live(b))
    np.testing.assert_allclose(y.numpy(), x @ W.T + b)
    g = rng.random(y.shape)
    y.backward(g)
    np.testing.assert_allclose(bias.grad, g.reshape(-1, size[1]).sum(0) if g.size else 0 * b)
    np.testing.assert_allclose(tg.linear(x, W, b), x @ W.T + b)


@pytest.mark.parametrize(
    ("x", "W", "b", "message"),
    [
        (
            (2, 3),
            (4, 2),
            None,
            r"expected x \(..., D\) and W \(H, D\), got x \(2, 3\) and W \(4, 2",
        ),
        ((4, 2, 3), (4, 2), None, r"got x \(4, 2, 3\) and W \(4, 2\)"),
        ((4, 2, 2), (3, 4), None, r"got x \(4, 2, 2\) and W \(3, 4\)"),
        ((3,), (3,), None, r"got x \(3,\) and W \(3,\)"),
        ((3,), (2, 4, 3), None, r"and W \(2, 4, 3\)"),
        ((), (2, 1), None, r"got x \(\) and W \(2, 1\)"),
        ((2, 3), (4, 3), (3,), r"expected b of shape \(4,\), got \(3,\)"),
        ((2, 3), (4, 3), (1, 4), r"expected b of shape \(4,\), got \(1, 4\)"),
        ((2, 3), (4, 3), (), r"expected b of shape \(4,\), got \(\)"),
    ],
)
def test_linear_of_shapes_that_do_not_fit(x, W, b, message):
    arrays = [None if shape is None else np.ones(shape) for shape in (x, W, b)]
    with pytest.raises(ValueError, match=message):
        tg.linear(*arrays)
    with pytest.raises(ValueError, match=rf"linear: .*{message}.* in layer"), tg.scope("layer"):
        tg.linear(*(None if a is None else live(a) for a in arrays))


# ── einsum ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        (" i j , j k -> k i ", [(2, 3), (3, 4)]),
        ("ii", [(3, 3)]),
        ("ii->i", [(3, 3)]),
        ("iii->i", [(2, 2, 2)]),
        ("iijj->ij", [(2, 2, 3, 3)]),
        ("ba", [(2, 3)]),
        ("Ab,bA->", [(2, 3), (3, 2)]),
        ("zA", [(2, 3)]),
        ("...", [(2, 3)]),
        ("...->...", [(2, 3)]),
        ("i...->...i", [(2, 3, 4)]),
        ("...i,i...", [(4, 3), (3, 4)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
        ("...ij,...jk->...ik", [(1, 2, 3), (5, 3, 4)]),
        ("...,...", [(4, 2), (3, 1, 2)]),
        ("...,->...", [(2,), ()]),
        ("i...,i->...", [(2, 1, 3), (2,)]),
        (",", [(), ()]),
        ("ij,ij->ij", [(2, 1), (2, 3)]),
        ("ij,ij->", [(1, 3), (2, 3)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
        ("ij,j->i", [(0, 3), (3,)]),
        ("ij,j->i", [(2, 0), (0,)]),
        ("ij->", [(2, 0)]),
        ("ij,kl->", [(2, 3), (4, 5)]),
        ("ij,kl->jl", [(2, 3), (4, 5)]),
        ("ab,ab,ab->b", [(2, 3)] * 3),
    ],
)
def test_einsum_is_numpys(subscripts, shapes):
    rng = np.random.default_rng(0)
    check_bilinear(
        lambda *xs: tg.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
        *(rng.standard_normal(shape) for shape in shapes),
    )


@given(st.data())
def test_any_einsum(data):
    sizes = {c: data.draw(st.integers(0, 3)) for c in "abcd"}
    operands = data.draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(operands)))
    result = data.draw(st.lists(st.sampled_from(used), unique=True)) if used else []
    subscripts = ",".join(operands) + data.draw(st.sampled_from(["", "->" + "".join(result)]))
    shapes = [
        tuple(sizes[c] if data.draw(st.booleans()) or operand.count(c) > 1 else 1 for c in operand)
        for operand in operands
    ]
    rng = np.random.default_rng(0)
    check_bilinear(
        lambda *xs: tg.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
        *(rng.standard_normal(shape) for shape in shapes),
    )


def test_einsum_with_many_letters():
    letters = "abcdefghijklmnopqrstuvwxyzABCDEF"
    x = live(np.ones((1,) * 32))
    y = tg.einsum(letters + "->" + letters[::-1], x)
    y.backward(np.ones(y.shape))
    assert x.grad.shape == x.shape


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk->ik", [(2, 3)], "names 2 operands, got 1"),
        ("ij->ij", [(2, 3), (2,)], "names 1 operands, got 2"),
        ("ij->i", [(2,)], r"'ij' has 2 subscripts for operand 0 of shape \(2,\)"),
        ("i->i", [(2, 3)], r"'i' has 1 subscripts for operand 0 of shape \(2, 3\)"),
        ("i->ij", [(2,)], "cannot read the result of"),
        ("i->ii", [(2,)], "cannot read the result of"),
        ("i1->i", [(2, 3)], "cannot read the subscripts 'i1'"),
        ("......->", [(2, 3)], "cannot read the subscripts"),
        ("i.->i", [(2, 3)], "cannot read the subscripts"),
        ("é->é", [(2,)], "cannot read the subscripts"),
    ],
)
def test_einsum_of_subscripts_that_do_not_fit(subscripts, shapes, message):
    for make in (live, np.asarray):
        with pytest.raises(ValueError, match=f"einsum: .*{message}"):
            tg.einsum(subscripts, *(make(np.ones(shape)) for shape in shapes))


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (3, 2), (1, 2)])
def test_a_diagonal_has_one_size(shape):
    for x in (live(np.ones(shape)), np.ones(shape)):
        with pytest.raises(ValueError, match="einsum: the axes of a repeated letter of 'ii'"):
            tg.einsum("ii->i", x)


def test_einsum_of_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="einsum"):
        tg.einsum("ij,jk->ik", live(np.ones((2, 3))), np.ones((2, 2)))
    with pytest.raises(TypeError, match=r"einsum: expected subscripts .str., got Tensor"):
        tg.einsum(live(np.ones(2)), [0])
