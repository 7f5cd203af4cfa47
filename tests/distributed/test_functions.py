"""``tg.distributed`` on ranks that are threads of this process."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.distributed.threads import run
from tinygrad_rnn.distributed import Group


class Model(tg.nn.Module):
    """Parameters of both dtypes, which travel in two buffers."""

    def __init__(self, seed: int):
        self.hidden = tg.nn.Linear(3, 5, dtype=np.float64, rng=seed)
        self.output = tg.nn.Linear(5, 2, rng=seed)

    def forward(self, x: Any) -> Any:
        return self.output(tg.astype(tg.tanh(self.hidden(x)), np.float32))


def right(results: list[Any]) -> list[Any]:
    """The results, none of which is an error."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_ranks_with_parts_of_a_batch_get_the_gradient_of_the_whole_batch(size: int) -> None:
    rng = np.random.default_rng(size)
    x, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    whole = Model(0)
    tg.nn.mse_loss(whole(x), y).backward()

    def program(comm: Any) -> Any:
        model = Model(comm.Get_rank())
        tg.distributed.broadcast(model, comm=comm)
        my_x, my_y = tg.distributed.share((x, y), comm=comm)
        loss = tg.nn.mse_loss(model(my_x), my_y)
        loss.backward()
        tg.distributed.all_reduce(model, weight=len(my_x), comm=comm)
        return model, tg.distributed.mean(loss, weight=len(my_x), comm=comm)

    results = right(run(size, program))
    loss = tg.nn.mse_loss(whole(x), y).item()
    for model, mean in results:
        assert mean == pytest.approx(loss, rel=1e-6)
        assert mean == results[0][1]
        for mine, p in zip(model.parameters(), whole.parameters(), strict=True):
            np.testing.assert_allclose(mine.grad, p.grad, rtol=1e-5, atol=1e-6)
            assert mine.grad.dtype == p.dtype
            np.testing.assert_array_equal(mine.data, p.data)


def test_buffers_of_a_module_are_broadcast_too() -> None:
    def program(comm: Any) -> Any:
        layer = tg.nn.BatchNorm1d(2)
        layer(np.full((4, 2), 1.0 + comm.Get_rank()) + np.arange(4)[:, None])
        tg.distributed.broadcast(layer, root=1, comm=comm)
        return layer.state_dict()

    first, second = right(run(2, program))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert first["running_mean"][0] == pytest.approx(0.1 * 3.5)


def test_a_gradient_that_is_missing_counts_as_zeros_and_stays_missing_only_on_all_ranks() -> None:
    def program(comm: Any) -> Any:
        a, b, c = (tg.Tensor([2.0, 4.0], requires_grad=True) for _ in range(3))
        if comm.Get_rank() == 0:
            (a * a).sum().backward()
        (b * 3).sum().backward()
        tg.distributed.all_reduce([a, b, c], comm=comm)
        return a.grad, b.grad, c.grad

    for a, b, c in right(run(2, program)):
        np.testing.assert_array_equal(a, [2.0, 4.0])
        np.testing.assert_array_equal(b, [3.0, 3.0])
        assert c is None


def test_a_rank_without_weight_adds_nothing_not_even_nan() -> None:
    def program(comm: Any) -> Any:
        x = tg.Tensor([1.0], requires_grad=True)
        x.grad = np.array([np.nan if comm.Get_rank() else 5.0])
        weight = 0 if comm.Get_rank() else 7
        tg.distributed.all_reduce([x], weight=weight, comm=comm)
        loss = np.nan if comm.Get_rank() else 2.0
        return x.grad, tg.distributed.mean(loss, weight=weight, comm=comm)

    for grad, loss in right(run(2, program)):
        np.testing.assert_array_equal(grad, [5.0])
        assert loss == 2.0


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_parts_are_neighbours_that_make_up_the_whole(size: int) -> None:
    ids = np.arange(100) % 7
    things = (
        np.arange(14).reshape(2, 7),
        tg.Tensor(np.arange(14.0).reshape(2, 7), requires_grad=True),
    )
    windows = tg.text.Streams(ids, 7, 4)

    def program(comm: Any) -> Any:
        array, tensor = tg.distributed.share(things, axis=1, comm=comm)
        examples = tg.distributed.share([*range(7)], comm=comm)
        part = tg.distributed.share(windows, comm=comm)
        assert len(part) == len(windows)
        assert part.batch_size == array.shape[1] == len(examples)
        return array, tensor, examples, part

    results = right(run(size, program))
    counts = [len(examples) for _, _, examples, _ in results]
    assert max(counts) - min(counts) <= 1
    np.testing.assert_array_equal(np.concatenate([r[0] for r in results], 1), things[0])
    together = tg.concatenate([r[1] for r in results], 1)
    assert together.requires_grad
    np.testing.assert_array_equal(together.data, things[1].data)
    assert [i for r in results for i in r[2]] == [*range(7)]
    for k in range(len(windows)):
        for i in range(2):
            joined = np.concatenate([r[3][k][i] for r in results], 1)
            np.testing.assert_array_equal(joined, windows[k][i])


