"""Functions that are called whenever a module is: before it runs, or after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

Hook = Callable[..., Any]


class Registered(NamedTuple):
    """A hook, and whether it is given the keywords too."""

    hook: Hook
    with_kwargs: bool


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away again.

    As a context manager it removes the hook when the block ends.
    """

    def __init__(self, hooks: dict[int, Registered], number: int):
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register(
    hooks: dict[int, Registered], hook: Hook, with_kwargs: bool, prepend: bool
) -> RemovableHandle:
    """Add a hook to a module's, at the end or in front.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(hook):
        raise TypeError(f"expected a function as hook, got {type(hook).__name__}")
    number = max(hooks, default=-1) + 1
    before = dict(hooks) if prepend else {}
    for known in before:
        del hooks[known]
    hooks[number] = Registered(hook, with_kwargs)
    hooks.update(before)
    return RemovableHandle(hooks, number)


def call_hooked(
    module: Any,
    before: dict[int, Registered],
    after: dict[int, Registered],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
) -> Any:
    """``module.forward`` with the hooks around it."""
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
        given = (args, keywords, output) if with_kwargs else (args, output)
        changed = hook(module, *given)
        if changed is not None:
            output = changed
    return output
