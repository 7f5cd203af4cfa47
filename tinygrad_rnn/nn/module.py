"""Module: parameters with names, and the scope that their computation is recorded under.

A Module is a plain Python object. Its parameters are the :class:`Parameter` objects among its
attributes, those of its attributes that are Modules, and those inside lists, tuples and dicts of
either, in the order in which the attributes were first set. Nothing else is kept, so copying and
pickling are Python's own, and there is no base constructor to remember.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar

import numpy as np
from numpy import ndarray

from .. import graph
from ..graph import Value, attach, describe, numeric
from ..tensor import Tensor

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)


class _HasForward(Protocol[_P, _R]):
    def forward(self, *args: _P.args, **keywords: _P.kwargs) -> _R: ...


class _Call:
    """What calling a module looks like to a type checker: its own ``forward``."""

    def __get__(
        self, instance: _HasForward[_P, _R], owner: Any
    ) -> Callable[_P, _R]:  # pragma: no cover
        raise NotImplementedError


class Parameter(Tensor):
    """A Tensor that requires grad and that a :class:`Module` counts among its parameters.

    Args:
        data: floats of any shape; copied.
        name: what pictures call it; a Module gives it the name of its attribute.

    Raises:
        TypeError: the data are not floats.

    >>> from tinygrad_rnn import nn
    >>> nn.Parameter([1.0, 2.0]).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None):
        super().__init__(data, requires_grad=True, name=name)


