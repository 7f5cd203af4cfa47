"""Mistakes that would change nothing, or the wrong thing, silently: each is told, with the fix."""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.graph.elsewhere import of_modules, of_tensors, of_the_module

# ── writing into a tensor ────────────────────────────────────────────────────────────────


def a_parameter() -> tg.Tensor:
    p = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True, name="p")
    (p * p).sum().backward()
    return p


SIGNS = ["+", "-", "*", "/", "**", "@"]


@pytest.mark.parametrize("sign", SIGNS)
def test_an_in_place_operator_on_a_leaf_is_refused(sign: str) -> None:
    p = a_parameter()
    names = {"p": p, "g": p.grad}
    with pytest.raises(TypeError, match=r"leaf 'p'.*p\.data = p\.data .*tg\.optim") as told:
        exec(f"p {sign}= g", names)
    assert f"p.data = p.data {sign} ..." in str(told.value)
    assert p.data.tolist() == [1.0, 2.0, 3.0]


def test_the_line_that_the_error_shows_works() -> None:
    p = a_parameter()
    p.data = p.data - 0.5 * p.grad
    assert p.data.tolist() == [0.0, 0.0, 0.0]


def test_an_in_place_operator_under_no_grad_is_refused_too() -> None:
    p = a_parameter()
    with tg.no_grad(), pytest.raises(TypeError, match="leaf 'p'"):
        p -= 0.5


@pytest.mark.parametrize("sign", SIGNS[:5])
def test_elsewhere_an_in_place_operator_makes_a_new_tensor(sign: str) -> None:
    p = a_parameter()
    for start in (p * 1, tg.Tensor([1.0, 2.0, 3.0])):
        names: dict[str, Any] = {"y": start, "p": p}
        exec(f"y {sign}= p", names)
        expected = eval(f"start {sign} p", {"start": start, "p": p})
        assert np.array_equal(names["y"].data, expected.data)
        assert names["y"] is not start


def test_a_traced_step_may_use_them() -> None:
    def cell(h: Any, x_t: Any) -> Any:
        h += x_t
        return h, h

    h, _ = tg.scan(cell, tg.Tensor([0.0], requires_grad=True), np.ones((3, 1)))
    assert h.item() == 3.0


def test_setting_an_element_is_refused() -> None:
    p = a_parameter()
    with pytest.raises(TypeError, match=r"p\.numpy\(\); array\[i\] = \.\.\.; p\.data = array"):
        p[0] = 5.0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        *((f"p.data {sign}= 2.0", f"p.data = p.data {sign} ...") for sign in [*SIGNS[:5], "//"]),
        ("p.data[0] = 2.0", "p.data = array"),
        ("p.data[:2] = 2.0", "p.data = array"),
        ("p.data[0] -= 2.0", "p.data = array"),
        ("p.data[:2] -= 2.0", "p.data = p.data - ..."),
        ("p.data.fill(0.0)", "p.data = array"),
        ("p.data.sort()", "p.data = array"),
    ],
)
def test_writing_into_data_is_refused(line: str, shown: str) -> None:
    p = a_parameter()
    with pytest.raises(ValueError, match="read-only") as told:
        exec(line, {"p": p})
    assert shown in str(told.value)
    assert p.data.tolist() == [1.0, 2.0, 3.0]


def test_what_is_computed_from_data_is_an_ordinary_array() -> None:
    data = tg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True).data
    made = [data * 2, data + data, -data, data.sum(0), data @ data.T, data.copy(), data[[0]]]
    made += [np.sqrt(data), np.where(data > 1, data, 0), np.concatenate([data, data])]
    made += [data.astype(np.float32), data.max(1), np.asarray(data)]
    for array in made:
        assert type(array) is np.ndarray
        assert np.asarray(array) is array
    assert type(data.sum()) is np.float64
    assert isinstance(data, np.ndarray)


