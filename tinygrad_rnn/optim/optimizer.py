"""What all optimisers share: groups of parameters, the step, and saving the state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy import ndarray

from ..graph import Value
from ..tensor import Tensor

#: Tensors, or groups of them: dicts with "params" and settings of their own.
Params: TypeAlias = Iterable[Tensor] | Iterable[Mapping[str, Any]]

# Settings that most programs leave off; ``repr`` shows them only if they are on.
_shown_if_on = {"amsgrad", "dampening", "decoupled_weight_decay", "maximize"}


class Optimizer:
    """What all optimisers share; a subclass defines ``_new_value``.

    Args:
        params: the Tensors to optimise, such as ``module.parameters()``; or groups of them, dicts
            with ``"params"`` and the settings that this group does not share with the others.
        **settings: numbers and switches for every group that does not set its own.

    Attributes:
        param_groups: a list of dicts, each with ``"params"`` and every setting. A change takes
            effect at the next step.
        params: the list of all parameters.
        state: for each parameter a dict of arrays and numbers, empty before its first step.

    Every setting is also an attribute, such as ``optimizer.lr``. Assigning it sets it in every
    group. Reading it needs equal values in all groups.

    Raises:
        TypeError: ``params`` is one Tensor, or contains something other than Tensors or groups; a
            group has an unknown setting.
        ValueError: there are no parameters, one comes twice or was computed from others, or a
            setting is out of its range.
    """

    lr: float
    params: list[Tensor]
    state: list[dict[str, Any]]
    param_groups: list[dict[str, Any]]

    def __init__(self, params: Params, **settings: Any):
        where = type(self).__name__
        self._settings = tuple(settings)
        self._defaults = {name: _setting(where, name, x) for name, x in settings.items()}
        self.param_groups, self.params, self.state = [], [], []
        if isinstance(params, Value):
            raise TypeError(f"{where}: expected a list of parameters, got a single Tensor")
        if isinstance(params, Mapping):
            raise TypeError(f"{where}: expected a list of groups, got a single group")
        members = list(params)
        groups = [member for member in members if isinstance(member, Mapping)]
        if groups and len(groups) < len(members):
            raise TypeError(f"{where}: expected Tensors or groups of them, got both")
        if not members:
            raise ValueError(f"{where}: got no parameters")
        for group in groups or [{"params": members}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimise more parameters.

        Args:
            group: ``{"params": Tensors}``, and settings that differ from those of the optimiser.

        Raises:
            KeyError: there is no "params".
            TypeError, ValueError: as for a new optimiser.
        """
        where = type(self).__name__
        if "params" not in group:
            raise KeyError(f"{where}: a group needs 'params', got {[*group]}")
        unknown = [name for name in group if name not in (*self._settings, "params")]
        if unknown:
            raise TypeError(
                f"{where}: a group has unknown settings {unknown}; "
                f"the settings are {', '.join(self._settings)}"
            )
        params = group["params"]
        leaves = _leaves(where, [params] if isinstance(params, Tensor) else params, self.params)
        own = {k: _setting(where, k, x) for k, x in group.items() if k != "params"}
        full_group = {"params": leaves, **self._defaults, **own}
        self._check_group(full_group)
        self.param_groups.append(full_group)
        self.params.extend(leaves)
        self.state.extend({} for _ in leaves)

    def _check_group(self, group: dict[str, Any]) -> None:
        """Refuse settings that contradict each other."""

    if not TYPE_CHECKING:  # subclasses declare their settings

        def __getattr__(self, name: str) -> Any:
            if name not in self.__dict__.get("_settings", ()):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            values = [group[name] for group in self.param_groups]
            if any(value != values[0] for value in values):
                raise AttributeError(f"{name} differs between the groups: {values}")
            return values[0]

        def __setattr__(self, name: str, value: Any) -> None:
            if name in self.__dict__.get("_settings", ()):
                for group in self.param_groups:
                    group[name] = value
            else:
                object.__setattr__(self, name, value)

    # ── a step ───────────────────────────────────────────────────────────────────────────

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        """The next value of a parameter.

        Args:
            x: its value.
            g: its gradient.
            state: the optimiser's state for this parameter; may be updated.
            group: the settings of its group, as attributes.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define _new_value()")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient.

        Args:
            closure: a function that computes the loss and its gradients; called first.

        Returns:
            The loss that the closure returned; None without a closure.
        """
        loss = None if closure is None else closure()
        states = iter(self.state)
        for group in self.param_groups:
            # Use Python numbers: a NumPy float64 would turn float32 arrays into float64.
            settings = SimpleNamespace(**group)
            for name in self._settings:
                if isinstance(group[name], (np.generic, ndarray)):
                    setattr(settings, name, group[name].item())
            maximize = getattr(settings, "maximize", False)
            for parameter in group["params"]:
                g, state = parameter.grad, next(states)
                if g is not None:
                    x = parameter.data
                    if maximize:
                        g = -g
                    new = self._new_value(x, g, state, settings)
                    parameter.data = new.astype(x.dtype, copy=False)
        return loss

    def zero_grad(self) -> None:
        """Clear the gradients: ``.grad`` of every parameter becomes None."""
        for parameter in self.params:
            parameter.grad = None

    # ── saving ───────────────────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on, except parameters and gradients.

        Returns:
            ``{"settings": {name: value}, "state": {"0": {name: array or number}, ...}}``. The state
            has an entry for each parameter, by its position; all arrays are copies. With several
            groups, ``settings`` is a list with a dict for each.
        """
        each = [{name: group[name] for name in self._settings} for group in self.param_groups]
        state = {str(i): _copy_state(memory) for i, memory in enumerate(self.state)}
        return {"settings": each[0] if len(each) == 1 else each, "state": state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state of a :meth:`state_dict`.

        Raises:
            KeyError: it is not the state of this kind of optimiser.
            ValueError: it belongs to other parameters: the number of parameters or groups differs,
                or a shape does.
        """
        name = type(self).__name__
        if set(state_dict) != {"settings", "state"}:
            raise KeyError(f"{name}: expected keys 'settings' and 'state', got {[*state_dict]}")
        settings, state = state_dict["settings"], state_dict["state"]
        each = [settings] if isinstance(settings, Mapping) else list(settings)
        if len(each) != len(self.param_groups):
            raise ValueError(
                f"{name}: expected the settings of {len(self.param_groups)} groups, got {len(each)}"
            )
        checked = []
        for saved, group in zip(each, self.param_groups, strict=True):
            # States of older versions lack newer settings. All of these are off by default.
            off = {k: group[k] for k in _shown_if_on & set(self._settings)}
            values = {**off, **saved}
            if set(values) != set(self._settings):
                raise KeyError(f"{name}: expected settings {[*self._settings]}, got {[*values]}")
            checked.append({key: _setting(name, key, value) for key, value in values.items()})
        if set(state) != {str(i) for i in range(len(self.params))}:
            raise ValueError(
                f"{name}: expected the state of {len(self.params)} parameters, got {[*state]}"
            )
        for i, parameter in enumerate(self.params):
            self._check_state(i, parameter, state[str(i)])
        for values, group in zip(checked, self.param_groups, strict=True):
            group.update(values)
        self.state = [_copy_state(state[str(i)]) for i in range(len(self.params))]

    def _check_state(self, place: int, parameter: Tensor, state: Mapping[str, Any]) -> None:
        for key, value in state.items():
            if np.ndim(value) and np.shape(value) != parameter.shape:
                raise ValueError(
                    f"{type(self).__name__}: parameter {place} has shape {parameter.shape}, "
                    f"but its {key} has {np.shape(value)}"
                )

    def __repr__(self) -> str:
        parts = []
        for group in self.param_groups:
            settings = "".join(
                f", {name}={group[name]}"
                for name in self._settings
                if group[name] or name not in _shown_if_on
            )
            parts.append(f"{len(group['params'])} parameters{settings}")
        return f"{type(self).__name__}({'; '.join(parts)})"


