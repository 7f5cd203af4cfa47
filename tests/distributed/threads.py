"""Ranks as threads of one process: a communicator with the methods of mpi4py's that we call."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class OthersFailedError(Exception):
    """Another rank ended, and this one waits for it."""


@dataclass
class World:
    """What the threads of a group share."""

    size: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    rounds: dict[int, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))
    aborts: list[int] = field(default_factory=list)
    ended: bool = False

    def end(self) -> None:
        """Nobody waits any longer."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()


class Communicator:
    """One thread's end of a group of threads."""

    def __init__(self, rank: int, world: World):
        self.rank, self.world, self._round = rank, world, 0

    def Get_rank(self) -> int:
        return self.rank

    def Get_size(self) -> int:
        return self.world.size

    def allgather(self, value: Any) -> list[Any]:
        world = self.world
        with world.changed:
            here = world.rounds[self._round]
            self._round += 1
            here[self.rank] = value
            world.changed.notify_all()
            world.changed.wait_for(lambda: len(here) == world.size or world.ended, timeout=60)
        if len(here) < world.size:
            raise OthersFailedError
        return [here[rank] for rank in range(world.size)]

    def bcast(self, value: Any, root: int) -> Any:
        return self.allgather(value)[root]

    def Allreduce(self, array: Any, total: Any) -> None:
        total[...] = sum(self.allgather(array.copy()))

    def Bcast(self, buffer: Any, root: int) -> None:
        buffer[...] = self.allgather(buffer.copy())[root]

    def Abort(self, code: int) -> None:
        self.world.aborts.append(code)
        self.world.end()
        raise SystemExit(code)


def run(size: int, program: Callable[[Any], Any]) -> list[Any]:
    """What the program returns, or the error that it raises, on each of so many ranks."""
    world = World(size)
    results: list[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            results[rank] = program(Communicator(rank, world))
        except BaseException as error:
            results[rank] = error
            world.end()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