def test_copies_of_data_can_be_written_into() -> None:
    data = tg.Tensor(np.arange(3.0), requires_grad=True).data
    for copied in (data.copy(), data.flatten(), copy.deepcopy(data), data[[0, 1, 2]]):
        copied[0] = 7.0
        copied += 1.0
        assert copied.tolist() == [8.0, 2.0, 3.0]


def test_data_is_shown_and_pickled_as_an_array() -> None:
    data = tg.Tensor([1.0, 2.0], requires_grad=True).data
    assert repr(data) == "array([1., 2.])"
    assert type(pickle.loads(pickle.dumps(data))) is np.ndarray


# ── a parameter replaced by something else ───────────────────────────────────────────────


@pytest.mark.parametrize("value", [tg.Tensor(np.zeros((3, 3))), np.zeros((3, 3)), 0.0, "zeros"])
def test_a_parameter_is_not_replaced_by_something_that_is_none(value: Any) -> None:
    net = tg.nn.RNN(2, 3, rng=0)
    with pytest.raises(TypeError, match=r"weight_hh_l0\.data = \.\.\..*nn\.Parameter"):
        net.weight_hh_l0 = value
    assert len(list(net.parameters())) == 4


# ── names of other libraries ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", of_tensors)
def test_torchs_names_of_methods_hint_at_ours(name: str) -> None:
    t = tg.Tensor(np.ones((2, 3)))
    if not callable(getattr(tg.Tensor, name)):  # where there is none of this name meanwhile
        assert not hasattr(t, name)
        with pytest.raises(AttributeError, match=r"'Tensor' object has no attribute.*; here it is"):
            getattr(t, name)
        assert name not in dir(t)


@pytest.mark.parametrize("name", ["view", "unsqueeze", "cat", "permute", "numel"])
def test_the_best_known_are_among_them(name: str) -> None:
    assert name in of_tensors
    assert name == "view" or name == "numel" or name in of_the_module or hasattr(tg, name)


def test_size_is_a_number_and_no_method() -> None:
    t = tg.Tensor(np.ones((2, 3)))
    assert t.size == 6
    assert isinstance(t.size, int)
    assert type(pickle.loads(pickle.dumps(t.size))) is int
    with pytest.raises(TypeError, match=r"t\.shape"):
        t.size()  # type: ignore[operator]


@pytest.mark.parametrize("name", of_the_module)
def test_torchs_names_of_functions_hint_at_ours(name: str) -> None:
    if not hasattr(tg, name):
        with pytest.raises(AttributeError, match=r"'tinygrad_rnn' has no attribute.*; here it is"):
            getattr(tg, name)


@pytest.mark.parametrize("name", of_modules)
def test_names_of_other_modules_methods_hint_at_ours(name: str) -> None:
    with pytest.raises(AttributeError, match=r"'LSTM' object has no attribute.*; here it is"):
        getattr(tg.nn.LSTM(2, 3), name)


def test_a_module_may_have_an_attribute_of_such_a_name() -> None:
    class Net(tg.nn.Module):
        def __init__(self) -> None:
            self.to = tg.nn.Linear(2, 3, rng=0)

        def cpu(self) -> int:
            return 1

    net = Net()
    assert [name for name, _ in net.named_parameters()] == ["to.weight", "to.bias"]
    assert net.cpu() == 1


def test_an_unknown_name_stays_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        _ = tg.Tensor(1.0).nonsense
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        _ = tg.nonsense


# ── scan and cells, cross_entropy and shapes ─────────────────────────────────────────────

CELLS = [tg.nn.RNNCell, tg.nn.LSTMCell, tg.nn.GRUCell]
LAYERS = [tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU]