# ── settings and parameters ──────────────────────────────────────────────────────────────


def _leaves(where: str, params: Iterable[Any], others: list[Tensor]) -> list[Tensor]:
    leaves = list(params)
    if not leaves:
        raise ValueError(f"{where}: got no parameters")
    for i, parameter in enumerate(leaves):
        if not isinstance(parameter, Tensor):
            raise TypeError(
                f"{where}: expected Tensors, parameter {i} is {type(parameter).__name__}"
            )
        if parameter.node is not None and not parameter.node.is_leaf:
            raise ValueError(f"{where}: parameter {i} was computed from other tensors")
    if len({id(p) for p in (*others, *leaves)}) < len(others) + len(leaves):
        raise ValueError(f"{where}: a parameter comes twice")
    return leaves


def _setting(where: str, name: str, value: Any) -> Any:
    """Check a setting: a switch, a decay rate below 1, or a number of at least 0."""
    if name == "betas":
        if len(value) != 2:
            raise ValueError(f"{where}: betas must be two numbers, got {value!r}")
        return tuple(_setting(where, "beta", beta) for beta in value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if value is None or isinstance(value, str):  # checked in _check_group
        return value
    below = 1 if name in ("beta", "alpha") else math.inf
    if not 0 <= value < below:
        bound = "" if below == math.inf else f" and below {below}"
        raise ValueError(f"{where}: {name} must be at least 0{bound}, got {value!r}")
    return value if isinstance(value, int) else float(value)


def _copy_state(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value.copy() if isinstance(value, ndarray) and value.ndim else value
        for key, value in state.items()
    }


# ── parts of formulas ────────────────────────────────────────────────────────────────────


def with_l2_penalty(g: ndarray, x: ndarray, weight_decay: float) -> ndarray:
    """The gradient of the loss plus an L2 penalty."""
    return g + weight_decay * x if weight_decay else g


def running_mean(mean: ndarray | None, x: ndarray, beta: float) -> ndarray:
    """Update a running mean, beta mean + (1 - beta) x. None stands for its initial value, 0."""
    step = (1 - beta) * x
    return step if mean is None else beta * mean + step
