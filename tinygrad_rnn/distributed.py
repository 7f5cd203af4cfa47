"""Data parallelism with MPI: each process (rank) computes its part of every batch.

``mpiexec -n 4 python program.py`` starts the program four times. Three lines turn a loop over the
whole batch into a loop that four ranks share:

    windows = tg.distributed.share(windows)          # 1. this rank's part of the streams
    tg.distributed.broadcast(model)                  # 2. the same initial values everywhere
    for x, y in windows:
        ...
        loss.backward()
        tg.distributed.all_reduce(model.parameters())    # 3. the mean gradient, everywhere
        optimizer.step()

This is synchronous data parallelism: every rank has all parameters and makes the same step, so the
parameters stay equal. Without ``mpiexec`` the same program runs as one rank and needs no MPI. With
``mpiexec`` it needs ``mpi4py`` of the same MPI; the extra ``tinygrad_rnn[mpi]`` installs both.

Gradients are not sent while the backward pass still runs, for two reasons. A recurrent layer
computes its weight gradients at its very end, for all time steps at once, so little computation is
left to overlap. And an MPI library moves data only during calls of it.
``python -m tests.benchmarks.ranks`` measures both.

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

# Environment variables with the number of processes: MPICH, Intel MPI and MS-MPI; Open MPI.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
_LAUNCHED = (*_SIZES, "PMI_RANK", "PMIX_RANK")


class Group:
    """The processes that compute together: those of an MPI communicator, or this one alone.

    Args:
        comm: an ``mpi4py`` communicator; None for this process alone.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of processes.

    >>> Group().rank, Group().size
    (0, 1)
    """

    def __init__(self, comm: Any = None):
        self.comm = comm
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()

    def part(self, count: int) -> slice:
        """This rank's part of ``count`` items, as a slice. Sizes of parts differ by at most one.

        Raises:
            ValueError: there are fewer items than ranks.

        >>> Group().part(10)
        slice(0, 10, None)
        """
        if count < self.size:
            raise ValueError(f"{self.size} ranks cannot share {count} streams or examples")
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, array: ndarray) -> ndarray:
        """The sum of the arrays of all ranks, which have one shape. All ranks get the same bits."""
        if self.comm is None:
            return array
        total = np.empty_like(array)
        self.comm.Allreduce(array, total)
        return total

    def all_of(self, value: Any) -> list[Any]:
        """The values of all ranks, in the order of the ranks."""
        return [value] if self.comm is None else list(self.comm.allgather(value))

    def of_first(self, value: Any, root: int = 0) -> Any:
        """The value of rank ``root``."""
        return value if self.comm is None else self.comm.bcast(value, root)


def world(comm: Any = None) -> Group:
    """The ranks that ``mpiexec`` started; without it, this process alone.

    Args:
        comm: an ``mpi4py`` communicator, if only its ranks compute together.

    Raises:
        ImportError: there is more than one rank, and ``mpi4py`` is not installed.
        RuntimeError: ``mpiexec`` belongs to another MPI than ``mpi4py``, so the ranks cannot reach
            each other.

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
            "mpiexec started several processes, which cannot reach each other without mpi4py: "
            "pip install 'tinygrad_rnn[mpi]'"
        ) from None
    group = Group(MPI.COMM_WORLD)
    if started > 1 and group.size == 1:
        name = MPI.Get_library_version().split("\n")[0].strip(" \t\0")
        raise RuntimeError(
            f"mpiexec started {started} processes, but mpi4py uses another MPI ({name}), where "
            "each of them is alone: use the mpiexec of that MPI"
        )
    return Group() if group.size == 1 else group


# ── for your own loop ────────────────────────────────────────────────────────────────────


def rank(comm: Any = None) -> int:
    """The number of this process, from 0. Usually rank 0 prints and saves.

    >>> rank()
    0
    """
    return world(comm).rank


def size(comm: Any = None) -> int:
    """The number of processes that compute together; 1 without ``mpiexec``.

    >>> size()
    1
    """
    return world(comm).size


