"""Optimisers and clipping: what they promise about arrays, states and convergence.

That their formulas are PyTorch's is in ``tests/peers/test_torch_optim.py``.
"""

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim

MAKERS = {
    "SGD": lambda ps: optim.SGD(ps, 0.05),
    "momentum": lambda ps: optim.SGD(ps, 0.01, 0.9, weight_decay=0.01),
    "nesterov": lambda ps: optim.SGD(ps, 0.01, 0.9, nesterov=True),
    "Adagrad": lambda ps: optim.Adagrad(ps, 0.5, lr_decay=0.01),
    "RMSprop": lambda ps: optim.RMSprop(ps, 0.02),
    "RMSprop, centered, momentum": lambda ps: optim.RMSprop(ps, 0.01, momentum=0.5, centered=True),
    "Adam": lambda ps: optim.Adam(ps, 0.05),
    "AdamW": lambda ps: optim.AdamW(ps, 0.05),
    "Adam, amsgrad": lambda ps: optim.Adam(ps, 0.05, amsgrad=True),
    "NAdam": lambda ps: optim.NAdam(ps, 0.05),
    "dampening": lambda ps: optim.SGD(ps, 0.05, 0.5, dampening=0.2),
    "groups": lambda ps: optim.Adam(
        [{"params": ps[:1], "lr": 0.1}, {"params": ps[1:], "weight_decay": 0.001}], 0.05
    ),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def problem(dtype=np.float64):
    """Parameters of several shapes, 0-d too, and a loss that is smallest where they are 1."""
    rng = np.random.default_rng(0)
    shapes = [(), (3,), (2, 4)]
    return [nn.Parameter(rng.standard_normal(shape).astype(dtype)) for shape in shapes]


def loss_of(params):
    terms = [((p - 1) * (p - 1)).sum() for p in params]
    return terms[0] + terms[1] + terms[2]


def run(optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(optimizer.params).backward()
        optimizer.step()


@each
def test_it_gets_there(make):
    params = problem()
    before = loss_of(params).item()
    run(make(params), 200)
    assert loss_of(params).item() < before / 50


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay(make, dtype):
    params = problem(dtype)
    optimizer = make(params)
    run(optimizer, 2)
    assert {p.dtype for p in params} == {np.dtype(dtype)}
    optimizer.lr = np.float64(0.01)  # NumPy's own float64 would promote
    run(optimizer, 1)
    arrays = [a for s in optimizer.state for a in s.values() if isinstance(a, np.ndarray)]
    assert {a.dtype for a in arrays} <= {np.dtype(dtype)}


@each
def test_a_step_writes_into_no_array(make):
    """A step between forward and backward changes no gradient, nor anything else handed out."""
    params = problem()
    optimizer = make(params)
    run(optimizer, 3)
    optimizer.zero_grad()
    loss, twin = loss_of(params), loss_of(params)
    loss.backward()
    views = [p.data for p in params]
    held = [view.copy() for view in views]
    gradients = [p.grad for p in params]
    optimizer.step()
    for view, before in zip(views, held, strict=True):
        np.testing.assert_array_equal(view, before)
    optimizer.zero_grad()
    twin.backward()
    for p, g in zip(params, gradients, strict=True):
        np.testing.assert_array_equal(p.grad, g)


@each
def test_gradients_written_into_afterwards_do_not_reach_its_memory(make):
    params, twins = problem(), problem()
    optimizer, reference = make(params), make(twins)
    for opt, spoil in ((optimizer, True), (reference, False)):
        run(opt, 1)
        if spoil:
            for p in opt.params:
                p.grad[...] = 99
        run(opt, 1)
    for p, q in zip(params, twins, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@each
def test_going_on_from_a_state_dict_is_never_having_stopped(make):
    params = problem()
    optimizer = make(params)
    run(optimizer, 5)
    optimizer.lr = 0.003
    again = [copy.deepcopy(p) for p in params]
    saved = copy.deepcopy(optimizer.state_dict())
    resumed = make(again)
    handed_out = optimizer.state_dict()
    resumed.load_state_dict(handed_out)
    for opt in (optimizer, resumed):
        run(opt, 5)
    for p, q in zip(params, again, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    assert repr(handed_out) == repr(saved)  # it was a copy


def test_parameters_without_a_gradient_stay():
    params = problem()
    optimizer = optim.Adam(params, 0.1)
    (params[0] * 2).sum().backward()
    before = [p.numpy() for p in params]
    optimizer.step()
    assert params[0].item() != before[0]
    for p, old in zip(params[1:], before[1:], strict=True):
        np.testing.assert_array_equal(p.data, old)
    assert optimizer.state[1] == {}


def test_an_rmsprop_whose_variance_rounds_below_zero_goes_on():
    p = nn.Parameter(np.full(4, 1.0))
    optimizer = optim.RMSprop([p], lr=1e-12, alpha=0.0, centered=True)
    for g in (0.1, 1 / 3, 1e8 / 7):
        p.grad = np.full(4, g)
        optimizer.step()
    assert np.isfinite(p.data).all()


# ── groups ───────────────────────────────────────────────────────────────────────────────


def test_groups_have_the_settings_they_were_given_and_the_others_defaults():
    params = problem()
    optimizer = optim.SGD([{"params": params[0], "lr": 0.5}, {"params": params[1:]}], 0.1, 0.9)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 2]
    assert optimizer.params == params
    assert repr(optimizer).startswith("SGD(1 parameters, lr=0.5, momentum=0.9,")
    optimizer.add_param_group({"params": iter([nn.Parameter([1.0])]), "nesterov": True})
    assert len(optimizer.params) == len(optimizer.state) == 4


def test_a_setting_as_an_attribute_is_that_of_all_groups():
    params = problem()
    optimizer = optim.Adam([{"params": params[:1]}, {"params": params[1:]}], 0.1)
    assert optimizer.lr == 0.1
    optimizer.param_groups[1]["lr"] = 0.2
    with pytest.raises(AttributeError, match=r"lr differs between the groups: \[0.1, 0.2\]"):
        _ = optimizer.lr
    optimizer.lr = 0.3
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.3]
    with pytest.raises(AttributeError, match="no attribute 'rate'"):
        _ = optimizer.rate
    optimizer.note = "mine"  # any other attribute is Python's own
    assert optimizer.note == "mine"
    assert copy.deepcopy(optimizer).lr == 0.3


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([{"lr": 0.1}], KeyError, "a group needs 'params'"),
        ([{"params": [], "lr": 0.1}], ValueError, "no parameters"),
        (
            [{"params": [nn.Parameter([1.0])], "rate": 1}],
            TypeError,
            r"unknown settings \['rate'\]; the settings are lr",
        ),
        ([{"params": [nn.Parameter([1.0])], "lr": -1}], ValueError, "lr must be at least 0"),
        ([{"params": [nn.Parameter([1.0])]}, nn.Parameter([1.0])], TypeError, "got both"),
        ({"params": [nn.Parameter([1.0])]}, TypeError, "got a single group"),
        ([{"params": [nn.Parameter([1.0])], "nesterov": True}], ValueError, "momentum above 0"),
    ],
)
def test_groups_that_are_none(groups, error, message):
    with pytest.raises(error, match=message):
        optim.SGD(groups, 0.1)