def test_what_cannot_be_shared() -> None:
    def too_few(comm: Any) -> Any:
        tg.distributed.share([1, 2], comm=comm)

    for error in run(3, too_few):
        assert isinstance(error, ValueError)
        assert "3 ranks cannot share 2 streams or examples" in str(error)
    with pytest.raises(TypeError, match=r"expected Streams, an array, .* got dict"):
        tg.distributed.share({})
    with pytest.raises(ValueError, match="no axis 2 in shape"):
        tg.distributed.share(np.zeros((2, 3)), axis=2)
    with pytest.raises(ValueError, match="no stream in"):
        tg.text.Streams(np.arange(9), 2, 2).part(slice(2, 3))


def test_ranks_whose_parameters_differ_are_told() -> None:
    def program(comm: Any) -> Any:
        layer = tg.nn.Linear(3, 4 + comm.Get_rank(), rng=0)
        tg.distributed.all_reduce(layer, comm=comm)

    for error in run(2, program):
        assert isinstance(error, ValueError)
        assert "rank 0 and rank 1 differ" in str(error)
        assert "(4, 3)" in str(error)
        assert "(5, 3)" in str(error)

    def fewer(comm: Any) -> Any:
        tensors = [tg.Tensor([1.0]) for _ in range(1 + comm.Get_rank())]
        tg.distributed.broadcast(tensors, comm=comm)

    for error in run(2, fewer):
        assert isinstance(error, ValueError)
        assert "differ: 1 and 2" in str(error)


def test_arguments_that_are_none() -> None:
    x = tg.Tensor([1.0], requires_grad=True)
    for weight in (-1.0, np.nan, np.inf, 0.0):
        with pytest.raises(ValueError, match="all_reduce: expected finite weights"):
            tg.distributed.all_reduce([x], weight=weight)
    with pytest.raises(TypeError, match="got a single one"):
        tg.distributed.all_reduce(x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="parameter 1 is float"):
        tg.distributed.all_reduce([x, 1.0])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="expected root from 0 to 0, got 1"):
        tg.distributed.broadcast([x], root=1)


# ── who the ranks are ────────────────────────────────────────────────────────────────────


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "mpi4py", raising=False)
    return monkeypatch


def mpi_of(rank: int, size: int) -> Any:
    world = SimpleNamespace(Get_rank=lambda: rank, Get_size=lambda: size)
    version = "MPI of our own 1.0\x00\nmore"
    return SimpleNamespace(
        MPI=SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: version)
    )


def test_without_mpiexec_a_process_is_alone_and_imports_no_mpi(no_launcher: Any) -> None:
    no_launcher.setitem(sys.modules, "mpi4py", None)  # importing it would raise
    assert (tg.distributed.rank(), tg.distributed.size()) == (0, 1)


def test_ranks_that_cannot_find_each_other_are_told_why(no_launcher: Any) -> None:
    no_launcher.setenv("PMI_SIZE", "4")
    no_launcher.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_rnn\[mpi\]'"):
        tg.distributed.world()
    no_launcher.setenv("PMI_SIZE", "1")
    assert tg.distributed.size() == 1
    no_launcher.setenv("OMPI_COMM_WORLD_SIZE", "4")
    no_launcher.setitem(sys.modules, "mpi4py", mpi_of(0, 1))
    with pytest.raises(RuntimeError, match=r"4 processes, but mpi4py uses another MPI \(MPI of"):
        tg.distributed.world()


def test_the_ranks_of_mpi(no_launcher: Any) -> None:
    no_launcher.setitem(sys.modules, "mpi4py", mpi_of(2, 3))
    assert (tg.distributed.rank(), tg.distributed.size()) == (2, 3)
    no_launcher.setitem(sys.modules, "mpi4py", mpi_of(0, 1))
    assert tg.distributed.world().comm is None


def test_a_group_of_one() -> None:
    group = Group()
    array = np.ones(3)
    assert group.sum(array) is array
    assert group.all_of("a") == ["a"]
    assert group.of_first("a") == "a"