def all_reduce(params: Module | Iterable[Tensor], *, weight: float = 1.0, comm: Any = None) -> None:
    """Replace every gradient by its mean over all ranks, as if one rank had the whole batch.

        g = sum_r w_r g_r / sum_r w_r

    All gradients of one dtype are sent in one flat buffer. Every rank must call this function with
    the same parameters.

    Args:
        params: Tensors of any shapes, with gradients in ``.grad``; or a Module. A gradient of None
            counts as zeros. If it is None on all ranks, it stays None.
        weight: w_r, this rank's part of the batch, if the parts are not equal: the number of its
            examples, if the loss is a mean over them. A rank with weight 0 adds nothing.
        comm: an ``mpi4py`` communicator; None means all ranks.

    Raises:
        TypeError: a parameter is not a Tensor.
        ValueError: the parameters differ between the ranks; or a weight is negative or not finite,
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
    has_grad = [p.grad is not None for p in tensors]
    mine = float(weight), _kinds(tensors), has_grad
    weights, kinds, have_grad = zip(*group.all_of(mine), strict=True)
    if not all(0 <= w < math.inf for w in weights) or not sum(weights):
        raise ValueError(
            f"all_reduce: expected finite weights of at least 0, not all 0, got {[*weights]}"
        )
    if group.size == 1:
        return
    _refuse_if_different("all_reduce", kinds)
    factor = weight / sum(weights)
    anywhere = [any(ranks) for ranks in zip(*have_grad, strict=True)]
    for members in _by_dtype([p for p, has in zip(tensors, anywhere, strict=True) if has]):
        buffer = np.empty(sum(p.size for p in members), members[0].dtype)
        for p, place in _places(buffer, members):
            if p.grad is None or weight == 0:
                place[...] = 0
            else:
                np.multiply(p.grad, p.dtype.type(factor), out=place)
        for p, place in _places(group.sum(buffer), members):
            p.grad = place


def broadcast(params: Module | Iterable[Tensor], *, root: int = 0, comm: Any = None) -> None:
    """Copy the values of one rank to all ranks.

    Args:
        params: Tensors of any shapes; or a Module, whose buffers are included.
        root: the rank whose values are copied.
        comm: an ``mpi4py`` communicator; None means all ranks.

    Raises:
        TypeError: a parameter is not a Tensor.
        ValueError: the tensors differ in number, shape or dtype between the ranks, or there is no
            such rank.

    >>> import tinygrad_rnn as tg
    >>> layer = tg.nn.Linear(3, 2, rng=tg.distributed.rank())
    >>> tg.distributed.broadcast(layer)
    """
    group, tensors = world(comm), _tensors("broadcast", params)
    if not 0 <= root < group.size:
        raise ValueError(f"broadcast: expected root from 0 to {group.size - 1}, got {root}")
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
    """This rank's contiguous part of streams or examples. Sizes of parts differ by at most one.

    Args:
        streams: :class:`tg.text.Streams`; or an array or Tensor of any shape; or a list with one
            member for each example; or a tuple of these, where each member is shared.
        axis: the axis of the examples in arrays: 1 for (T, N, D).
        comm: an ``mpi4py`` communicator; None means all ranks.

    Returns:
        The same type, with N / size streams or examples. Arrays are views.

    Raises:
        TypeError: ``streams`` has another type.
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
    """The mean of a number, such as a loss, over all ranks. Every rank gets the same bits.

    Args:
        value: a number, or a Tensor or array of shape ().
        weight: this rank's part of the batch, as in :func:`all_reduce`.
        comm: an ``mpi4py`` communicator; None means all ranks.

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
    """Refuse different parameters: MPI would crash, or the gradients would be mixed up."""
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
    """Every tensor with its view of the flat buffer; the views follow one another."""
    end = 0
    for p in members:
        start, end = end, end + p.size
        yield p, buffer[start:end].reshape(p.shape)


__all__ = ["Group", "all_reduce", "broadcast", "mean", "rank", "share", "size", "world"]
