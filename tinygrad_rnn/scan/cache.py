"""The cache of plans."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from .plan import Plan


class Cache:
    """Plans by the keys of their traces. A full cache drops the plan that was unused longest.

    Attributes:
        plans: from the key of a trace to its plan; the plan that was used last comes last.
    """

    def __init__(self, size: int = 128):
        self._size = size
        self.plans: OrderedDict[Hashable, Plan] = OrderedDict()
        self._likely: OrderedDict[Hashable, tuple[Plan, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> Plan | None:
        with self._lock:
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
            while len(self._likely) > 2 * self._size:  # by its call and by its trace
                self._likely.popitem(last=False)


__all__ = ["Cache"]
