"""Saving and loading: what went in comes out, and nothing half written or foreign ever does."""

import json
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg
from tinygrad_rnn import io

# ── what goes in comes out ───────────────────────────────────────────────────────────────


def assert_same(a, b):
    """Equal in value, type, dtype and order of keys, bit by bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, (np.ndarray, np.generic)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    elif isinstance(a, float):
        assert struct.pack("d", a) == struct.pack("d", b)
    else:
        assert a == b


dtypes = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes()
    | hnp.complex_number_dtypes()
    | hnp.datetime64_dtypes(endianness="<")
    | hnp.unicode_string_dtypes(max_len=4)
    | hnp.byte_string_dtypes(max_len=4)
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, min_side=0, max_side=3, max_dims=3))
scalars = hnp.arrays(hnp.floating_dtypes() | hnp.integer_dtypes() | hnp.boolean_dtypes(), ()).map(
    lambda array: array[()]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.just(math.nan)
    | st.text(st.characters())  # lone surrogates too
    | arrays
    | scalars
)
keys = st.text(st.characters(), max_size=4)
values = st.recursive(
    leaves,
    lambda inner: (
        st.dictionaries(keys, inner, max_size=3)
        | st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=6,
)
states = st.dictionaries(keys, values, max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("io")


@given(states)
def test_any_state_comes_back_as_it_was(folder, state):
    path = folder / "state.npz"
    tg.save(path, state)
    assert_same(tg.load(path), state)


def test_layouts_and_copies(tmp_path):
    base = np.arange(24.0).reshape(2, 3, 4)
    state = {
        "strided": base[:, ::-2, 1:],
        "fortran": np.asfortranarray(base),
        "transposed": base.T,
        "big endian": base.astype(">f4"),
        "broadcast": np.broadcast_to(np.float32(3), (2, 2)),
        "read-only": base.view(),
    }
    state["read-only"].flags.writeable = False
    tg.save(tmp_path / "a.npz", state)
    loaded = tg.load(tmp_path / "a.npz")
    for name, array in loaded.items():
        np.testing.assert_array_equal(array, state[name])
        assert array.dtype == state[name].dtype
        assert array.flags.writeable
        assert array.flags.owndata


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_where_it_was(tmp_path, kind):
    def generator(seed):
        return np.random.Generator(getattr(np.random, kind)(seed))

    rng = generator(1)
    rng.integers(0, 10, 7, dtype=np.int32)  # leaves half of a draw behind
    tg.save(tmp_path / "rng.npz", {"rng": rng.bit_generator.state})
    expected = rng.integers(0, 1000, 9, dtype=np.int32)
    other = generator(2)
    other.bit_generator.state = tg.load(tmp_path / "rng.npz")["rng"]
    np.testing.assert_array_equal(other.integers(0, 1000, 9, dtype=np.int32), expected)


def test_a_model_and_its_optimiser_go_on_where_they_were(tmp_path):
    def step(model, optimizer):
        h, _ = model(np.ones((2, 3), np.float32))
        optimizer.zero_grad()
        (h * h).sum().backward()
        optimizer.step()

    def made(seed):
        model = tg.nn.LSTMCell(3, 4, rng=seed)
        return model, tg.optim.Adam(model.parameters(), lr=0.1, betas=(0.8, 0.9))

    model, optimizer = made(0)
    step(model, optimizer)
    tg.save(tmp_path / "a.npz", {"m": model.state_dict(), "o": optimizer.state_dict()})
    step(model, optimizer)
    again, its_optimizer = made(1)
    state = tg.load(str(tmp_path / "a.npz"))
    again.load_state_dict(state["m"])
    its_optimizer.load_state_dict(state["o"])
    step(again, its_optimizer)
    assert_same(again.state_dict(), model.state_dict())
    assert_same(its_optimizer.state_dict(), optimizer.state_dict())


def test_numpy_reads_it_too_and_the_same_state_gives_the_same_bytes(tmp_path):
    state = {"layer": {"weight": np.ones((2, 3)), "a/b %": np.zeros(1)}, "step": 3}
    for name in ("a.npz", "b.npz"):
        tg.save(tmp_path / name, state)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["layer/weight"], np.ones((2, 3)))
        np.testing.assert_array_equal(archive["layer/a%2Fb %25"], np.zeros(1))


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_numpys_own_archives_are_flat_dicts(tmp_path, write):
    write(tmp_path / "a.npz", np.arange(3), weight=np.ones((2, 2), np.float32))
    assert_same(
        dict(sorted(tg.load(tmp_path / "a.npz").items())),
        {"arr_0": np.arange(3), "weight": np.ones((2, 2), np.float32)},
    )


# ── what does not go in ──────────────────────────────────────────────────────────────────


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1], "expected a dict, got list"),
        (np.ones(3), "expected a dict, got ndarray"),
        ({"a": {1: 2}}, r"strings as keys at a, got 1"),
        ({"a": {"b": [0, object()]}}, r"cannot save a object at a/b/1"),
        ({"a": np.array([None])}, "cannot save an array of dtype object at a"),
        ({"a": np.zeros(2, [("x", "f4")])}, "cannot save an array of dtype"),
        ({"a": np.ma.array([1.0], mask=[True])}, "cannot save a MaskedArray at a"),
        ({"a": 1j}, "cannot save a complex"),
        ({"a": {1, 2}}, "cannot save a set"),
        ({"a": b"bytes"}, "cannot save a bytes"),
        ({"a": Text("x")}, "cannot save a Text"),
    ],
)
def test_what_has_no_place_is_refused_and_leaves_no_file(tmp_path, state, message):
    with pytest.raises(TypeError, match=message):
        tg.save(tmp_path / "a.npz", state)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_tensors_and_parameters_are_saved_as_their_arrays(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    weight = tg.nn.Parameter(np.arange(6, dtype=np.float32).reshape(2, 3))
    state = {"weight": weight, "T": weight.T, "ids": tg.Tensor([1, 2]), "zero": tg.Tensor(0.5)}
    path = tmp_path / f"a{suffix}"
    tg.save(path, state)
    assert_same(
        tg.load(path),
        dict(sorted((k, t.numpy()) for k, t in state.items()))
        if suffix == ".safetensors"
        else {k: t.numpy() for k, t in state.items()},
    )
    if suffix == ".npz":
        tg.save(path, {"nested": {"list": [weight], "pair": (weight, 3)}})
        loaded = tg.load(path)["nested"]
        np.testing.assert_array_equal(loaded["list"][0], weight.numpy())
        np.testing.assert_array_equal(loaded["pair"][0], weight.numpy())


def test_a_state_that_holds_itself_or_is_too_deep(tmp_path):
    loop = {"a": {"b": []}}
    loop["a"]["b"].append(loop["a"])
    with pytest.raises(ValueError, match="save: the state contains itself at a/b/0"):
        tg.save(tmp_path / "a.npz", loop)
    itself = {}
    itself["x"] = itself
    with pytest.raises(ValueError, match="contains itself at x"):
        tg.save(tmp_path / "a.npz", itself)
    deep = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested too deeply"):
        tg.save(tmp_path / "a.npz", deep)
    while deep:  # Python's own deletion of it would recurse too
        deep = deep["a"]
    shared = {"w": np.ones(2)}
    tg.save(tmp_path / "a.npz", {"a": shared, "b": [shared, shared]})  # no loop
    assert list(tg.load(tmp_path / "a.npz")) == ["a", "b"]


def test_the_name_that_safetensors_keeps_for_itself(tmp_path, safetensors):
    with pytest.raises(ValueError, match="reserves the name '__metadata__'"):
        tg.save(tmp_path / "a.safetensors", {"__metadata__": np.ones(2)})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a", "a.npy", "a.pt", "a.npz.bak", ".npz"])
def test_other_suffixes(tmp_path, name):
    for call in (lambda path: tg.save(path, {}), tg.load):
        with pytest.raises(ValueError, match=r"ends in \.npz or \.safetensors, got"):
            call(tmp_path / name)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        tg.save(tmp_path / "no" / "a.npz", {})
    (tmp_path / "b.npz").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        tg.save(tmp_path / "b.npz", {})


# ── damage ───────────────────────────────────────────────────────────────────────────────

STATE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": [1, "two", (3.0, None)]}


@pytest.fixture(scope="module", params=[".npz", ".safetensors"])
def intact(request, folder):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    state = STATE if request.param == ".npz" else {"a": STATE["a"]}
    path = folder / f"intact{request.param}"
    tg.save(path, state)
    return path, state


def test_cut_short_anywhere_it_is_an_error(intact, tmp_path):
    path, _ = intact
    content = path.read_bytes()
    cut = tmp_path / path.name
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"{path.name}: not a complete"):
            tg.load(cut)


def test_a_byte_changed_anywhere_is_an_error_or_harmless(intact, tmp_path):
    """What a zip file says twice, or nobody reads, may differ. .safetensors has no checksum."""
    path, state = intact
    content = path.read_bytes()
    changed = tmp_path / path.name
    found = 0
    for place in range(len(content)):
        for flip in (0xFF, 0x01):
            damaged = bytearray(content)
            damaged[place] ^= flip
            changed.write_bytes(damaged)
            try:
                loaded = tg.load(changed)
            except ValueError:
                found += 1
            else:
                if path.suffix == ".npz":
                    assert_same(loaded, state)
    assert found > len(content) / 3


@given(st.binary(max_size=300))
def test_any_other_bytes_are_an_error(folder, content):
    for suffix in (".npz", ".safetensors"):
        if suffix == ".safetensors":
            pytest.importorskip("safetensors")
        path = folder / f"foreign{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a complete"):
            tg.load(path)


def archive(path, members):
    with zipfile.ZipFile(path, "w") as file:
        file.comment = b"tinygrad_rnn" if "structure.json" in members else b""
        for name, content in members.items():
            file.writestr(name, content)


def npy(header, data=b""):
    header = repr(header).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def structure(state, **more):
    return json.dumps({"format": "tinygrad_rnn", "version": 1, "state": state, **more})


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"readme.txt": "hello"}, "it has no arrays"),
        ({"structure.json": "{"}, "delimiter|property name"),
        ({"structure.json": "[]"}, "not in the format of tinygrad_rnn"),
        ({"structure.json": "{}"}, "not in the format of tinygrad_rnn"),
        ({"structure.json": structure({"dict": {}}, version=2)}, "expected version 1.*got 2"),
        ({"structure.json": structure([1])}, "does not describe a dict"),
        ({"structure.json": structure({"set": []})}, "unknown kind"),
        ({"structure.json": structure({"dict": {}, "tuple": []})}, "unknown kind"),
        ({"structure.json": structure({"dict": {"a": {"tuple": 3}}})}, "unknown kind"),
        ({"structure.json": structure({"dict": {"a": {"array": "a"}}})}, "array a is missing"),
        ({"structure.json": "[" * 100_000}, "recursion"),
        ({"a.npy": b"not an array"}, "magic string"),
        ({"a.npy": b"\x93NUMPY\x03\x00" + bytes(20)}, "version"),
        (
            {"a.npy": npy({"descr": "<f4", "fortran_order": False, "shape": (2,)}, bytes(4))},
            r"a.npy should be float32 \(2,\), but has 4 bytes",
        ),
        (
            {"a.npy": npy({"descr": "<f4", "fortran_order": False, "shape": (10**15,)})},
            "but has 0 bytes",
        ),
        (
            {"a.npy": npy({"descr": "<f4", "fortran_order": False, "shape": (-1, -1)}, bytes(4))},
            "but has 4 bytes",
        ),
        (
            {"a.npy": npy({"descr": "|O", "fortran_order": False, "shape": ()}, b"x")},
            "object, which is not loaded",
        ),
    ],
)
def test_archives_of_other_kinds(tmp_path, members, message):
    archive(tmp_path / "a.npz", members)
    with pytest.raises(ValueError, match=f"a.npz: not a complete .npz file: .*({message})"):
        tg.load(tmp_path / "a.npz")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_nothing_is_ever_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match="object, which is not loaded"):
        tg.load(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a complete"):
        tg.load(tmp_path / "b.npz")


# ── all or nothing ───────────────────────────────────────────────────────────────────────


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    tg.save(path, STATE)

    def full(entry, array, **keywords):
        entry.write(b"half of i")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(io.npy, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        tg.save(path, {"other": np.ones(1000)})
    assert os.listdir(tmp_path) == ["a.npz"]
    assert_same(tg.load(path), STATE)


@pytest.mark.skipif(os.name != "posix", reason="links and permissions of POSIX")
def test_links_stay_links_and_permissions_are_as_usual(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "real" / "a.npz")
    tg.save(link, STATE)
    assert link.is_symlink()
    assert_same(tg.load(tmp_path / "real" / "a.npz"), STATE)
    before = os.umask(0o027)
    try:
        tg.save(tmp_path / "b.npz", STATE)
    finally:
        os.umask(before)
    assert (tmp_path / "b.npz").stat().st_mode & 0o777 == 0o640


def test_threads_that_save_to_one_path(tmp_path):
    path = tmp_path / "a.npz"

    def write(i):
        for _ in range(20):
            tg.save(path, {"a": np.full(500, i), "b": np.full(500, i)})

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            state = tg.load(path)
            assert (state["a"] == state["b"]).all()
    assert os.listdir(tmp_path) == ["a.npz"]


WRITER = """
import sys, numpy as np, tinygrad_rnn as tg
i = 0
while True:
    i += 1
    tg.save(sys.argv[1], {"a": np.full(20_000, i), "i": i, "b": {"c": np.full(20_000, i)}})
