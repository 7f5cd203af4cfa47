"""Module: parameters and buffers with names, and the scope that computation is recorded under.

A Module is a plain Python object. Its parameters are the :class:`Parameter` objects among its
attributes, those of its attributes that are Modules, and those inside lists, tuples and dicts of
either, in the order in which the attributes were first set. Its buffers are the attributes that
``register_buffer`` made: numbers that are saved and not trained. Nothing else is kept, so copying
and pickling are Python's own, and there is no base constructor to remember.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Protocol, Self, TypeVar

import numpy as np
from numpy import ndarray

from .. import graph
from ..graph import Value, numeric, read_only
from ..graph.elsewhere import hint_at, of_modules
from ..tensor import Tensor
from .hooks import Hook, Registered, RemovableHandle, call_hooked, register
from .summary import html_of

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

    # A module gets dicts of its own with its first buffer or hook.
    _persistent: ClassVar[Mapping[str, bool]] = {}
    _forward_hooks: ClassVar[dict[int, Registered]] = {}
    _forward_pre_hooks: ClassVar[dict[int, Registered]] = {}

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """What the module computes; each kind of module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    if TYPE_CHECKING:
        __call__: _Call
    else:

        def __call__(self, *args: Any, **keywords: Any) -> Any:
            with graph.scope(self._name or type(self).__name__.lower()):
                before, after = self._forward_pre_hooks, self._forward_hooks
                if before or after:
                    return call_hooked(self, before, after, args, keywords)
                return self.forward(*args, **keywords)

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        if isinstance(before, Parameter) and not isinstance(value, (Parameter, type(None))):
            raise TypeError(
                f"{type(self).__name__}: {name} is a Parameter; a value of type "
                f"{type(value).__name__} in its place would not be trained; write "
                f"module.{name}.data = ... for other numbers, or "
                f"module.{name} = nn.Parameter(...) for another parameter"
            )
        if name in self._persistent and not isinstance(value, (Tensor, type(None))):
            value = _as_buffer(type(self).__name__, name, value)
        object.__setattr__(self, name, value)
        for path, member in _members(name, value):
            _give_name(member, path)

    # ── what it holds ────────────────────────────────────────────────────────────────────

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, in the order of their definition.

        A parameter that is reached by two names comes once, under the first.

        Args:
            prefix: what the names start with, before a dot.
            recurse: False leaves out the parameters of the modules within.
        """
        for name, value in _once(self._named_values(_dotted(prefix), recurse)):
            if isinstance(value, Parameter):
                yield name, value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, in the order of their definition."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name, in the order of their definition."""
        for name, value in _once(self._named_values(_dotted(prefix), recurse)):
            if not isinstance(value, Parameter):
                yield name, value

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, in the order of their definition."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that this one itself holds, with their names; each comes once."""
        members = ((n, m) for n, m in self._named_members() if isinstance(m, Module))
        yield from _once(members)

    def children(self) -> Iterator[Module]:
        """The modules that this one itself holds."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module, as "", and every one within it with its dotted name; each comes once."""
        yield from _once(self._named_modules(prefix))

    def modules(self) -> Iterator[Module]:
        """This module and every one within it."""
        return (module for _, module in self.named_modules())

    def _named_modules(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self._named_members():
            if isinstance(child, Module):
                yield from child._named_modules(_dotted(prefix) + name)

    def _named_values(
        self, prefix: str = "", recurse: bool = True, saved: bool = False
    ) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and buffer under each name that leads to it.

        Args:
            prefix: what the names start with.
            recurse: whether to look into the modules within.
            saved: leave out the buffers that are not saved.
        """
        for name, member in self._named_members():
            if isinstance(member, Tensor):
                if not saved or self._persistent.get(name, True):
                    yield prefix + name, member
            elif recurse:
                yield from member._named_values(f"{prefix}{name}.", True, saved)

    def _named_members(self) -> Iterator[tuple[str, Tensor | Module]]:
        """The parameters, buffers and modules that this module itself holds."""
        for name, value in list(vars(self).items()):
            if name in _own:
                continue
            if name in self._persistent:
                if value is not None:
                    yield name, value
                continue
            for path, member in _members(name, value):
                if isinstance(member, Parameter) or member._name is None:
                    _give_name(member, path)  # it was appended to a list since
                yield path, member

    # ── adding to it ─────────────────────────────────────────────────────────────────────

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as setting the attribute, for names that are made up at run time.

        Args:
            name: of the attribute.
            param: a Parameter, or None for a place that stays empty.

        Raises:
            KeyError: the name is empty, has a dot or is taken.
            TypeError: ``param`` is something else.
        """
        self._check_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{name}: expected a Parameter or None, got {type(param).__name__}")
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add numbers that belong to the module and are not trained, a running mean for one.

        A buffer is a Tensor that requires no grad. What is assigned to the attribute later stays
        a buffer; arrays become Tensors.

        Args:
            name: of the attribute.
            tensor: a Tensor or an array, or None for a place that stays empty.
            persistent: False leaves it out of ``state_dict``.

        Raises:
            KeyError: the name is empty, has a dot or is taken.
            TypeError: ``tensor`` is something else, or requires grad.
        """
        self._check_name(name)
        value = None if tensor is None else _as_buffer(type(self).__name__, name, tensor)
        object.__setattr__(self, "_persistent", {**self._persistent, name: bool(persistent)})
        setattr(self, name, value)

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"expected a name without dots, got {name!r}")
        if hasattr(self, name) and name not in self._persistent:
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call a function after every ``forward``: ``hook(module, args, output)``.

        What it returns takes the place of the output, unless it is None.

        Args:
            hook: the function.
            prepend: call it before the others instead of after them.
            with_kwargs: call ``hook(module, args, keywords, output)``.

        Returns:
            A handle; its ``remove()`` takes the hook away.

        >>> import numpy as np
        >>> from tinygrad_rnn import nn
        >>> seen = []
        >>> layer = nn.Linear(3, 2, rng=0)
        >>> with layer.register_forward_hook(lambda module, args, y: seen.append(y.shape)):
        ...     y = layer(np.ones((5, 3)))
        >>> seen
        [(5, 2)]
        """
        return self._register("_forward_hooks", hook, with_kwargs, prepend)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call a function before every ``forward``: ``hook(module, args)``.

        What it returns takes the place of the arguments, unless it is None: a tuple, or a single
        value for a single argument.

        Args:
            hook: the function.
            prepend: call it before the others instead of after them.
            with_kwargs: call ``hook(module, args, keywords)``, which returns both or None.

        Returns:
            A handle; its ``remove()`` takes the hook away.
        """
        return self._register("_forward_pre_hooks", hook, with_kwargs, prepend)

    def _register(
        self, which: str, hook: Hook, with_kwargs: bool, prepend: bool
    ) -> RemovableHandle:
        hooks: dict[int, Registered] = vars(self).setdefault(which, {})
        return register(hooks, hook, with_kwargs, prepend)

    # ── saving and loading ───────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, ndarray]:
        """A copy of the array of every parameter and persistent buffer, by name."""
        return {name: value.numpy() for name, value in self._named_values(saved=True)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Replace parameters and buffers by the arrays of a ``state_dict``; all, or none.

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
        own = dict(self._named_values(saved=True))
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        if strict and (missing or unexpected):
            raise KeyError(
                f"load_state_dict of {type(self).__name__}: missing {missing}, "
                f"unexpected {unexpected}"
            )
        arrays = {}
        for name, value in own.items():
            if name in missing:
                continue
            given = state[name]
            array = numeric(given._array if isinstance(given, Value) else given, name)
            if array.shape != value.shape:
                raise ValueError(
                    f"load_state_dict: {name} has shape {value.shape}, got {array.shape}"
                )
            arrays[name] = array.astype(value.dtype)
        for name, array in arrays.items():
            own[name].data = array

    # ── switching ────────────────────────────────────────────────────────────────────────

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call a function with every module within and then with this one; returns this one.

        >>> from tinygrad_rnn import nn
        >>> def closed_gates(module):
        ...     if isinstance(module, nn.Linear):
        ...         module.bias.data = module.bias.data * 0
        >>> nn.Sequential(nn.Linear(2, 2, rng=0)).apply(closed_gates)[0].bias.data
        array([0., 0.], dtype=float32)
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` of this module and of all it holds; returns the module."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: expected a bool, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """``train(False)``: the module is used, not trained."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Switch the training of all parameters on or off; returns the module.

        Parameters that are switched off stay where they are, and lose their gradients.
        """
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def astype(self, dtype: Any) -> Self:
        """Convert all parameters, and buffers of floats, to another dtype; returns the module.

        The parameters stay the same objects, so an optimiser still has them; their gradients are
        forgotten.

        Raises:
            TypeError: it is no dtype of floats.
        """
        kind: np.dtype[Any] = np.dtype(dtype)
        if kind.kind != "f":
            raise TypeError(f"astype: expected a float type, got {kind}")
        for _, value in _once(self._named_values()):
            if value.dtype.kind == "f":
                _convert(value, kind)
        for module in self.modules():
            if isinstance(vars(module).get("dtype"), np.dtype):
                module.dtype = kind  # of layers that cast their inputs
        return self

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

    def _repr_html_(self) -> str:
        """How a notebook shows it: a table of its parts and of their parameters."""
        return html_of(self)

    # ── its own name ─────────────────────────────────────────────────────────────────────

    def _set_name(self, path: str) -> None:
        object.__setattr__(self, "_name", path)


hint_at(Module, of_modules)

#: Attributes in which no parameters are looked for: a hook may be a module, and is not held.
_own = frozenset({"_persistent", "_forward_hooks", "_forward_pre_hooks"})


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
        member._set_name(path)
    elif member.name is None:
        member.name = path


def _once(named: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each object under the first of its names."""
    seen: set[int] = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _dotted(prefix: str) -> str:
    return f"{prefix}." if prefix else ""


def _as_buffer(where: str, name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise TypeError(
                f"{where}: the buffer {name} is not trained, got one that requires grad"
            )
        return value
    return Tensor(numeric(value, f"{where}: the buffer {name}"))


def _convert(value: Tensor, dtype: np.dtype[Any]) -> None:
    """Give a tensor's array another dtype; it stays the same tensor."""
    value._array = read_only(value._array.astype(dtype))
    if value.node is not None:
        value.node.output, value.node.grad = value._array, None
