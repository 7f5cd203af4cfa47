"""Initial values of parameters: arrays of a given shape, for a parameter's ``.data``.

    lstm.weight_hh_l0.data = init.orthogonal(lstm.weight_hh_l0.shape, gates=4, rng=0)

Everything is drawn in float64 and then rounded, so a model in float32 and one in float64 start from
the same numbers. A recurrent weight stacks the matrices of its gates. With ``gates=``, each of them
is drawn as a separate matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

Seed: TypeAlias = "int | np.random.Generator | None"


def uniform(shape: Any, bound: float, *, dtype: Any = np.float32, rng: Seed = None) -> ndarray:
    """Numbers from U(-bound, bound).

    Args:
        shape: of the array.
        bound: the largest absolute value.
        dtype: of the array.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    >>> bool((abs(uniform((2, 3), 0.5, rng=0)) <= 0.5).all())
    True
    """
    numbers: ndarray = np.random.default_rng(rng).uniform(-bound, bound, shape)
    return numbers.astype(dtype)


def normal(shape: Any, *, dtype: Any = np.float32, rng: Seed = None) -> ndarray:
    """Numbers from N(0, 1).

    Args:
        shape: of the array.
        dtype: of the array.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    >>> normal((2, 3), rng=0).dtype
    dtype('float32')
    """
    numbers: ndarray = np.random.default_rng(rng).standard_normal(shape)
    return numbers.astype(dtype)


def xavier(
    shape: tuple[int, ...],
    gain: float = 1.0,
    *,
    gates: int = 1,
    dtype: Any = np.float32,
    rng: Seed = None,
) -> ndarray:
    """Numbers from U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)).

    Then both the activations and the gradients keep about the same variance from layer to layer.

    Args:
        shape: (fan_out, fan_in); or (O, C, kh, kw) of a convolution, with fan_out O kh kw and
            fan_in C kh kw.
        gain: 1 for tanh and sigmoid, sqrt(2) for relu.
        gates: how many matrices are stacked; fan_out is that of one matrix.
        dtype: of the array.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    Raises:
        ValueError: the shape has fewer than two axes, or ``gates`` does not divide its rows.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, eq. 16.

    >>> bool((abs(xavier((2, 4), rng=0)) <= 1).all())
    True
    """

    def draw(part: tuple[int, ...], rng: np.random.Generator) -> ndarray:
        window = math.prod(part[2:])
        bound = gain * math.sqrt(6 / ((part[0] + part[1]) * window))
        return rng.uniform(-bound, bound, part)

    return _by_gate("xavier", shape, gates, draw, rng).astype(dtype)


def orthogonal(
    shape: tuple[int, ...],
    gain: float = 1.0,
    *,
    gates: int = 1,
    dtype: Any = np.float32,
    rng: Seed = None,
) -> ndarray:
    """A random matrix Q with Q Q^T = gain^2 I (or Q^T Q, if it has more rows than columns).

    With gain 1 a product with Q keeps the norm, so many products in a row neither explode nor
    vanish.

    Args:
        shape: (rows, columns); further axes count as columns.
        gain: all singular values.
        gates: how many matrices are stacked; each is orthogonal.
        dtype: of the array.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    Raises:
        ValueError: the shape has fewer than two axes, or ``gates`` does not divide its rows.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning
    in deep linear neural networks", arXiv:1312.6120.

    >>> W = orthogonal((6, 3), gates=2, rng=0)
    >>> bool(np.allclose(W[:3] @ W[:3].T, np.eye(3), atol=1e-6))
    True
    """

    def draw(part: tuple[int, ...], rng: np.random.Generator) -> ndarray:
        rows, columns = part[0], math.prod(part[1:])
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.copysign(1, np.diag(r))  # without it, some orthogonal matrices are more likely
        return gain * (q if rows >= columns else q.T).reshape(part)

    return _by_gate("orthogonal", shape, gates, draw, rng).astype(dtype)


def identity(
    shape: tuple[int, ...], scale: float = 1.0, *, gates: int = 1, dtype: Any = np.float32
) -> ndarray:
    """``scale`` on the diagonal and 0 elsewhere: each unit starts by keeping its value.

    Args:
        shape: (rows, columns).
        scale: 1 for the IRNN of the source, an RNN of relu units; below 1 the units forget.
        gates: how many matrices are stacked; each has its own diagonal.
        dtype: of the array.

    Raises:
        ValueError: the shape does not have two axes, or ``gates`` does not divide its rows.

    Source: Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified
    Linear Units", arXiv:1504.00941.

    >>> identity((2, 2), 0.5)
    array([[0.5, 0. ],
           [0. , 0.5]], dtype=float32)
    """
    if len(tuple(shape)) != 2:
        raise ValueError(f"identity: expected a shape (rows, columns), got {tuple(shape)}")
    draw = lambda part, _: scale * np.eye(*part)  # noqa: E731
    return _by_gate("identity", shape, gates, draw, None).astype(dtype)


def forget_bias(
    shape: int | tuple[int, ...], value: float = 1.0, *, dtype: Any = np.float32
) -> ndarray:
    """A bias for an LSTM: ``value`` for the forget gate and 0 for the others.

    Then f_t is near 1 from the start, and gradients reach far back. An LSTM adds two biases: give
    this one to ``bias_ih``, and leave ``bias_hh`` or make it zeros.

    Args:
        shape: (4H,), the shape of a bias in the gate order i, f, g, o.
        value: usually 1 or 2.
        dtype: of the array.

    Raises:
        ValueError: the shape is not (4H,).

    Source: Gers, Schmidhuber and Cummins, "Learning to Forget", Neural Computation 12 (2000);
    Jozefowicz, Zaremba and Sutskever, "An Empirical Exploration of Recurrent Network
    Architectures", ICML 2015.

    >>> forget_bias(8)
    array([0., 0., 1., 1., 0., 0., 0., 0.], dtype=float32)
    """
    bias = np.zeros(shape, dtype)
    if bias.ndim != 1 or len(bias) % 4:
        raise ValueError(f"forget_bias: expected a shape (4H,), got {bias.shape}")
    hidden_size = len(bias) // 4
    bias[hidden_size : 2 * hidden_size] = value
    return bias


def chrono(
    shape: int | tuple[int, ...],
    longest: int,
    *,
    cell: str = "lstm",
    dtype: Any = np.float32,
    rng: Seed = None,
) -> ndarray:
    """A bias with which the units of an LSTM or a GRU remember for 1 to ``longest`` steps.

        b_f = log u,  b_i = -log u      for an LSTM, with u from U(1, longest - 1) for each unit
        b_z = log u                     for a GRU, where z_t near 1 keeps the old value

    A gate that stays at sigmoid(log u) keeps a value for about u + 1 steps. Both layers add two
    biases: give this one to ``bias_ih``, and make ``bias_hh`` zeros.

    Args:
        shape: (4H,) for an LSTM, in the order i, f, g, o; (3H,) for a GRU, in the order r, z, n.
        longest: the largest number of steps between a cause and its effect, at least 2.
        cell: "lstm" or "gru".
        dtype: of the array.
        rng: a generator, or a seed for one.

    Raises:
        ValueError: the shape or the cell is another, or ``longest`` is below 2.

    Source: Tallec and Ollivier, "Can recurrent neural networks warp time?", ICLR 2018,
    arXiv:1804.11188.

    >>> b = chrono(8, 100, rng=0)
    >>> bool((b[2:4] == -b[:2]).all() and (b[4:] == 0).all() and 0 <= b[2] <= np.log(99))
    True
    """
    gates = {"lstm": 4, "gru": 3}.get(cell)
    if gates is None:
        raise ValueError(f"chrono: expected cell 'lstm' or 'gru', got {cell!r}")
    if longest < 2:
        raise ValueError(f"chrono: expected longest of at least 2, got {longest}")
    bias = np.zeros(shape, dtype)
    if bias.ndim != 1 or len(bias) % gates:
        raise ValueError(f"chrono: expected a shape ({gates}H,) for {cell}, got {bias.shape}")
    H = len(bias) // gates
    bias[H : 2 * H] = np.log(np.random.default_rng(rng).uniform(1, max(longest - 1, 1), H))
    if cell == "lstm":
        bias[:H] = -bias[H : 2 * H]
    return bias


def _by_gate(
    where: str,
    shape: tuple[int, ...],
    gates: int,
    draw: Callable[[tuple[int, ...], np.random.Generator], ndarray],
    rng: Seed,
) -> ndarray:
    """Draw one array per gate and stack them along the first axis."""
    shape = tuple(shape)
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"{where}: expected a shape of two axes or more, got {shape}")
    if gates < 1 or shape[0] % gates:
        raise ValueError(f"{where}: {shape[0]} rows do not divide into {gates} gates")
    rng = np.random.default_rng(rng)
    part = (shape[0] // gates, *shape[1:])
    return np.concatenate([draw(part, rng) for _ in range(gates)])
