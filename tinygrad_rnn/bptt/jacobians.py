"""The Jacobians of a state at one time step with respect to the state at another."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from ..backprop import sweep
from .loops import norm
from .structure import Trajectory


class Jacobian(NamedTuple):
    """The Jacobian of a state at one time step with respect to the state at another.

    Attributes:
        matrix: dh_t/dh_s, (M, N) for M numbers in h_t and N in h_s.
        singular_values: (min(M, N),), the largest first.
    """

    matrix: ndarray
    singular_values: ndarray


def jacobian_of(trajectory: Trajectory, t: int, s: int) -> Jacobian:
    """The Jacobian of h_t with respect to h_s, see :meth:`Flow.jacobian`."""
    for step in (t, s):
        if step not in trajectory.nodes:
            have = sorted(trajectory.nodes)
            raise IndexError(
                f"jacobian: the loss depends on {trajectory.name} at the time steps "
                f"{have[0]} to {have[-1]}, not at {step}"
            )
    after, before = trajectory.nodes[t], trajectory.nodes[s]
    matrix = np.zeros((after.output.size, before.output.size), after.output.dtype)
    if before.number <= after.number:
        rows = np.eye(after.output.size, dtype=after.output.dtype)
        rows *= np.broadcast_to(trajectory.masks.get(t, True), after.output.shape).ravel()
        for i, row in enumerate(rows):
            seeds = {after: row.reshape(after.output.shape)}
            reached = sweep(seeds, {before}, since=before.number + 1)
            if before in reached:
                matrix[i] = reached[before].reshape(-1)
        matrix *= np.broadcast_to(trajectory.masks.get(s, True), before.output.shape).ravel()
    if not np.isfinite(matrix).all():
        return Jacobian(matrix, np.full(min(matrix.shape), math.nan, matrix.dtype))
    return Jacobian(matrix, np.linalg.svd(matrix, compute_uv=False))


def jacobian_norms(
    trajectory: Trajectory, count: int, rows: int, probes: int
) -> tuple[ndarray, ndarray]:
    """The Frobenius norms of all dh_t/dh_s, see :meth:`Flow.jacobian_norms`.

    Args:
        trajectory: the state.
        count: the number of steps of its loop.
        rows, probes: as there.
    """
    nodes, masks, time_steps = trajectory.nodes, trajectory.masks, trajectory.steps
    places = np.unique(
        np.linspace(len(time_steps) - 1, 0, min(rows, len(time_steps))).round().astype(int)
    )
    norms = np.full((len(places), count), math.nan)
    rng = np.random.default_rng(0)
    for r, place in enumerate(places):
        after = nodes[time_steps[place]]
        before = [nodes[t] for t in time_steps[: place + 1]]
        size, mask = after.output.size, masks.get(time_steps[place], True)
        lengths = np.zeros(place + 1)
        for seed in _directions(size, min(size, probes), rng):
            row = (seed.reshape(after.output.shape) * mask).astype(after.output.dtype)
            reached = sweep({after: row}, set(before), since=before[0].number + 1)
            for k, node in enumerate(before):
                if node in reached:
                    lengths[k] = math.hypot(lengths[k], norm([reached[node]]))
        lengths *= math.sqrt(size / min(size, probes))
        norms[r, time_steps[: place + 1]] = np.where(np.isnan(lengths), math.inf, lengths)
    return np.array(time_steps)[places], norms


def _directions(size: int, count: int, rng: np.random.Generator) -> ndarray:
    """Orthonormal rows: a basis of the space, or some random directions."""
    if count == size:
        return np.eye(size)
    q: ndarray = np.linalg.qr(rng.standard_normal((size, count)))[0]
    return q.T