@pytest.mark.parametrize(("cell_class", "layer_class"), list(zip(CELLS, LAYERS, strict=True)))
@pytest.mark.parametrize("unroll", [False, True])
def test_scan_runs_a_cell_of_ours(cell_class: Any, layer_class: Any, unroll: bool) -> None:
    rng = np.random.default_rng(0)
    cell, layer = cell_class(2, 3, rng=0), layer_class(2, 3, rng=0)
    xs, h, c = rng.normal(size=(5, 4, 2)), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    state = (h, c) if cell_class is tg.nn.LSTMCell else h
    last, ys = tg.scan(cell, state, xs, unroll=unroll)
    given = (h[None], c[None]) if isinstance(state, tuple) else h[None]
    expected, _ = layer(xs, given)
    assert np.allclose(ys.data, expected.data, atol=1e-6)
    assert ys.dtype == np.float32  # as a cell casts the arrays that it is given
    assert isinstance(last, tuple) == isinstance(state, tuple)
    (ys * ys).sum().backward()
    (expected * expected).sum().backward()
    assert np.allclose(cell.weight_hh.grad, layer.weight_hh_l0.grad, atol=1e-5)
    zeros, _ = layer(xs)
    assert np.allclose(tg.scan(cell, None, xs)[1].data, zeros.data, atol=1e-6)


def test_scan_of_a_cell_says_which_shapes_it_expects() -> None:
    with pytest.raises(ValueError, match=r"GRUCell expects xs \(T, N, 2\) or \(T, 2\)"):
        tg.scan(tg.nn.GRUCell(2, 3), None, np.ones((5, 4, 3)))
    with pytest.raises(ValueError, match=r"expected h \(4, 3\)"):
        tg.scan(tg.nn.GRUCell(2, 3), np.ones((4, 2)), np.ones((5, 4, 2)))
    assert "tanh" in str(tg.scan_plan(tg.nn.RNNCell(2, 3), None, np.ones((5, 4, 2))))


@pytest.mark.parametrize("layer_class", LAYERS)
def test_scan_of_a_layer_says_how_to_call_it(layer_class: Any) -> None:
    with pytest.raises(TypeError, match=r"y, state = layer\(xs, state\).*Cell"):
        tg.scan(layer_class(2, 3), None, np.ones((5, 4, 2)))


@pytest.mark.parametrize("loss", [tg.nn.cross_entropy, tg.nn.nll_loss])
def test_logits_with_the_classes_last_are_told_the_reshape(loss: Callable[..., Any]) -> None:
    logits, target = tg.Tensor(np.zeros((5, 4, 7))), np.zeros((5, 4), int)
    with pytest.raises(ValueError, match=r"logits\.reshape\(-1, 7\) and target\.reshape\(-1\)"):
        loss(logits, target)
    assert loss(logits.reshape(-1, 7), target.reshape(-1)).shape == ()


# ── plotting ─────────────────────────────────────────────────────────────────────────────


def test_plotting_a_live_tensor_says_detach() -> None:
    """What matplotlib's plot does with what it is given: parts of it, copies, arrays."""
    w = a_parameter()
    for asked in (lambda: np.asarray(w, dtype=float), lambda: copy.copy(w[:1])):
        with pytest.raises((TypeError, ValueError), match="detach") as told:
            asked()
        assert "pickle" not in str(told.value)
    constant = w.detach()
    assert np.asarray(copy.copy(constant[:1]), dtype=float).tolist() == [1.0]


# ── a state carried over without a cut ───────────────────────────────────────────────────


def cells_loop(cell: Any, detach: bool) -> None:
    optimizer = tg.optim.SGD(cell.parameters(), lr=0.1)
    state = None
    for _ in range(5):
        for _, x_t in tg.steps(np.ones((6, 2, 3))):
            state = cell(x_t, state)
        h = state[0] if isinstance(state, tuple) else state
        optimizer.zero_grad()
        (h * h).sum().backward()
        optimizer.step()
        if detach:
            state = tg.text.detached(state)


def layers_loop(layer: Any, detach: bool) -> None:
    optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)
    state = None
    for _ in range(5):
        y, state = layer(np.ones((6, 2, 3)), state)
        optimizer.zero_grad()
        (y * y).sum().backward()
        optimizer.step()
        if detach:
            state = tg.text.detached(state)