def test_a_parameter_in_two_groups():
    p = nn.Parameter([1.0])
    with pytest.raises(ValueError, match="twice"):
        optim.Adam([{"params": [p]}, {"params": [p]}])


def test_states_of_other_groups_and_of_older_versions():
    params = problem()
    optimizer = optim.Adam([{"params": params[:1], "lr": 0.5}, {"params": params[1:]}])
    run(optimizer, 2)
    state = optimizer.state_dict()
    assert [settings["lr"] for settings in state["settings"]] == [0.5, 0.001]
    with pytest.raises(ValueError, match="the settings of 1 groups, got 2"):
        optim.Adam(params).load_state_dict(state)
    old = optim.Adam(params)
    run(old, 1)
    state = old.state_dict()
    del state["settings"]["amsgrad"], state["settings"]["maximize"]  # as 0.1.0 wrote it
    optim.Adam(params).load_state_dict(state)


# ── a closure, and L-BFGS ────────────────────────────────────────────────────────────────


@each
def test_a_step_with_a_closure_returns_its_loss(make):
    params = problem()
    optimizer = make(params)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(params)
        loss.backward()
        seen.append(loss.item())
        return loss

    before = loss_of(params).item()
    assert optimizer.step(closure).item() == before
    assert seen == [before]
    assert optimizer.step() is None


