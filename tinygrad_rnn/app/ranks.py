"""A training run on several ranks: how they share the work, and how they end together.

Only rank 0 reads and writes files and prints. All ranks have the same model. They differ in the
streams: each rank reads its part of the streams, and has their recurrent states. A checkpoint has
the states of all streams, so any number of ranks can go on from it.
"""

from __future__ import annotations

import math
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from ..distributed import Group, all_reduce, world
from ..text import Streams
from .arguments import Unusable

Result = TypeVar("Result")


class Ranks(Group):
    """The processes of one run.

    Attributes:
        failure: the last error that every rank raised.
        advice: gives the end of the message of a rank that fails alone.
    """

    def __init__(self, comm: Any = None):
        super().__init__(comm)
        self.failure: BaseException | None = None
        self.advice: Callable[[], str] = str

    def of(self, streams: Streams | None) -> Streams | None:
        """Return this rank's part of the streams, or None if there is no stream for it."""
        if streams is None or self.size == 1:
            return streams
        if streams.batch_size < self.size:
            return (
                streams.part(slice(self.rank, self.rank + 1))
                if (self.rank < streams.batch_size)
                else None
            )
        return streams.part(self.part(streams.batch_size))

    # ── errors ───────────────────────────────────────────────────────────────────────────

    def together(self, act: Callable[[], Result]) -> Result:
        """Call ``act`` on every rank; if it fails on one rank, every rank raises the error."""
        if self.size == 1:
            return act()
        result, error = None, None
        try:
            result = act()
        except Exception as raised:
            error = raised
        errors = self.all_of(_picklable(error))
        for rank, sent in enumerate(errors):
            if sent is not None:
                raise self.on_all(error if error is not None and rank == self.rank else sent)
        return result  # type: ignore[return-value]

    def first(self, act: Callable[[], Result]) -> Result:
        """Call ``act`` on rank 0 alone; every rank gets its result, or raises its error."""
        return self.of_first(self.together(lambda: act() if self.rank == 0 else None))  # type: ignore[no-any-return]

    def on_all(self, error: Exception) -> Exception:
        """Remember an error that every rank is about to raise, and return it."""
        self.failure = error
        return error

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """End the whole job if this rank alone fails: the others would wait for it forever."""
        try:
            yield
        except BaseException as error:
            known = self.failure is not None and self.failure in (error, error.__cause__)
            if self.size == 1 or known or isinstance(error, GeneratorExit):
                raise
            traceback.print_exc()
            print(
                f"rank {self.rank} of {self.size} failed and ends the job{self.advice()}",
                file=sys.stderr,
                flush=True,
            )
            self.comm.Abort(1)

    # ── common results ───────────────────────────────────────────────────────────────────

    def mean_loss(self, params: Any, loss: float, weight: float) -> float:
        """Return the loss of the whole batch, and set the gradients to those of the whole batch.

        If the loss is not finite, the gradients stay as they are.
        """
        total = math.fsum(self.all_of(loss * weight))
        if math.isfinite(total):
            all_reduce(params, weight=weight, comm=self.comm)
        return total

    def agreed(self, reason: str | None) -> str | None:
        """Return the first reason that a rank has, or None if no rank has one."""
        return next((reason for reason in self.all_of(reason) if reason is not None), None)

    def joined(self, state: Any) -> Any:
        """Return the recurrent state of all streams. Only the result of rank 0 counts."""
        if self.size == 1:
            return state
        return _joined(self.all_of(state))

    def cut(self, state: Any, streams: int) -> Any:
        """Return this rank's part of a result of :meth:`joined`."""
        return state if self.size == 1 else _cut(state, self.part(streams))

    def draws(self, rng: np.random.Generator, streams: int) -> np.random.Generator:
        """Return a generator that draws for all streams, and gives this rank its part."""
        return rng if self.size == 1 else _Draws(rng.bit_generator, self.part(streams), streams)


def launched() -> Ranks:
    """Return the ranks that ``mpiexec`` started.

    Raises:
        Unusable: the ranks cannot find each other.
    """
    try:
        return Ranks(world().comm)
    except (ImportError, RuntimeError) as error:
        raise Unusable(str(error)) from None


class _Draws(np.random.Generator):
    """Draws for all streams, and returns the draws of this rank.

    So dropout and teacher forcing do the same with any number of ranks, and every rank's generator
    is in the same state. The streams are on the last axis but one: (T, N, H), (N, V), (N,).
    """

    def __init__(self, bits: np.random.BitGenerator, part: slice, streams: int):
        super().__init__(bits)
        self._part, self._streams = part, streams

    def random(self, size: Any = None, *args: Any, **keywords: Any) -> Any:
        whole, part = self._whole(size)
        return super().random(whole, *args, **keywords)[part]

    def gumbel(self, *args: Any, size: Any = None) -> Any:
        whole, part = self._whole(size)
        draw: Any = super().gumbel
        return draw(*args, size=whole)[part]

    def _whole(self, size: Any) -> tuple[tuple[int, ...], Any]:
        axis = max(len(size) - 2, 0)
        assert size[axis] == self._part.stop - self._part.start
        return (*size[:axis], self._streams, *size[axis + 1 :]), (..., self._part) + (
            (slice(None),) * (len(size) - 1 - axis)
        )


def _joined(states: list[Any]) -> Any:
    if isinstance(states[0], tuple):
        return tuple(_joined(list(members)) for members in zip(*states, strict=True))
    return None if states[0] is None else np.concatenate(states, axis=-2)


def _cut(state: Any, part: slice) -> Any:
    if isinstance(state, (tuple, list)):
        return tuple(_cut(member, part) for member in state)
    return None if state is None else np.asarray(state)[..., part, :].copy()


def _picklable(error: Exception | None) -> Exception | None:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
