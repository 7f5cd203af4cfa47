"""Modules that contain modules: Sequential, ModuleList and ModuleDict."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from ..tensor import Tensor
from .module import Module

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Sequential(Module):
    """Modules and functions, applied one after another.

        y = f_{n-1}(... f_1(f_0(x)))

    Parameters are named by position: ``0.weight``, ``2.bias``. ``len``, iteration and indexing
    work as for a list. A slice is a Sequential of the same modules, which keep their names.

    Args:
        *modules: Modules, and functions such as ``tg.relu``.

    Calling it: ``y = model(x)`` with x of any shape that the first module takes. Without modules,
    y is x.

    Raises:
        TypeError: a member cannot be called.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Sequential.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Sequential(tg.nn.Linear(3, 8), tg.relu, tg.nn.Linear(8, 2))
    >>> model(np.ones((5, 3))).shape, [name for name, _ in model.named_parameters()]
    ((5, 2), ['0.weight', '0.bias', '2.weight', '2.bias'])
    >>> model
    Sequential(
      (0): Linear(3, 8)
      (1): relu
      (2): Linear(8, 2)
    )
    """

    def __init__(self, *modules: Module | Callable[[Any], Any]):
        for i, module in enumerate(modules):
            if not callable(module):
                raise TypeError(
                    f"Sequential: expected Modules or functions, {i} is {type(module).__name__}"
                )
            setattr(self, str(i), module)

    def _chain(self) -> dict[str, Callable[[Any], Any]]:
        """The members: the attributes whose names are numbers."""
        return {name: member for name, member in vars(self).items() if name.isdecimal()}

    def forward(self, x: Tensor | ArrayLike) -> Tensor:
        y: Any = x
        for module in self:
            y = module(y)
        result: Tensor = y
        return result

    def __len__(self) -> int:
        return len(self._chain())

    def __iter__(self) -> Iterator[Callable[[Any], Any]]:
        return iter(self._chain().values())

    def __getitem__(self, index: int | slice) -> Any:
        chain = self._chain()
        if isinstance(index, slice):
            part = Sequential()
            vars(part).update(dict(list(chain.items())[index]), training=self.training)
            return part
        place = operator.index(index)
        if not -len(chain) <= place < len(chain):
            raise IndexError(f"Sequential: index {place} of {len(chain)} modules")
        return list(chain.values())[place]

    def __repr__(self) -> str:
        lines = [
            f"\n({name}): {_repr_of(member)}".replace("\n", "\n  ")
            for name, member in self._chain().items()
        ]
        return f"Sequential({''.join(lines)}\n)" if lines else "Sequential()"


class ModuleList(Module):
    """A list of modules, whose parameters belong to the module that has the list.

    In this library a plain list does the same. ModuleList is for programs written for PyTorch; it
    refuses members that are not modules. Parameters are named by position: ``0.weight``.

    Args:
        modules: any number of modules.

    It has ``len``, iteration, indexing, slices (a ModuleList), ``append``, ``extend``, ``insert``,
    assignment and ``del``. It cannot be called.

    Raises:
        TypeError: a member is not a Module.
        IndexError: the index is out of range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleList.html

    >>> from tinygrad_rnn import nn
    >>> layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
    >>> layers.append(nn.Tanh())
    ModuleList(
      (0): Linear(3, 3)
      (1): Linear(3, 3)
      (2): Tanh()
    )
    >>> [name for name, _ in layers.named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, modules: Iterable[Module] = ()):
        self._set(list(modules))

    def _list(self) -> list[Module]:
        return [member for name, member in vars(self).items() if name.isdecimal()]

    def _set(self, modules: list[Module]) -> Self:
        for module in modules:
            _require_module(type(self).__name__, module)
        for name in [name for name in vars(self) if name.isdecimal()]:
            delattr(self, name)
        for i, module in enumerate(modules):
            setattr(self, str(i), module)
        self._set_name(self._name or "")
        return self

    def _set_name(self, path: str) -> None:
        # The list itself is never called, so it opens no scope. Its members carry the full path.
        super()._set_name(path)
        for i, module in enumerate(self._list()):
            module._set_name(f"{path}.{i}" if path else str(i))

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the list."""
        return self._set([*self, module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns the list."""
        return self._set([*self, *modules])

    def insert(self, index: int, module: Module) -> None:
        """Insert a module before the one at this index."""
        modules = self._list()
        modules.insert(operator.index(index), module)
        self._set(modules)

    def pop(self, index: int = -1) -> Module:
        """Remove a module and return it."""
        module: Module = self[operator.index(index)]
        del self[index]
        return module

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list())

    def __contains__(self, module: object) -> bool:
        return any(module is member for member in self)

    def __getitem__(self, index: int | slice) -> Any:
        modules = self._list()
        if isinstance(index, slice):
            part = type(self)()
            for i, module in enumerate(modules[index]):  # directly, so that they keep their names
                vars(part)[str(i)] = module
            return part
        return modules[self._checked_index(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        modules = self._list()
        modules[self._checked_index(index)] = module
        self._set(modules)

    def __delitem__(self, index: int | slice) -> None:
        modules = self._list()
        del modules[index if isinstance(index, slice) else self._checked_index(index)]
        self._set(modules)

    def _checked_index(self, index: int) -> int:
        place, size = operator.index(index), len(self)
        if not -size <= place < size:
            raise IndexError(f"{type(self).__name__}: index {place} of {size} modules")
        return place


class ModuleDict(Module):
    """Modules by name, whose parameters belong to the module that has the dict.

    In this library a plain dict does the same. ModuleDict is for programs written for PyTorch; it
    refuses members that are not modules. Parameters are named by key: ``left.weight``.

    Args:
        modules: a dict, or pairs of names and modules.

    It has ``len``, iteration over the names, ``in``, indexing, assignment, ``del``,
    ``keys``, ``values``, ``items``, ``update``, ``pop`` and ``clear``. It cannot be called.

    Raises:
        TypeError: a member is not a Module, or a name is not a string.
        KeyError: there is no such name; or a new name contains a dot, or is one of the methods
            above.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleDict.html

    >>> from tinygrad_rnn import nn
    >>> heads = nn.ModuleDict({"left": nn.Linear(3, 2), "right": nn.Linear(3, 1)})
    >>> [name for name, _ in heads.named_parameters()], "left" in heads
    (['left.weight', 'left.bias', 'right.weight', 'right.bias'], True)
    """

    def __init__(self, modules: Any = ()):
        self.update(modules)

    def _dict(self) -> dict[str, Module]:
        return {name: member for name, member in vars(self).items() if isinstance(member, Module)}

    def _set_name(self, path: str) -> None:
        super()._set_name(path)
        for key, module in self._dict().items():
            module._set_name(f"{path}.{key}" if path else key)

    def __getitem__(self, key: str) -> Module:
        try:
            return self._dict()[key]
        except KeyError:
            raise KeyError(
                f"ModuleDict: there is no {key!r}; "
                f"the names are {', '.join(self._dict()) or 'none'}"
            ) from None

    def __setitem__(self, key: str, module: Module) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ModuleDict: expected a string as name, got {key!r}")
        _require_module(f"ModuleDict: {key}", module)
        if key not in self._dict():
            self._check_name(key)
        setattr(self, key, module)
        self._set_name(self._name or "")

    def __delitem__(self, key: str) -> None:
        _ = self[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._dict())

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict())

    def __contains__(self, key: object) -> bool:
        return key in self._dict()

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._dict().keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._dict().values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of name and module."""
        return self._dict().items()

    def update(self, modules: Any) -> None:
        """Set every module of a dict, or of pairs of names and modules."""
        for key, module in modules.items() if hasattr(modules, "items") else modules:
            self[key] = module

    def pop(self, key: str) -> Module:
        """Remove a module and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Remove all modules."""
        for key in list(self):
            del self[key]


def _require_module(where: str, module: Any) -> None:
    if not isinstance(module, Module):
        raise TypeError(f"{where}: expected a Module, got {type(module).__name__}")


def _repr_of(member: Callable[[Any], Any]) -> str:
    return repr(member) if isinstance(member, Module) else getattr(member, "__name__", repr(member))