def closure_of(optimizer, params):
    def closure():
        optimizer.zero_grad()
        a, b, c = params
        loss = ((b * b - 2) ** 2).sum() + (c @ c.T - 1).sum() ** 2 + (a - b.sum()) ** 2
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
def test_lbfgs_goes_on_from_a_state_dict(tmp_path, line_search_fn):
    params = problem()
    settings = {"lr": 0.02, "max_iter": 3, "history_size": 2, "line_search_fn": line_search_fn}
    optimizer = optim.LBFGS(params, **settings)
    closure = closure_of(optimizer, params)
    for _ in range(3):
        first = optimizer.step(closure)
    again = [copy.deepcopy(p) for p in params]
    resumed = optim.LBFGS(again, **settings)
    tg.save(tmp_path / "a.npz", optimizer.state_dict())
    resumed.load_state_dict(tg.load(tmp_path / "a.npz"))
    for _ in range(3):
        loss = optimizer.step(closure)
        resumed.step(closure_of(resumed, again))
    for p, q in zip(params, again, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    assert loss.item() < first.item()


def test_lbfgs_refuses_what_it_cannot_do():
    params = problem()
    with pytest.raises(TypeError, match="step needs a closure"):
        optim.LBFGS(params).step()
    with pytest.raises(ValueError, match="at most one group"):
        optim.LBFGS([{"params": params[:1]}, {"params": params[1:]}])
    with pytest.raises(ValueError, match="None or 'strong_wolfe', got 'golden'"):
        optim.LBFGS(params, line_search_fn="golden")
    optimizer = optim.LBFGS(params, max_iter=2)
    optimizer.step(closure_of(optimizer, params))
    with pytest.raises(
        ValueError, match="the parameters have 3 elements, but d of the state has 12"
    ):
        optim.LBFGS(params[1:2]).load_state_dict(
            {**optimizer.state_dict(), "state": {"0": optimizer.state_dict()["state"]["0"]}}
        )


def test_lbfgs_at_the_minimum_and_on_a_line():
    p = nn.Parameter([0.0, 0.0])
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")

    def at_rest():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(at_rest).item() == 0
    assert optimizer.state[0] == {"func_evals": 1}

    def line():
        optimizer.zero_grad()
        loss = (p * np.array([1.0, -2.0])).sum()
        loss.backward()
        return loss

    optimizer.step(line)  # it has no minimum: the steps grow as far as they may
    assert p.data[0] < -1e3
    assert np.isfinite(p.data).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lbfgs_keeps_dtypes(dtype):
    params = problem(dtype)
    optimizer = optim.LBFGS(params, lr=0.1, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer, params))
    assert {p.dtype for p in params} == {np.dtype(dtype)}
    assert optimizer.state[0]["d"].dtype == dtype


# ── what is refused ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, "no parameters"),
        (tg.Tensor([1.0], requires_grad=True), TypeError, "single Tensor"),
        ([np.ones(3)], TypeError, "parameter 0 is ndarray"),
        ([tg.Tensor([1.0], requires_grad=True) * 2], ValueError, "was computed"),
    ],
)
def test_params_that_are_none(params, error, message):
    with pytest.raises(error, match=message):
        optim.SGD(params, 0.1)


