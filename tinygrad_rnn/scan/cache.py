"""The cache of plans."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from .plan import Plan
from .python_state import PythonState


class Cache:
    """Plans by the keys of their traces. A full cache drops the plan that was unused longest.

    Attributes:
        plans: from the key of a trace to its plan; the plan that was used last comes last.
    """

    def __init__(self, size: int = 128):
        self._size = size
        self.plans: OrderedDict[Hashable, Plan] = OrderedDict()
        self._aliases: OrderedDict[Hashable, Hashable] = OrderedDict()
        self._likely: OrderedDict[Hashable, tuple[Plan, Any]] = OrderedDict()
        #: The state of steps that can change it, by their code; None if the last call changed it.
        self.states: OrderedDict[Any, PythonState | None] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> Plan | None:
        """The plan of this key, or of the key that this one is an alias of."""
        with self._lock:
            key = self._aliases.get(key, key)
            plan = self.plans.get(key)
            if plan is not None:
                self.plans.move_to_end(key)
            return plan

    def add(self, key: Hashable, plan: Plan) -> Plan:
        with self._lock:
            # Another thread may have built an equal plan meanwhile: all use the first one.
            plan = self.plans.setdefault(key, plan)
            while len(self.plans) > self._size:
                self.plans.popitem(last=False)
            return plan

    def add_alias(self, alias: Hashable, key: Hashable) -> None:
        """Let ``find(alias)`` find the plan of ``key``, as long as the plan is kept."""
        with self._lock:
            self._aliases[alias] = key
            while len(self._aliases) > self._size:
                self._aliases.popitem(last=False)

    def likely(self, kind: Hashable) -> tuple[Plan | None, Any]:
        """The plan of the last call of this kind, and the note stored with it."""
        with self._lock:
            entry = self._likely.get(kind)
            if entry is None:
                return None, None
            self._likely.move_to_end(kind)
            return entry

    def expect(self, kind: Hashable, plan: Plan, note: Any = None) -> None:
        """Store the plan that the next call of this kind is likely to have."""
        with self._lock:
            self._likely[kind] = plan, note
            while len(self._likely) > self._size:
                self._likely.popitem(last=False)

    def keep_state(self, code: Any, state: PythonState | None) -> None:
        """Store the state of a step after a call, or None if the call changed it."""
        with self._lock:
            self.states[code] = state
            self.states.move_to_end(code)
            while len(self.states) > 8 * self._size:
                self.states.popitem(last=False)


__all__ = ["Cache"]
