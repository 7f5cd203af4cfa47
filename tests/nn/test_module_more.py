"""Modules within modules, buffers, hooks, conversion, and lists and dicts of modules."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


class Block(nn.Module):
    def __init__(self, size, rng=None):
        self.first = nn.Linear(size, size, rng=rng)
        self.norm = nn.BatchNorm1d(size)

    def forward(self, x):
        return self.norm(tg.tanh(self.first(x)))


class Net(nn.Module):
    def __init__(self):
        rng = np.random.default_rng(0)
        self.blocks = [Block(3, rng), Block(3, rng)]
        self.out = nn.Linear(3, 2, rng=rng)
        self.alias = self.out
        self.register_buffer("mean", np.zeros(3))
        self.register_buffer("scratch", np.ones(2), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x):
        x = x - self.mean.data.astype(np.float32)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


X = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)


# ── what is within ───────────────────────────────────────────────────────────────────────


def test_children_and_modules():
    net = Net()
    assert [name for name, _ in net.named_children()] == ["blocks.0", "blocks.1", "out"]
    assert list(net.children()) == [*net.blocks, net.out]
    names = ["", "blocks.0", "blocks.0.first", "blocks.0.norm"]
    assert [name for name, _ in net.named_modules()][:4] == names
    assert [name for name, _ in net.named_modules("net")][:2] == ["net", "net.blocks.0"]
    assert len(list(net.modules())) == 8
    assert dict(net.named_modules())["blocks.1.norm"] is net.blocks[1].norm


def test_parameters_with_a_prefix_or_of_the_module_alone():
    net = Net()
    assert next(net.named_parameters("net"))[0] == "net.blocks.0.first.weight"
    assert list(net.parameters(recurse=False)) == []
    assert [name for name, _ in net.out.named_parameters("", recurse=False)] == ["weight", "bias"]


def test_apply_comes_to_the_innermost_first():
    net, seen = Net(), []
    assert net.apply(seen.append) is net
    assert seen[-1] is net
    assert seen.index(net.blocks[0].first) < seen.index(net.blocks[0])
    assert len(seen) == len(set(map(id, seen))) == 8


def test_freezing_and_thawing():
    net = Net()
    net(X).sum().backward()
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(X).requires_grad
    before = net.state_dict()
    tg.optim.SGD(net.parameters(), 1.0).step()  # no gradient: nothing moves
    for name, array in net.state_dict().items():
        if "running" not in name and "tracked" not in name:
            np.testing.assert_array_equal(array, before[name])
    net.out.requires_grad_()
    net(X).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is not None] == [
        "out.weight",
        "out.bias",
    ]
    assert net.out.weight.name == "weight"


@pytest.mark.parametrize("layer", [nn.LSTM(3, 4, rng=0), nn.GRUCell(3, 4, rng=0), Net()])
def test_another_dtype_keeps_the_parameters(layer):
    layer = copy.deepcopy(layer)
    params = list(layer.parameters())
    optimizer = tg.optim.Adam(params, 0.1)
    y = layer(X)
    first = y[0] if isinstance(y, tuple) else y
    first.sum().backward()
    assert layer.astype(np.float64) is layer
    assert list(layer.parameters()) == params
    assert {p.dtype for p in params} == {np.dtype(np.float64)}
    assert all(p.grad is None for p in params)
    y = layer(X.astype(np.float64))
    second = y[0] if isinstance(y, tuple) else y
    assert second.dtype == np.float64
    second.sum().backward()
    assert {p.grad.dtype for p in params} == {np.dtype(np.float64)}
    optimizer.step()
    with pytest.raises(TypeError, match="expected a float type, got int64"):
        layer.astype(np.int64)


def test_a_pending_backward_survives_another_dtype():
    layer, twin = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=0)
    loss, same = ((m(X) ** 2).sum() for m in (layer, twin))
    layer.astype(np.float64)
    loss.backward()
    same.backward()
    np.testing.assert_allclose(layer.weight.grad, twin.weight.grad, rtol=1e-6)


# ── parameters and buffers ───────────────────────────────────────────────────────────────


def test_parameters_by_names_made_up_at_run_time():
    module = nn.Module()
    for i in range(2):
        module.register_parameter(f"w{i}", nn.Parameter([float(i)]))
    module.register_parameter("none", None)
    assert [name for name, _ in module.named_parameters()] == ["w0", "w1"]
    for name in ("", "a.b", "w0", "forward", 3):
        with pytest.raises(KeyError):
            module.register_parameter(name, nn.Parameter([1.0]))
    with pytest.raises(TypeError, match="expected a Parameter or None, got ndarray"):
        module.register_parameter("x", np.ones(2))


@pytest.mark.parametrize("value", [tg.Tensor([1.0, 2.0]), np.ones(2), 3.0])
def test_a_parameter_is_not_replaced_by_what_would_not_be_trained(value):
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"bias is a Parameter.*write module.bias.data = "):
        layer.bias = value
    layer.bias = nn.Parameter([1.0, 2.0])
    layer.bias = None
    layer.bias = value  # nothing is lost any more
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_buffers_are_saved_and_not_trained():
    net = Net()
    assert [name for name, _ in net.named_buffers()][-2:] == ["mean", "scratch"]
    assert len(list(net.buffers())) == 8
    state = net.state_dict()
    assert "mean" in state
    assert "scratch" not in state
    assert "blocks.0.norm.running_var" in state
    assert state["blocks.0.norm.num_batches_tracked"].dtype == np.int64
    assert not {"mean", "scratch"} & {name for name, _ in net.named_parameters()}
    other = Net()
    other(X)
    other.mean = np.ones(3)
    other.load_state_dict(state)
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    with pytest.raises(KeyError, match="mean"):
        other.load_state_dict({k: v for k, v in state.items() if k != "mean"})


def test_what_is_assigned_to_a_buffer_is_one():
    net = Net()
    net.mean = [1.0, 2.0, 3.0]
    assert isinstance(net.mean, tg.Tensor)
    net.nothing = np.arange(2)
    assert "nothing" in net.state_dict()
    net.nothing = None
    assert "nothing" not in net.state_dict()
    for name in ("", "a.b", "forward", "out"):
        with pytest.raises(KeyError):
            net.register_buffer(name, np.ones(1))
    with pytest.raises(TypeError, match="requires grad"):
        net.register_buffer("fresh", tg.Tensor([1.0], requires_grad=True))
    with pytest.raises(TypeError):
        net.register_buffer("fresh", "text")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_buffers_and_lists_survive_copies(duplicate):
    net = nn.Sequential(Net(), nn.BatchNorm1d(2))
    net(X)
    twin = duplicate(net)
    assert list(twin.state_dict()) == list(net.state_dict())
    twin(X)
    assert twin[1].num_batches_tracked.item() == 2
    assert net[1].num_batches_tracked.item() == 1


# ── hooks ────────────────────────────────────────────────────────────────────────────────


def test_hooks_see_and_change_what_goes_in_and_out():
    layer = nn.Linear(3, 2, rng=0)
    plain = layer(X).numpy()
    seen = []
    handles = [
        layer.register_forward_pre_hook(lambda m, args: seen.append((m, args[0].shape))),
        layer.register_forward_pre_hook(lambda m, args: args[0] * 2),
        layer.register_forward_hook(lambda m, args, y: y + 1),
        layer.register_forward_hook(lambda m, args, y: seen.append(y.numpy())),
        layer.register_forward_hook(lambda m, args, y: y * 3, prepend=True),
    ]
    expected = layer.weight.data @ (2 * X).T
    expected = 3 * (expected.T + layer.bias.data) + 1
    np.testing.assert_allclose(layer(X).data, expected, rtol=1e-5)
    assert seen[0] == (layer, X.shape)
    np.testing.assert_allclose(seen[1], expected, rtol=1e-5)
    for handle in handles:
        handle.remove()
        handle.remove()
    np.testing.assert_array_equal(layer(X).data, plain)


def test_hooks_with_keywords():
    class Scaled(nn.Module):
        def forward(self, x, *, by=1.0):
            return x * by

    layer = Scaled()
    with layer.register_forward_pre_hook(
        lambda m, args, keywords: (args, {**keywords, "by": 5.0}), with_kwargs=True
    ):
        assert layer(2.0, by=3.0) == 10.0
        with layer.register_forward_hook(
            lambda m, args, keywords, y: (y, keywords["by"]), with_kwargs=True
        ):
            assert layer(2.0) == (10.0, 5.0)
    assert layer(2.0, by=3.0) == 6.0
    with pytest.raises(TypeError, match="expected a function as hook"):
        layer.register_forward_hook(3)


def test_a_hook_is_no_part_of_the_module_even_if_it_is_one():
    class Watch(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter([2.0])

        def __call__(self, module, args, output):
            return output * self.scale

    layer = nn.Linear(3, 2, rng=0)
    layer.register_forward_hook(Watch())
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert len(list(layer.modules())) == 1
    assert layer(X).node.scope.path == ("linear",)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(twin(X).data, layer(X).data)
    assert twin._forward_hooks is not layer._forward_hooks


# ── lists and dicts ──────────────────────────────────────────────────────────────────────


class Stack(nn.Module):
    def __init__(self, layers):
        self.layers = nn.ModuleList(layers)
        self.heads = nn.ModuleDict({"left": nn.Linear(3, 1), "right": nn.Linear(3, 2)})

    def forward(self, x, head):
        for layer in self.layers:
            x = layer(x)
        return self.heads[head](x)


def test_a_module_list_is_a_list_of_modules():
    first, second, third = (nn.Linear(3, 3, rng=i) for i in range(3))
    net = Stack([first, second])
    assert [n for n, _ in net.named_parameters()][:2] == ["layers.0.weight", "layers.0.bias"]
    assert net.layers.append(third) is net.layers
    assert (len(net.layers), net.layers[-1], net.layers[2]) == (3, third, third)
    assert list(net.layers) == [first, second, third]
    assert second in net.layers
    net.layers.insert(0, nn.Tanh())
    assert next(net.layers.named_parameters())[0] == "1.weight"
    assert net.layers.pop(0).__class__ is nn.Tanh
    assert isinstance(net.layers[1:], nn.ModuleList)
    assert list(net.layers[1:]) == [second, third]
    net.layers[0] = third
    del net.layers[1]
    net.layers.extend([second])
    assert list(net.layers) == [third, third, second]
    assert len(list(net.layers.children())) == 2
    y = net(X, "left")
    paths = {node.scope.path for node in tg.graph.ancestors([y.node]) if not node.is_leaf}
    assert ("stack", "layers.2") in paths
    assert ("stack", "heads.left") in paths
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"index {index} of 3"):
            net.layers[index]
    for call in (
        lambda: nn.ModuleList([tg.tanh]),
        lambda: net.layers.append(3),
        lambda: net.layers.__setitem__(0, None),
    ):
        with pytest.raises(TypeError, match="expected a Module"):
            call()
    assert list(net.layers) == [third, third, second]
    with pytest.raises(NotImplementedError):
        net.layers(X)
    assert list(copy.deepcopy(net).state_dict()) == list(net.state_dict())


def test_a_module_dict_is_a_dict_of_modules():
    heads = nn.ModuleDict([("a", nn.Linear(2, 2)), ("b", nn.Tanh())])
    assert (len(heads), list(heads), "a" in heads, "c" in heads) == (2, ["a", "b"], True, False)
    heads["c"] = nn.Linear(2, 1)
    heads["a"] = heads["c"]
    assert [type(m).__name__ for m in heads.values()] == ["Linear", "Tanh", "Linear"]
    assert dict(heads.items())["b"] is heads.pop("b")
    assert list(heads.keys()) == ["a", "c"]
    with pytest.raises(KeyError, match="there is no 'b'; the names are a, c"):
        heads["b"]
    with pytest.raises(KeyError):
        del heads["b"]
    for key, error in (("a.b", KeyError), ("keys", KeyError), (3, TypeError), ("", KeyError)):
        with pytest.raises(error):
            heads[key] = nn.Tanh()
    with pytest.raises(TypeError, match="expected a Module, got function"):
        heads["d"] = lambda x: x
    heads.clear()
    assert len(heads) == 0