def test_a_parameter_twice():
    p = nn.Parameter([1.0])
    with pytest.raises(ValueError, match="twice"):
        optim.Adam([p, p])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda ps: optim.SGD(ps, -0.1), "lr must be at least 0"),
        (lambda ps: optim.SGD(ps, math.nan), "lr"),
        (lambda ps: optim.SGD(ps, 0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda ps: optim.Adam(ps, betas=(0.9, 1.0)), "beta must be at least 0 and below 1"),
        (lambda ps: optim.Adam(ps, betas=(0.9,)), "betas must be two"),
        (lambda ps: optim.RMSprop(ps, alpha=1.0), "alpha"),
        (lambda ps: optim.AdamW(ps, weight_decay=-1), "weight_decay"),
        (lambda ps: optim.Adagrad(ps, eps=-1), "eps"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(problem())


def test_states_of_something_else():
    optimizer = optim.Adam(problem())
    run(optimizer, 1)
    good = optimizer.state_dict()
    with pytest.raises(KeyError, match="'settings' and 'state'"):
        optimizer.load_state_dict({"settings": {}})
    with pytest.raises(KeyError, match="expected settings"):
        optimizer.load_state_dict(optim.SGD(problem(), 0.1).state_dict())
    with pytest.raises(ValueError, match="3 parameters"):
        optimizer.load_state_dict({**good, "state": {"0": {}}})
    other = copy.deepcopy(good)
    other["state"]["1"]["exp_avg"] = np.zeros(7)
    with pytest.raises(
        ValueError, match=r"parameter 1 has shape \(3,\), but its exp_avg has \(7,\)"
    ):
        optimizer.load_state_dict(other)
    other = copy.deepcopy(good)
    other["settings"]["lr"] = -1
    with pytest.raises(ValueError, match="lr"):
        optimizer.load_state_dict(other)
    assert repr(optimizer.state_dict()) == repr(good)


def test_the_base_class_has_no_formula():
    p = nn.Parameter([1.0])
    p.grad = [1.0]
    with pytest.raises(NotImplementedError, match="_new_value"):
        optim.Optimizer([p]).step()


def test_repr():
    assert repr(optim.SGD(problem(), 0.1)) == (
        "SGD(3 parameters, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)"
    )


# ── clipping ─────────────────────────────────────────────────────────────────────────────


def with_gradients(arrays):
    params = []
    for array in arrays:
        p = nn.Parameter(np.zeros_like(array))
        p.grad = array
        params.append(p)
    return params


@given(st.integers(0, 999), st.floats(0, 20), st.sampled_from([np.float32, np.float64]))
def test_clipping_the_norm(seed, max_norm, dtype):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s).astype(dtype) for s in ((), (3,), (2, 2))]
    params = [*with_gradients(arrays), nn.Parameter([1.0])]
    flat = np.concatenate([a.ravel() for a in arrays]).astype(np.float64)
    norm = optim.clip_grad_norm_(iter(params), max_norm)
    assert type(norm) is float
    assert norm == pytest.approx(np.linalg.norm(flat), rel=1e-12)
    clipped = np.concatenate([p.grad.ravel() for p in params[:-1]])
    assert clipped.dtype == dtype
    assert np.linalg.norm(clipped) <= max_norm * (1 + 1e-5) or norm <= max_norm
    if norm < max_norm * 0.99:
        np.testing.assert_array_equal(clipped, flat.astype(dtype))
    else:
        np.testing.assert_allclose(
            clipped * np.linalg.norm(flat), np.linalg.norm(clipped) * flat, rtol=1e-3, atol=1e-5
        )
    assert params[-1].grad is None


def test_clipping_rebinds_and_takes_one_tensor_too():
    (p,) = with_gradients([np.array([3.0, 4.0])])
    before = p.grad
    assert optim.clip_grad_norm_(p, 1.0) == 5.0
    np.testing.assert_array_equal(before, [3, 4])
    np.testing.assert_allclose(p.grad, [0.6, 0.8], rtol=1e-5)
    assert optim.clip_grad_norm_([], 1.0) == 0.0


def test_the_norm_of_large_float32_does_not_overflow():
    (p,) = with_gradients([np.full(4, 1e30, np.float32)])
    assert optim.clip_grad_norm_([p], 2.0) == pytest.approx(2e30)
    np.testing.assert_allclose(p.grad, np.ones(4), rtol=1e-5)


def test_a_norm_that_is_not_finite_is_seen():
    (p,) = with_gradients([np.array([math.inf, 1.0])])
    assert optim.clip_grad_norm_([p], 1.0) == math.inf
    assert math.isnan(p.grad[0])
    (p,) = with_gradients([np.array([math.nan, 1.0])])
    assert math.isnan(optim.clip_grad_norm_([p], 1.0))
    assert np.isnan(p.grad).all()


def test_clipping_values():
    p, without = with_gradients([np.array([-3.0, 0.5, 4.0])])[0], nn.Parameter([1.0])
    before = p.grad
    optim.clip_grad_value_([p, without], 1.0)
    np.testing.assert_array_equal(p.grad, [-1, 0.5, 1])
    np.testing.assert_array_equal(before, [-3, 0.5, 4])


@pytest.mark.parametrize("bound", [-1.0, math.nan])
def test_bounds_that_are_none(bound):
    with pytest.raises(ValueError, match="max_norm"):
        optim.clip_grad_norm_([], bound)
    with pytest.raises(ValueError, match="value"):
        optim.clip_grad_value_([], bound)