class Module:
    """A function with parameters: derive from it, set the parameters, define ``forward``.

    Calling a module runs ``forward`` inside a scope of the module's name (the attribute it was
    assigned to; of the outermost one its class in lower case), which pictures and error messages
    show.

    >>> import numpy as np
    >>> from tinygrad_rnn import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self, size):
    ...         self.factor = nn.Parameter(np.ones(size))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> class Twice(nn.Module):
    ...     def __init__(self, size):
    ...         self.layers = [Scale(size), Scale(size)]
    ...     def forward(self, x):
    ...         for layer in self.layers:
    ...             x = layer(x)
    ...         return x
    >>> model = Twice(3)
    >>> [name for name, _ in model.named_parameters()]
    ['layers.0.factor', 'layers.1.factor']
    >>> model(np.ones(3)).node.scope.path
    ('twice', 'layers.1')
    """

    #: Whether the module trains (True) or is only used; dropout, for one, depends on it.
    training: bool = True

    _name: str | None = None

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """What the module computes; each kind of module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    if TYPE_CHECKING:
        __call__: _Call
    else:

        def __call__(self, *args: Any, **keywords: Any) -> Any:
            with graph.scope(self._name or type(self).__name__.lower()):
                return self.forward(*args, **keywords)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        for path, member in _members(name, value):
            _give_name(member, path)

    # ── what it holds ────────────────────────────────────────────────────────────────────

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, in the order of their definition.

        A parameter that is reached by two names comes once, under the first.
        """
        seen: set[int] = set()
        for name, parameter in self._named_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter, in the order of their definition."""
        return (parameter for _, parameter in self.named_parameters())

    def _named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter under each name that leads to it."""
        for name, member in self._named_members():
            if isinstance(member, Parameter):
                yield prefix + name, member
            else:
                yield from member._named_parameters(f"{prefix}{name}.")

    def _named_members(self) -> Iterator[tuple[str, Parameter | Module]]:
        """The parameters and modules that this module itself holds."""
        for name, value in vars(self).items():
            for path, member in _members(name, value):
                if isinstance(member, Parameter) or member._name is None:
                    _give_name(member, path)  # it was appended to a list since
                yield path, member

    def state_dict(self) -> dict[str, ndarray]:
        """A copy of every parameter's array, by name."""
        return {name: parameter.numpy() for name, parameter in self._named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Replace the parameters' data by the arrays of a ``state_dict``; all of them, or none.

        Args:
            state: arrays by name, as :meth:`state_dict` gives them; converted to each
                parameter's dtype.
            strict: False ignores missing and unexpected names.

        Raises:
            KeyError: a parameter's array is missing, or there is one for no parameter.
            ValueError: an array has another shape than its parameter.
            TypeError: ``state`` is not a mapping, or holds something else than real numbers.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: expected a dict, got {type(state).__name__}")
        own = dict(self._named_parameters())
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        if strict and (missing or unexpected):
            raise KeyError(
                f"load_state_dict of {type(self).__name__}: missing {missing}, "
                f"unexpected {unexpected}"
            )
        arrays = {}
        for name, parameter in own.items():
            if name in missing:
                continue
            given = state[name]
            array = numeric(given._array if isinstance(given, Value) else given, name)
            if array.shape != parameter.shape:
                raise ValueError(
                    f"load_state_dict: {name} has shape {parameter.shape}, got {array.shape}"
                )
            arrays[name] = array.astype(parameter.dtype)
        for name, array in arrays.items():
            own[name].data = array

    # ── switching ────────────────────────────────────────────────────────────────────────

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` of this module and of all it holds; returns the module."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: expected a bool, got {mode!r}")
        self.training = mode
        for _, member in self._named_members():
            if isinstance(member, Module):
                member.train(mode)
        return self

    def eval(self) -> Self:
        """``train(False)``: the module is used, not trained."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients: ``.grad`` of every parameter becomes None."""
        for parameter in self.parameters():
            parameter.grad = None

    # ── how it is shown ──────────────────────────────────────────────────────────────────

    def extra_repr(self) -> str:
        """What stands between the parentheses: the sizes. Layers define it."""
        return ""

    def __repr__(self) -> str:
        inner = [
            f"({name}): {member!r}".replace("\n", "\n  ")
            for name, member in self._named_members()
            if isinstance(member, Module)
        ]
        body = "".join(f"\n  {line}" for line in inner) + "\n" if inner else ""
        return f"{type(self).__name__}({self.extra_repr()}{body})"


def _members(path: str, value: Any) -> Iterator[tuple[str, Parameter | Module]]:
    """The parameters and modules in an attribute, with lists, tuples and dicts looked through."""
    if isinstance(value, (Parameter, Module)):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for i, element in enumerate(value):
            yield from _members(f"{path}.{i}", element)
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _members(f"{path}.{key}", element)


def _give_name(member: Parameter | Module, path: str) -> None:
    if isinstance(member, Module):
        member._name = path
    elif member.name is None:
        member.name = path


# ── what layers do with their arguments ──────────────────────────────────────────────────


def sized(where: str, **sizes: int) -> None:
    """Refuse a size that is not a positive integer.

    >>> sized("Linear", in_features=0)
    Traceback (most recent call last):
    ...
    ValueError: Linear: in_features must be at least 1, got 0
    """
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise TypeError(f"{where}: {name} must be an integer, got {size!r}")
        if size < 1:
            raise ValueError(f"{where}: {name} must be at least 1, got {size}")


def flags(where: str, **values: bool) -> None:
    """Refuse an option that is not True or False: in the order of arguments one is easily off."""
    for name, value in values.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{where}: {name} must be a bool, got {value!r}")


def floating(where: str, dtype: Any) -> np.dtype[Any]:
    """The dtype of a layer's parameters: float32, float64 or another float."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"{where}: dtype must be a float type, got {kind}")
    return kind


def as_input(where: str, name: str, x: Any, dtype: np.dtype[Any]) -> Tensor:
    """An argument of a layer as a Tensor: arrays are cast to the layer's dtype, Tensors are not.

    Raises:
        TypeError: a Tensor of another dtype, or something that is not real numbers.
    """
    if isinstance(x, Value):
        if x._array.dtype is not dtype and x._array.dtype != dtype:
            raise TypeError(
                f"{where}: expected {name} of dtype {dtype}, got a Tensor {describe(x)}; "
                f"use astype{graph.current().scope}"
            )
        return x  # type: ignore[return-value]
    array = numeric(x, f"{where}: {name}").astype(dtype)
    return attach(array, None)  # type: ignore[return-value]
