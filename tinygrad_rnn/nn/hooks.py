"""Functions that run before or after a module's ``forward``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

Hook = Callable[..., Any]


class Registered(NamedTuple):
    """A hook, and whether it also receives the keyword arguments."""

    hook: Hook
    with_kwargs: bool


class RemovableHandle:
    """A registered hook, with ``remove()``. As a context manager it removes the hook at the end."""

    def __init__(self, hooks: dict[int, Registered], number: int):
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        """Remove the hook. A second call does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register(
    hooks: dict[int, Registered], hook: Hook, with_kwargs: bool, prepend: bool
) -> RemovableHandle:
    """Add a hook after a module's other hooks, or before them.

    Raises:
        TypeError: the hook cannot be called.
    """
    if not callable(hook):
        raise TypeError(f"expected a function as hook, got {type(hook).__name__}")
    number = max(hooks, default=-1) + 1
    others = dict(hooks) if prepend else {}
    for other in others:  # to put them back after the new one
        del hooks[other]
    hooks[number] = Registered(hook, with_kwargs)
    hooks.update(others)
    return RemovableHandle(hooks, number)


def call_hooked(
    module: Any,
    before: dict[int, Registered],
    after: dict[int, Registered],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
) -> Any:
    """Run a module's ``forward`` between its hooks. A hook that returns None changes nothing."""
    for hook, with_kwargs in list(before.values()):
        if with_kwargs:
            changed = hook(module, args, keywords)
            if changed is not None:
                args, keywords = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    output = module.forward(*args, **keywords)
    for hook, with_kwargs in list(after.values()):
        changed = hook(module, *((args, keywords, output) if with_kwargs else (args, output)))
        if changed is not None:
            output = changed
    return output
