"""More than one process, by MPI: each rank computes with its part of every batch.

``mpiexec -n 4 python program.py`` starts the program four times. Three lines turn a loop over the
whole batch into one that the four ranks share:

    windows = tg.distributed.share(windows)          # 1. this rank's part of the streams
    tg.distributed.broadcast(model)                  # 2. the same first values everywhere
    for x, y in windows:
        ...
        loss.backward()
        tg.distributed.all_reduce(model.parameters())    # 3. the mean gradient, everywhere
        optimizer.step()

This is synchronous data parallelism: every rank has all parameters, makes the same step, and so
keeps the same parameters. The same program runs without ``mpiexec`` too, as one rank, and then
needs no MPI. With it, it needs ``mpi4py`` and the ``mpiexec`` of the same MPI: the extra
``tinygrad_rnn[mpi]`` brings both.

Why the gradients do not travel while backward still runs: a recurrent layer computes its weight
gradients at its very end, for all steps at once, so little is left to compute meanwhile; and an
MPI library moves data only while it is being called. ``python -m tests.benchmarks.ranks`` measures
both.

Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training",
arXiv:2006.15704; MPI: A Message-Passing Interface Standard, version 4.1, chapter 6.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .nn import Module
from .tensor import Tensor
from .text import Streams

# How many processes a launcher started: MPICH, Intel MPI and MS-MPI; Open MPI.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
_LAUNCHED = (*_SIZES, "PMI_RANK", "PMIX_RANK")


class Group:
    """The processes that compute together: those of an MPI communicator, or this one alone.

    Args:
        comm: an ``mpi4py`` communicator; None for this process alone.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.

    >>> Group().rank, Group().size
    (0, 1)
    """

    def __init__(self, comm: Any = None):
        self.comm = comm
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()

    def part(self, count: int) -> slice:
        """This rank's part of so many things in a row; parts differ by one at most.

        Raises:
            ValueError: there are fewer things than ranks.

        >>> Group().part(10)
        slice(0, 10, None)
        """
        if count < self.size:
            raise ValueError(f"{self.size} ranks cannot share {count} streams or examples")
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, array: ndarray) -> ndarray:
        """The sum of the arrays of all ranks, of one shape; every rank gets the same bits."""
        if self.comm is None:
            return array
        total = np.empty_like(array)
        self.comm.Allreduce(array, total)
        return total

    def all_of(self, value: Any) -> list[Any]:
        """What every rank passed here, in the order of the ranks."""
        return [value] if self.comm is None else list(self.comm.allgather(value))

    def of_first(self, value: Any, root: int = 0) -> Any:
        """What rank ``root`` passed here."""
        return value if self.comm is None else self.comm.bcast(value, root)


def world(comm: Any = None) -> Group:
    """The ranks that ``mpiexec`` started; without it, this process alone.

    Args:
        comm: an ``mpi4py`` communicator, where only its ranks compute together.

    Raises:
        ImportError: there is more than one rank, and no ``mpi4py``.
        RuntimeError: ``mpiexec`` belongs to another MPI than ``mpi4py``, so that the ranks cannot
            see each other.

    >>> world().size
    1
    """
    if comm is not None:
        return Group(comm)
    loaded = getattr(sys.modules.get("mpi4py"), "MPI", None)
    if loaded is None and not any(name in os.environ for name in _LAUNCHED):
        return Group()
    started = max((int(os.environ.get(name, "0")) for name in _SIZES), default=0)
    try:
        from mpi4py import MPI
    except ImportError:
        if started == 1:
            return Group()
        raise ImportError(
            "mpiexec started several processes, and they cannot find each other without mpi4py: "
            "pip install 'tinygrad_rnn[mpi]'"
        ) from None
    group = Group(MPI.COMM_WORLD)
    if started > 1 and group.size == 1:
        name = MPI.Get_library_version().split("\n")[0].strip(" \t\0")
        raise RuntimeError(
            f"mpiexec started {started} processes, but mpi4py runs on another MPI ({name}), in "
            "which each of them is alone: use the mpiexec of that one"
        )
    return Group() if group.size == 1 else group


# ── for a loop of one's own ──────────────────────────────────────────────────────────────


def rank(comm: Any = None) -> int:
    """This process's number, from 0: rank 0 is the one that prints and saves.

    >>> rank()
    0
    """
    return world(comm).rank


def size(comm: Any = None) -> int:
    """How many processes compute together; 1 without ``mpiexec``.

    >>> size()
    1
    """
    return world(comm).size


def all_reduce(params: Module | Iterable[Tensor], *, weight: float = 1.0, comm: Any = None) -> None:
    """Replace every gradient by the mean over all ranks, as if one had seen the whole batch.

        g = sum_r w_r g_r / sum_r w_r

    All gradients travel in one flat buffer (one for each dtype). Every rank has to call it, with
    the same parameters.

    Args:
        params: Tensors, any shapes, with what ``backward`` left in ``.grad``; or a Module. A
            gradient that is None counts as zeros, unless it is None on all ranks and stays so.
        weight: w_r, this rank's part of the batch, where the parts are not equal: the number of
            its examples, if the loss is a mean over them. A rank with weight 0 adds nothing.
        comm: an ``mpi4py`` communicator; all ranks if left out.

    Raises:
        TypeError: one of them is no Tensor.
        ValueError: the parameters differ between the ranks, or a weight is negative or not finite,
            or all are 0.

    Source: Li et al., arXiv:2006.15704.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> tg.distributed.all_reduce([x])
    >>> x.grad
    array([2., 4.])
    """
    group, tensors = world(comm), _tensors("all_reduce", params)
    has = [p.grad is not None for p in tensors]
    weights, kinds, given = zip(*group.all_of((float(weight), _kinds(tensors), has)), strict=True)
    if not all(0 <= w < math.inf for w in weights) or not sum(weights):
        raise ValueError(
            f"all_reduce: expected weights of at least 0, one above it, got {[*weights]}"
        )
    if group.size == 1:
        return
    _refuse_if_different("all_reduce", kinds)
    factor = weight / sum(weights)
    somewhere = [any(ranks) for ranks in zip(*given, strict=True)]
    for members in _by_dtype([p for p, n in zip(tensors, somewhere, strict=True) if n]):
        buffer = np.empty(sum(p.size for p in members), members[0].dtype)
        for p, place in _places(buffer, members):
            if p.grad is None or weight == 0:
                place[...] = 0
            else:
                np.multiply(p.grad, p.dtype.type(factor), out=place)
        for p, place in _places(group.sum(buffer), members):
            p.grad = place


def broadcast(params: Module | Iterable[Tensor], *, root: int = 0, comm: Any = None) -> None:
    """Give every rank the values that one of them has.

    Args:
        params: Tensors, any shapes; or a Module, whose buffers then come along.
        root: the rank that has them.
        comm: an ``mpi4py`` communicator; all ranks if left out.

    Raises:
        TypeError: one of them is no Tensor.
        ValueError: the tensors differ in number, shape or dtype between the ranks, or there is no
            such rank.

    >>> import tinygrad_rnn as tg
    >>> layer = tg.nn.Linear(3, 2, rng=tg.distributed.rank())
    >>> tg.distributed.broadcast(layer)
    """
    group, tensors = world(comm), _tensors("broadcast", params)
    if not 0 <= root < group.size:
        raise ValueError(f"broadcast: root: expected a rank below {group.size}, got {root}")
    if group.size == 1:
        return
    _refuse_if_different("broadcast", group.all_of(_kinds(tensors)))
    for members in _by_dtype(tensors):
        buffer = np.empty(sum(p.size for p in members), members[0].dtype)
        for p, place in _places(buffer, members):
            place[...] = p.data
        group.comm.Bcast(buffer.view(np.uint8), root)
        for p, place in _places(buffer, members):
            p.data = place


def share(streams: Any, *, axis: int = 0, comm: Any = None) -> Any:
    """This rank's part of streams or examples: neighbours, and parts that differ by one at most.

    Args:
        streams: :class:`tg.text.Streams`; or an array or Tensor, any shape; or a list, one member
            for each example; or a tuple of these, each of which is shared.
        axis: of arrays, along which the examples lie: 1 for (T, N, D).
        comm: an ``mpi4py`` communicator; all ranks if left out.

    Returns:
        The same kind of thing, with N / size streams; arrays are views.

    Raises:
        TypeError: it is something else.
        ValueError: there are fewer streams than ranks.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> tg.distributed.share(np.zeros((7, 4, 3)), axis=1).shape
    (7, 4, 3)
    """
    group = world(comm)
    if isinstance(streams, tuple):
        return tuple(share(member, axis=axis, comm=comm) for member in streams)
    if isinstance(streams, Streams):
        return streams.part(group.part(streams.batch_size))
    if isinstance(streams, list):
        return streams[group.part(len(streams))]
    if isinstance(streams, (ndarray, Tensor)):
        if not -streams.ndim <= axis < streams.ndim:
            raise ValueError(f"share: there is no axis {axis} in shape {streams.shape}")
        axis %= streams.ndim
        return streams[(slice(None),) * axis + (group.part(streams.shape[axis]),)]
    raise TypeError(
        f"share: expected Streams, an array, a Tensor, a list or a tuple of these, got "
        f"{type(streams).__name__}"
    )


def mean(value: Any, *, weight: float = 1.0, comm: Any = None) -> float:
    """The mean over all ranks of a number, a loss for one; every rank gets the same bits.

    Args:
        value: a number, or a Tensor or array of shape ().
        weight: this rank's part of the batch, as in :func:`all_reduce`.
        comm: an ``mpi4py`` communicator; all ranks if left out.

    >>> mean(0.5)
    0.5
    """
    number = float(value.item() if hasattr(value, "item") else value)
    pairs = world(comm).all_of((number, float(weight)))
    total: float = sum(w for _, w in pairs)
    return math.fsum(x * w for x, w in pairs if w) / total


# ── flat buffers ─────────────────────────────────────────────────────────────────────────


def _tensors(where: str, params: Module | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(params, Module):
        own: list[Tensor] = list(params.parameters())
        return own if where == "all_reduce" else [*own, *params.buffers()]
    if isinstance(params, Tensor):
        raise TypeError(f"{where}: expected a list of Tensors, got a single one")
    tensors = list(params)
    for i, p in enumerate(tensors):
        if not isinstance(p, Tensor):
            raise TypeError(f"{where}: expected Tensors, parameter {i} is {type(p).__name__}")
    return tensors


def _kinds(tensors: list[Tensor]) -> list[Any]:
    return [(p.shape, p.dtype.str) for p in tensors]


def _refuse_if_different(where: str, kinds: Sequence[list[Any]]) -> None:
    """Ranks that sum up different buffers would crash in MPI, or mix up their parameters."""
    for other, kind in enumerate(kinds):
        if kind != kinds[0]:
            differ = [pair for pair in zip(kinds[0], kind, strict=False) if pair[0] != pair[1]]
            what = (
                f"{differ[0][0]} and {differ[0][1]}"
                if differ
                else f"{len(kinds[0])} and {len(kind)}"
            )
            raise ValueError(f"{where}: the parameters of rank 0 and rank {other} differ: {what}")


def _by_dtype(tensors: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[Any, list[Tensor]] = {}
    for p in tensors:
        groups.setdefault(p.dtype, []).append(p)
    return list(groups.values())


def _places(buffer: ndarray, members: list[Tensor]) -> Iterator[tuple[Tensor, ndarray]]:
    """Every tensor, and the view of a flat buffer, one after another, that belongs to it."""
    end = 0
    for p in members:
        start, end = end, end + p.size
        yield p, buffer[start:end].reshape(p.shape)


__all__ = ["Group", "all_reduce", "broadcast", "mean", "rank", "share", "size", "world"]
