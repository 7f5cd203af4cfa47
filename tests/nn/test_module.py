"""Module: which parameters it finds, under which names, and what survives copying and loading."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn


class Block(nn.Module):
    def __init__(self, size, rng=None):
        self.first = nn.Linear(size, size, rng=rng)
        self.scale = nn.Parameter(np.ones(size, np.float32))
        self.second = nn.Linear(size, size, bias=False, rng=rng)

    def forward(self, x):
        return self.second(tg.tanh(self.first(x))) * self.scale


class Net(nn.Module):
    """Parameters in every place where they may stand."""

    def __init__(self, rng=None):
        rng = np.random.default_rng(rng)
        self.table = nn.Embedding(7, 3, rng=rng)
        self.blocks = [Block(3, rng), Block(3, rng)]
        self.pair = (nn.Parameter([1.0]), "not a parameter", 3)
        self.heads = {"out": nn.Linear(3, 2, rng=rng)}
        self.nothing = None
        self.cell = nn.LSTMCell(3, 3, rng=rng)

    def forward(self, ids):
        x = self.table(ids)
        for block in self.blocks:
            x = block(x)
        h, _ = self.cell(x)
        return self.heads["out"](h)


NAMES = [
    "table.weight",
    *(
        f"blocks.{i}.{name}"
        for i in range(2)
        for name in ("first.weight", "first.bias", "scale", "second.weight")
    ),
    "pair.0",
    "heads.out.weight",
    "heads.out.bias",
    *(f"cell.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
]
IDS = np.array([0, 3, 6])


# ── names ────────────────────────────────────────────────────────────────────────────────


def test_parameters_come_in_the_order_of_their_definition():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert list(net.state_dict()) == NAMES
    assert [p.shape for p in net.parameters()] == [a.shape for a in net.state_dict().values()]


def test_a_reassigned_attribute_keeps_its_place_and_the_old_parameter_is_gone():
    net = Net()
    old = net.table
    net.table = nn.Embedding(2, 3)
    assert next(iter(net.named_parameters())) == ("table.weight", net.table.weight)
    assert all(p is not old.weight for p in net.parameters())


def test_a_shared_parameter_is_one_parameter_with_two_names():
    net = Net()
    net.heads["out"] = nn.Linear(3, 7, bias=False)
    net.heads["out"].weight = net.table.weight
    assert [name for name, _ in net.named_parameters()].count("table.weight") == 1
    assert sum(p is net.table.weight for p in net.parameters()) == 1
    state = net.state_dict()
    np.testing.assert_array_equal(state["heads.out.weight"], state["table.weight"])
    net.load_state_dict(state)
    twin = copy.deepcopy(net)
    assert twin.heads["out"].weight is twin.table.weight is not net.table.weight
    assert pickle.loads(pickle.dumps(net)).heads["out"].weight.shape == (7, 3)


def test_parameters_are_named_after_their_attributes_unless_they_have_a_name():
    module = nn.Module()
    module.weight = nn.Parameter([1.0])
    module.bias = nn.Parameter([1.0], name="offset")
    module.many = [nn.Parameter([1.0])]
    module.many.append(nn.Parameter([2.0]))
    assert (module.weight.name, module.bias.name) == ("weight", "offset")
    assert [p.name for p in module.parameters()] == ["weight", "offset", "many.0", "many.1"]
    other = nn.Module()
    other.kernel = module.weight
    assert module.weight.name == "weight"


def test_calls_are_recorded_in_the_scope_of_the_module():
    net = Net()
    y = net(IDS)
    assert y.node.scope.path == ("net", "heads.out")
    paths = {node.scope.path for node in tg.graph.ancestors([y.node]) if not node.is_leaf}
    assert ("net", "blocks.1", "second") in paths
    assert ("net", "cell") in paths
    assert nn.Linear(3, 2)(np.ones(3)).node.scope.path == ("linear",)


def test_the_scope_ends_with_the_call_when_it_fails():
    net = Net()
    with pytest.raises(IndexError):
        net([100])
    assert tg.graph.current().scope.path == ()


def test_a_module_appended_to_a_list_gets_its_name_when_it_is_first_looked_for():
    net = Net()
    net.blocks.append(Block(3))
    assert "blocks.2.scale" in net.state_dict()
    assert net.blocks[2](np.ones(3, np.float32)).node.scope.path == ("blocks.2",)


# ── copies and states ────────────────────────────────────────────────────────────────────


@given(
    st.integers(0, 2**32), st.sampled_from([copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
)
def test_a_copy_computes_the_same_and_shares_nothing(seed, duplicate):
    net = Net(seed)
    before = net(IDS).numpy()
    twin = duplicate(net.eval())
    assert twin.training is False
    assert list(twin.state_dict()) == NAMES
    assert all(isinstance(p, nn.Parameter) for p in twin.parameters())
    assert [p.name for p in twin.parameters()] == [p.name for p in net.parameters()]
    np.testing.assert_array_equal(twin(IDS).numpy(), before)
    assert twin(IDS).node.scope.path == net(IDS).node.scope.path
    for p in twin.parameters():
        p.data = p.data + 1
    np.testing.assert_array_equal(net(IDS).numpy(), before)
    twin(IDS).sum().backward()
    assert all(p.grad is None for p in net.parameters())


def test_state_dict_round_trip_between_differently_seeded_models():
    a, b = Net(1), Net(2)
    assert not np.array_equal(a(IDS).numpy(), b(IDS).numpy())
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a(IDS).numpy(), b(IDS).numpy())


def test_state_dict_holds_copies():
    net = Net(0)
    before = net(IDS).numpy()
    state = net.state_dict()
    other = Net(1)
    other.load_state_dict(state)
    for array in state.values():
        array += 1
    np.testing.assert_array_equal(net(IDS).numpy(), before)
    np.testing.assert_array_equal(other(IDS).numpy(), before)


def test_loading_converts_to_the_parameters_dtype_and_takes_tensors():
    net = Net(0)
    doubles = {name: tg.Tensor(a.astype(np.float64)) for name, a in Net(1).state_dict().items()}
    net.load_state_dict(doubles)
    assert net.table.weight.dtype == np.float32
    np.testing.assert_array_equal(net.state_dict()["table.weight"], doubles["table.weight"].data)


@given(st.data())
def test_loading_is_all_or_nothing(data):
    net, other = Net(0), Net(1)
    before = net.state_dict()
    state = other.state_dict()
    name = data.draw(st.sampled_from(NAMES))
    fault = data.draw(st.sampled_from(["missing", "unexpected", "shape", "strings"]))
    expected, message = {
        "missing": (KeyError, name),
        "unexpected": (KeyError, "stranger"),
        "shape": (ValueError, name),
        "strings": (TypeError, name),
    }[fault]
    if fault == "missing":
        del state[name]
    elif fault == "unexpected":
        state["stranger"] = np.zeros(3)
    elif fault == "shape":
        state[name] = np.zeros((9, 9))
    else:
        state[name] = np.full(state[name].shape, "a")
    with pytest.raises(expected, match=message):
        net.load_state_dict(state)
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


def test_loading_loosely_takes_what_is_there_but_no_wrong_shape():
    net, other = Net(0), Net(1)
    kept = net.state_dict()["cell.bias_hh"]
    state = other.state_dict()
    del state["cell.bias_hh"]
    state["stranger"] = np.zeros(3)
    net.load_state_dict(state, strict=False)
    np.testing.assert_array_equal(net.state_dict()["cell.bias_hh"], kept)
    np.testing.assert_array_equal(net.table.weight.data, other.table.weight.data)
    with pytest.raises(ValueError, match=r"pair\.0"):
        net.load_state_dict({"pair.0": np.zeros(2)}, strict=False)


def test_loading_something_else_than_a_dict():
    with pytest.raises(TypeError, match="expected a dict"):
        Net().load_state_dict([1, 2])


def test_loading_between_forward_and_backward_leaves_the_gradient_alone():
    x = np.ones((2, 3), np.float32)
    layer, twin = nn.Linear(3, 3, rng=0), nn.Linear(3, 3, rng=0)
    loss, reference = ((m(x) * m(x)).sum() for m in (layer, twin))
    layer.load_state_dict({"weight": np.zeros((3, 3)), "bias": np.zeros(3)})
    loss.backward()
    reference.backward()
    np.testing.assert_array_equal(layer.weight.grad, twin.weight.grad)


# ── switches, gradients, how it is shown ─────────────────────────────────────────────────


def test_train_and_eval_reach_every_module():
    net = Net()
    everyone = [net, net.table, *net.blocks, net.blocks[0].first, net.heads["out"], net.cell]
    assert all(module.training for module in everyone)
    assert net.eval() is net
    assert not any(module.training for module in everyone)
    assert net.train() is net
    assert all(module.training for module in everyone)
    with pytest.raises(TypeError, match="expected a bool"):
        net.train("yes")


def test_zero_grad_forgets_every_gradient():
    net = Net(0)
    net(IDS).sum().backward()
    assert net.table.weight.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()(1)


def test_repr_shows_the_tree():
    assert repr(nn.Module()) == "Module()"
    assert repr(Block(3)) == (
        "Block(\n  (first): Linear(3, 3)\n  (second): Linear(3, 3, bias=False)\n)"
    )
    assert "  (blocks.1): Block(\n    (first): Linear(3, 3)\n" in repr(Net())


@pytest.mark.parametrize("data", [[1, 2], [True], ["a"], [1j]])
def test_parameters_hold_floats(data):
    with pytest.raises(TypeError):
        nn.Parameter(data)


def test_a_parameter_copies_its_data():
    data = np.ones(3)
    parameter = nn.Parameter(data)
    data[:] = 5
    np.testing.assert_array_equal(parameter.data, np.ones(3))
