"""Module: named parameters and buffers, and the scope under which operations are recorded.

A Module is a plain Python object. Its parameters are found among its attributes: every
:class:`Parameter`, the parameters of every Module, and those in lists, tuples and dicts. They come
in the order in which the attributes were first set. A buffer is an attribute made by
``register_buffer``: it is saved but not trained. There is no other record, so Python's own copying
and pickling work, and a subclass need not call a base constructor.
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
    """Tells type checkers that calling a module has the signature of its ``forward``."""

    def __get__(
        self, instance: _HasForward[_P, _R], owner: Any
    ) -> Callable[_P, _R]:  # pragma: no cover
        raise NotImplementedError


class Parameter(Tensor):
    """A Tensor that requires grad and belongs to the parameters of a :class:`Module`.

    Args:
        data: floats of any shape; copied.
        name: shown in pictures. Without one, a Module gives it the name of the attribute.

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
    """A function with parameters: subclass it, set the parameters, define ``forward``.

    Calling a module runs ``forward`` inside a scope, which pictures and error messages show. The
    scope has the name of the attribute that the module was assigned to. The outermost module has
    the name of its class in lower case.

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

    #: True in training, False in eval mode. Dropout and BatchNorm1d depend on it.
    training: bool = True

    _name: str | None = None

    # Shared and empty. A module gets a dict of its own with its first buffer or hook.
    _persistent: ClassVar[Mapping[str, bool]] = {}
    _forward_hooks: ClassVar[dict[int, Registered]] = {}
    _forward_pre_hooks: ClassVar[dict[int, Registered]] = {}

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """Compute the outputs; each subclass defines it."""
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
                f"{type(self).__name__}: {name} is a Parameter; replaced by a value of type "
                f"{type(value).__name__} it would not be trained; write "
                f"module.{name}.data = ... for other numbers, or "
                f"module.{name} = nn.Parameter(...) for another parameter"
            )
        if name in self._persistent and not isinstance(value, (Tensor, type(None))):
            value = _as_buffer(type(self).__name__, name, value)
        object.__setattr__(self, name, value)
        for path, member in _members(name, value):
            _give_name(member, path)

    # ── parameters, buffers and modules ──────────────────────────────────────────────────

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, in the order of definition.

        A parameter with two names comes once, under the first.

        Args:
            prefix: the start of every name, before a dot.
            recurse: False leaves out the parameters of inner modules.
        """
        for name, value in _once(self._named_values(_dotted(prefix), recurse)):
            if isinstance(value, Parameter):
                yield name, value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, in the order of definition."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name, in the order of definition."""
        for name, value in _once(self._named_values(_dotted(prefix), recurse)):
            if not isinstance(value, Parameter):
                yield name, value

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, in the order of definition."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside this one, with their names; each comes once."""
        members = ((n, m) for n, m in self._named_members() if isinstance(m, Module))
        yield from _once(members)

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module, named "", and every inner module with its dotted name; each comes once."""
        yield from _once(self._named_modules(prefix))

    def modules(self) -> Iterator[Module]:
        """This module and every inner module."""
        return (module for _, module in self.named_modules())

    def _named_modules(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self._named_members():
            if isinstance(child, Module):
                yield from child._named_modules(_dotted(prefix) + name)

    def _named_values(
        self, prefix: str = "", recurse: bool = True, saved: bool = False
    ) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and buffer, once under each of its names.

        Args:
            prefix: the start of every name.
            recurse: whether to include inner modules.
            saved: leave out the buffers that are not saved.
        """
        for name, member in self._named_members():
            if isinstance(member, Tensor):
                if not saved or self._persistent.get(name, True):
                    yield prefix + name, member
            elif recurse:
                yield from member._named_values(f"{prefix}{name}.", True, saved)

    def _named_members(self) -> Iterator[tuple[str, Tensor | Module]]:
        """The parameters, buffers and modules directly inside this module."""
        for name, value in list(vars(self).items()):
            if name in _bookkeeping:
                continue
            if name in self._persistent:
                if value is not None:
                    yield name, value
                continue
            for path, member in _members(name, value):
                if isinstance(member, Parameter) or member._name is None:
                    _give_name(member, path)  # appended to a list since __setattr__
                yield path, member

    # ── registering ──────────────────────────────────────────────────────────────────────

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set an attribute to a parameter, for names that are made at run time.

        Args:
            name: the name of the attribute.
            param: a Parameter; None for no parameter.

        Raises:
            KeyError: the name is empty, contains a dot or is taken.
            TypeError: ``param`` is something else.
        """
        self._check_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{name}: expected a Parameter or None, got {type(param).__name__}")
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add numbers that belong to the module but are not trained, such as a running mean.

        A buffer is a Tensor that does not require grad. A value assigned to the attribute later is
        a buffer too; arrays become Tensors.

        Args:
            name: the name of the attribute.
            tensor: a Tensor or an array; None for no numbers.
            persistent: False leaves it out of ``state_dict``.

        Raises:
            KeyError: the name is empty, contains a dot or is taken.
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
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call a function after every ``forward``: ``hook(module, args, output)``.

        If the function returns a value other than None, this value replaces the output.

        Args:
            hook: the function.
            prepend: call it before the other hooks instead of after them.
            with_kwargs: call ``hook(module, args, keywords, output)``.

        Returns:
            A handle; its ``remove()`` removes the hook.

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

        If the function returns a value other than None, it replaces the arguments: a tuple of
        them, or the value of a single argument.

        Args:
            hook: the function.
            prepend: call it before the other hooks instead of after them.
            with_kwargs: call ``hook(module, args, keywords)``, which returns both or None.

        Returns:
            A handle; its ``remove()`` removes the hook.
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
        """Replace parameters and buffers by the arrays of a ``state_dict``; on an error, none.

        Args:
            state: arrays by name, as :meth:`state_dict` returns them. Each is converted to the
                dtype of its parameter.
            strict: False ignores missing and unexpected names.

        Raises:
            KeyError: a name is missing or unexpected.
            ValueError: an array has another shape than its parameter.
            TypeError: ``state`` is not a mapping, or contains something other than real numbers.
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
            array = state[name]
            array = numeric(array._array if isinstance(array, Value) else array, name)
            if array.shape != value.shape:
                raise ValueError(
                    f"load_state_dict: {name} has shape {value.shape}, got {array.shape}"
                )
            arrays[name] = array.astype(value.dtype)
        for name, array in arrays.items():
            own[name].data = array

    # ── changing all of it ───────────────────────────────────────────────────────────────

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call a function with every inner module and then with this one; returns this one.

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
        """Set ``training`` of this module and of all inner modules; returns the module."""
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

        Parameters that are switched off keep their values and lose their gradients.
        """
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def astype(self, dtype: Any) -> Self:
        """Convert all parameters and float buffers to another dtype; returns the module.

        The parameters stay the same objects, so an optimiser still refers to them. They lose their
        gradients.

        Raises:
            TypeError: the dtype is not a float type.
        """
        kind: np.dtype[Any] = np.dtype(dtype)
        if kind.kind != "f":
            raise TypeError(f"astype: expected a float type, got {kind}")
        for _, value in _once(self._named_values()):
            if value.dtype.kind == "f":
                _convert(value, kind)
        for module in self.modules():
            if isinstance(vars(module).get("dtype"), np.dtype):
                module.dtype = kind  # layers cast their inputs to it
        return self

    def zero_grad(self) -> None:
        """Clear the gradients: ``.grad`` of every parameter becomes None."""
        for parameter in self.parameters():
            parameter.grad = None

    # ── display ──────────────────────────────────────────────────────────────────────────

    def extra_repr(self) -> str:
        """The text between the parentheses of ``repr``, such as sizes; layers define it."""
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
        """For notebooks: a table of the modules and their parameters."""
        return html_of(self)

    # ── name ─────────────────────────────────────────────────────────────────────────────

    def _set_name(self, path: str) -> None:
        object.__setattr__(self, "_name", path)


hint_at(Module, of_modules)

#: Attributes that are not searched for parameters: a hook may be a module, but is not a part.
_bookkeeping = frozenset({"_persistent", "_forward_hooks", "_forward_pre_hooks"})


def _members(path: str, value: Any) -> Iterator[tuple[str, Parameter | Module]]:
    """The parameters and modules in an attribute, including those in lists, tuples and dicts."""
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
    """Each object once, under its first name."""
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
                f"{where}: the buffer {name} is not trained, but the Tensor requires grad"
            )
        return value
    return Tensor(numeric(value, f"{where}: the buffer {name}"))


def _convert(value: Tensor, dtype: np.dtype[Any]) -> None:
    """Convert the array of a tensor in place: the Tensor object stays the same."""
    value._array = read_only(value._array.astype(dtype))
    if value.node is not None:
        value.node.output, value.node.grad = value._array, None
