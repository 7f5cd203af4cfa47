"""What a model computes from the sizes of its inputs."""

from __future__ import annotations

import itertools
import math

import pytest

import tinygrad_rnn as tg

tg.onnx.export  # noqa: B018 - the room is there

from tinygrad_rnn.onnx.sizes import Differs, Merger, Size, chosen_sizes  # noqa: E402


@pytest.mark.parametrize("n", range(1, 9))
def test_every_size_is_told_from_the_others(n: int) -> None:
    names = [f"n{i}" for i in range(n)]
    sizes = chosen_sizes(names)
    merger = Merger(sizes)
    for count in (1, 2):
        for chosen in itertools.combinations(names, min(count, n)):
            for factor, offset in ((1, 0), (3, 0), (1, -1), (2, 1)):
                numbers = [factor * math.prod(s[c] for c in chosen) + offset for s in sizes]
                assert merger._number(numbers, "it") == Size(chosen, factor, offset)


@pytest.mark.parametrize(
    "function",
    [lambda n: n // 2, lambda n: min(n, 20), lambda n: n * n, lambda n: n % 4, lambda n: 60 // n],
)
def test_what_is_no_sum_or_product_of_sizes_is_refused(function: object) -> None:
    sizes = chosen_sizes(["T"])
    assert callable(function)
    with pytest.raises(Differs):
        Merger(sizes)._number([function(s["T"]) for s in sizes], "it")


def test_a_size_has_no_number_before_the_model_runs() -> None:
    assert str(Size(("T", "N"), 2, -1)) == "2 * T * N - 1"
    with pytest.raises(TypeError, match=r"a size that only the running model knows \(T\)"):
        range(Size(("T",)))  # type: ignore[arg-type]