"""


def test_killed_while_it_saves(tmp_path):
    path = tmp_path / "a.npz"
    for seed in range(5):
        path.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", WRITER, path])
        try:
            deadline = time.monotonic() + 60
            while not path.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(random.Random(seed).uniform(0, 0.03))
        finally:
            process.kill()
            process.wait()
        state = tg.load(path)
        assert state["i"] >= 1
        assert (state["a"] == state["i"]).all()
        assert (state["b"]["c"] == state["i"]).all()


# ── .safetensors ─────────────────────────────────────────────────────────────────────────


def by_hand(path, tensors, metadata=None):
    """The format as its specification has it: length, JSON header, bytes."""
    header, data = {} if metadata is None else {"__metadata__": metadata}, b""
    for name, (dtype, shape, content) in tensors.items():
        end = len(data) + len(content)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), end]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def safetensors():
    return pytest.importorskip("safetensors")


@given(
    st.dictionaries(
        st.text(max_size=5).filter(lambda name: name != "__metadata__"),
        hnp.arrays(
            hnp.boolean_dtypes()
            | hnp.integer_dtypes(endianness="=")
            | hnp.unsigned_integer_dtypes(endianness="=")
            | hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
            hnp.array_shapes(min_dims=0, min_side=0, max_side=3, max_dims=3),
        ),
        max_size=4,
    )
)
def test_arrays_come_back_from_safetensors(folder, state):
    pytest.importorskip("safetensors")
    path = folder / "state.safetensors"
    tg.save(path, state)
    assert_same(tg.load(path), dict(sorted(state.items())))


def test_layouts_in_safetensors(tmp_path, safetensors):
    base = np.arange(12.0).reshape(3, 4)
    state = {"strided": base[:, ::2], "T": base.T, "big": base.astype(">f4"), "c": base + 1j}
    state["c"] = state["c"].astype(np.complex64)
    tg.save(tmp_path / "a.safetensors", state)
    for name, array in tg.load(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(array, state[name])
        assert array.dtype == state[name].dtype.newbyteorder("=")
        array[...] = 0  # writable


def test_a_state_dict_of_pytorch_loads_into_a_layer(tmp_path, safetensors):
    """Written by hand, as torch would: float32, row by row, with a note on where it is from."""
    rng = np.random.default_rng(0)
    shapes = {
        "weight_ih_l0": (16, 3),
        "weight_hh_l0": (16, 4),
        "bias_ih_l0": (16,),
        "bias_hh_l0": (16,),
    }
    weights = {name: rng.normal(size=shape).astype("<f4") for name, shape in shapes.items()}
    path = tmp_path / "lstm.safetensors"
    by_hand(
        path,
        {name: ("F32", list(w.shape), w.tobytes()) for name, w in weights.items()},
        {"format": "pt"},
    )
    layer = tg.nn.LSTM(3, 4)
    layer.load_state_dict(tg.load(path))
    for name, weight in layer.state_dict().items():
        np.testing.assert_array_equal(weight, weights[name])


def test_half_precision(tmp_path, safetensors):
    numbers = np.array([1.5, -2.0, 0.0, np.inf, 2.0**-100, 3.140625], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype("<u2")
    path = tmp_path / "a.safetensors"
    by_hand(
        path,
        {
            "bf16": ("BF16", [2, 3], upper.tobytes()),
            "f16": ("F16", [3], np.array([1.5, -2, 0], "<f2").tobytes()),
            "empty": ("BF16", [0, 4], b""),
        },
    )
    state = tg.load(path)
    assert state["bf16"].dtype == np.float32
    np.testing.assert_array_equal(state["bf16"], numbers.reshape(2, 3))
    assert_same(state["f16"], np.array([1.5, -2, 0], np.float16))
    assert state["empty"].shape == (0, 4)
    cell = tg.nn.Linear(3, 2, bias=False)  # halves become the layer's dtype
    cell.load_state_dict({"weight": state["bf16"].astype(np.float16)})
    assert cell.weight.dtype == np.float32


def test_dtypes_that_numpy_does_not_have(tmp_path, safetensors):
    by_hand(tmp_path / "a.safetensors", {"w": ("F8_E4M3", [2], b"\0\0")})
    with pytest.raises(ValueError, match="w is of dtype F8_E4M3, which NumPy does not have"):
        tg.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": np.ones(1)}}, "a flat dict of arrays, got dict as 'a'; .npz takes nested"),
        ({"a": 3}, "got int as 'a'"),
        ({1: np.ones(1)}, "strings as names, got 1"),
        ({"a": np.array(["x"])}, "cannot save 'a' of dtype <U1"),
        ({"a": np.ones(1, np.complex128)}, "cannot save 'a' of dtype complex128"),
    ],
)
def test_what_safetensors_does_not_take(tmp_path, safetensors, state, message):
    with pytest.raises(TypeError, match=message):
        tg.save(tmp_path / "a.safetensors", state)
    assert os.listdir(tmp_path) == []


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    by_hand(tmp_path / "a.safetensors", {})
    for call in (lambda path: tg.save(path, {}), tg.load):
        with pytest.raises(ImportError, match=r"pip install 'tinygrad_rnn\[safetensors\]'"):
            call(tmp_path / "a.safetensors")


@pytest.mark.peers
def test_exchange_with_pytorch(tmp_path, safetensors):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    theirs = torch.nn.LSTM(3, 4, num_layers=2)
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours = tg.nn.LSTM(3, 4, num_layers=2)
    ours.load_state_dict(tg.load(tmp_path / "theirs.safetensors"))
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    y, _ = ours(x)
    np.testing.assert_allclose(
        y.data, theirs(torch.from_numpy(x))[0].detach().numpy(), rtol=1e-4, atol=1e-6
    )
    tg.save(tmp_path / "ours.safetensors", ours.state_dict())
    for name, weight in load_file(tmp_path / "ours.safetensors").items():
        assert torch.equal(weight, theirs.state_dict()[name])
    bf16 = torch.randn(7).to(torch.bfloat16)
    save_file({"w": bf16}, tmp_path / "bf16.safetensors")
    np.testing.assert_array_equal(
        tg.load(tmp_path / "bf16.safetensors")["w"], bf16.to(torch.float32).numpy()
    )