def own_loop(scanned: bool, detach: bool) -> None:
    W = tg.Tensor(np.eye(3), requires_grad=True, name="W")
    h: Any = np.zeros(3)

    def cell(h: Any, x_t: Any) -> Any:
        h = tg.tanh(W @ h + x_t)
        return h, h

    for _ in range(5):
        h, _ = tg.scan(cell, h, np.ones((6, 3)), unroll=not scanned)
        h.sum().backward()
        W.data = W.data - 0.1 * W.grad
        W.grad = None
        if detach:
            h = h.detach()


LOOPS: dict[str, tuple[Callable[[bool], None], str]] = {
    "RNNCell": (lambda detach: cells_loop(tg.nn.RNNCell(3, 4, rng=0), detach), "h_t in rnncell"),
    "LSTMCell": (lambda detach: cells_loop(tg.nn.LSTMCell(3, 4, rng=0), detach), "c_t in lstmcell"),
    "LSTM": (lambda detach: layers_loop(tg.nn.LSTM(3, 4, 2, rng=0), detach), r"c_t in lstm\.l0"),
    "GRU": (lambda detach: layers_loop(tg.nn.GRU(3, 4, rng=0), detach), r"h_t in gru\.l0"),
    "steps": (lambda detach: own_loop(False, detach), "the output of tanh"),
    "scan": (lambda detach: own_loop(True, detach), "h_t"),
}


@pytest.mark.parametrize("kind", LOOPS)
def test_a_state_that_was_not_detached_is_told_once(kind: str) -> None:
    loop, state = LOOPS[kind]
    with pytest.warns(UserWarning, match=rf"{state} at time step 5") as told:
        loop(False)
    assert len(told) == 1
    message = str(told[0].message)
    assert "h.detach()" in message
    assert "tg.text.detached(state)" in message
    assert told[0].filename == __file__
    assert hasattr(tg.text, "detached")


@pytest.mark.parametrize("kind", LOOPS)
def test_a_state_that_was_detached_is_not(kind: str) -> None:
    loop, _ = LOOPS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop(True)


def test_several_backwards_through_one_graph_are_allowed() -> None:
    cell = tg.nn.RNNCell(3, 4, rng=0)
    h = None
    for _, x_t in tg.steps(np.ones((6, 2, 3))):
        h = cell(x_t, h)
    for _ in range(3):
        h.sum().backward()
    (h * h).sum().backward()  # on from there, and nothing changed meanwhile


def test_two_losses_of_which_one_was_computed_before_the_others_step() -> None:
    """As in adversarial training: the later backward meets no graph of the earlier one."""
    first, second = tg.nn.Linear(3, 3, rng=0), tg.nn.Linear(3, 1, rng=1)
    optimizer = tg.optim.SGD(second.parameters(), lr=0.1)
    for _ in range(3):
        made = first(np.ones((2, 3)))
        second(made.detach()).sum().backward()
        optimizer.step()
        second(made).sum().backward()


def test_a_part_of_the_graph_that_stays_is_no_mistake_while_its_parameters_stay() -> None:
    encoder, head = tg.nn.Linear(3, 3, rng=0), tg.nn.Linear(3, 1, rng=1)
    optimizer = tg.optim.SGD(head.parameters(), lr=0.1)
    features = encoder(np.ones((2, 3)))
    for _ in range(3):
        head(features).sum().backward()
        optimizer.step()


def test_a_part_of_the_graph_that_stays_while_its_parameters_change_is_one() -> None:
    encoder, head = tg.nn.Linear(3, 3, rng=0), tg.nn.Linear(3, 1, rng=1)
    optimizer = tg.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
    features = encoder(np.ones((2, 3)))
    head(features).sum().backward()
    optimizer.step()
    with pytest.warns(UserWarning, match="the output of linear in linear"):
        head(features).sum().backward()
