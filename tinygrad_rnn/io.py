"""Saving and loading: nested dicts in ``.npz``, flat dicts of arrays in ``.safetensors``.

A ``.npz`` written here is an ordinary NumPy archive: one ``.npy`` per array, under its path in the
dict, so that ``np.load`` reads it too. One more entry, ``structure.json``, holds everything else:
the nesting, the order, numbers, strings. Nothing is ever pickled, so loading a file runs no code.

Files are replaced in one step, and the same state gives the same bytes.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np
from numpy import ndarray
from numpy.lib import format as npy

from .files import replacing
from .tensor import Tensor

_structure = "structure.json"
_comment = b"tinygrad_rnn"  # at the very end of an archive that has a structure, and is whole
_kinds = "biufcmMSU"  # of array elements: numbers, times and strings; whatever is no object


def save(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state into a file, which at every moment holds the old state or the new one, whole.

    The bytes go into a temporary file in the same folder, reach the disk, and then take the name:
    a process that is killed may leave the temporary file behind, never half of ``path``. An
    existing file keeps its mode, owner and links; what is no regular file is written to.

    Args:
        path: its suffix says the format. ``.npz``: a dict with strings as keys, and in it, at any
            depth, dicts, lists, tuples, arrays (of numbers, times or strings), NumPy scalars,
            Python's int, float, bool, str and None, all of which :func:`load` gives back as they
            were. ``.safetensors``: a flat dict of arrays of numbers
            (``pip install 'tinygrad_rnn[safetensors]'``). Both take Tensors and Parameters, as
            their arrays.
        state: what to save, as ``module.state_dict()``, ``optimizer.state_dict()`` or
            ``generator.bit_generator.state`` give it, or a dict of such.

    Raises:
        ValueError: another suffix; a state that holds itself, or is nested too deeply; in
            ``.safetensors`` the name ``__metadata__``, which the format keeps for itself.
        TypeError: something in the state that the format has no place for; the message says where.
        OSError: the folder does not exist, cannot be written into, or is full; the file is
            read-only.
        ImportError: a ``.safetensors`` file without the package that writes it.

    >>> import os, tempfile
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> model, rng = tg.nn.LSTMCell(3, 4, rng=0), np.random.default_rng(1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "checkpoint.npz")
    ...     tg.save(path, {"model": model.state_dict(), "rng": rng.bit_generator.state, "step": 7})
    ...     state = tg.load(path)
    >>> model.load_state_dict(state["model"])
    >>> state["rng"] == rng.bit_generator.state, state["step"]
    (True, 7)
    """
    path = Path(path)
    encode, _ = _format(path)
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected a dict, got {type(state).__name__}")
    write = encode(state)
    with replacing(path) as file:
        write(file)


def load(path: str | os.PathLike[str] | IO[bytes]) -> dict[str, Any]:
    """Read what :func:`save` wrote.

    Args:
        path: a ``.npz`` or ``.safetensors`` file, or an open file in binary mode, which is read as
            ``.npz``. Archives of NumPy's own (``np.savez``) give a flat dict of their arrays. Of
            ``.safetensors``, bfloat16 becomes float32, which holds all its numbers; everything
            else keeps its dtype.

    Returns:
        The state; its arrays are writable and nobody else's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, or the file is damaged, cut short, or of another kind.
        ImportError: a ``.safetensors`` file without the package that reads it.
    """
    if isinstance(path, (str, os.PathLike)):
        name = Path(path)
        suffix = name.suffix
        _, decode = _format(name)
        content, shown = name.read_bytes(), str(name)
    else:
        suffix = ".npz"
        _, decode = _formats[suffix]
        content, shown = path.read(), "the file given"
    try:
        return decode(content)
    except _damage as error:
        raise ValueError(f"{shown}: not a complete {suffix} file: {error}") from error


# What the standard library and NumPy raise on bytes that are not what they should be.
_damage = (
    ValueError,  # with UnicodeDecodeError and json.JSONDecodeError
    KeyError,
    EOFError,
    OverflowError,
    RecursionError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # encrypted
    zipfile.BadZipFile,
    zlib.error,
)

_Encode = Callable[[Mapping[str, Any]], Callable[[IO[bytes]], object]]
_Decode = Callable[[bytes], dict[str, Any]]


def _format(path: Path) -> tuple[_Encode, _Decode]:
    suffix = path.suffix.lower()
    if suffix not in _formats:
        raise ValueError(
            f"expected a path that ends in {' or '.join(_formats)}, got {os.fspath(path)!r}"
        )
    return _formats[suffix]


# ── .npz ─────────────────────────────────────────────────────────────────────────────────


def _encode_npz(state: Mapping[str, Any]) -> Callable[[IO[bytes]], None]:
    arrays: dict[str, ndarray] = {}
    try:
        structure = {"format": "tinygrad_rnn", "version": 1, "state": _to_json(state, (), arrays)}
        text = json.dumps(structure, separators=(",", ":"))
    except RecursionError:
        raise ValueError("save: the state is nested too deeply") from None

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = _comment
            # A ZipInfo of its own has a fixed date: the same state gives the same bytes.
            archive.writestr(zipfile.ZipInfo(_structure), text)
            for name, array in arrays.items():
                info = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(info, "w", force_zip64=True) as entry:
                    npy.write_array(entry, array, allow_pickle=False)

    return write


def _to_json(
    x: Any, path: tuple[str, ...], arrays: dict[str, ndarray], around: tuple[int, ...] = ()
) -> Any:
    """A value as JSON; arrays go into ``arrays`` and leave their name.

    What JSON has no word for is an object with one key that says what it is. Types are compared
    exactly: a subclass would come back as something else than what went in.

    Args:
        x: the value.
        path: the keys that lead to it.
        arrays: by their names, added to.
        around: the ids of the containers that it stands in.
    """
    if id(x) in around:
        raise ValueError(f"save: the state holds itself{_at(path)}")
    if isinstance(x, Tensor):
        x = np.asarray(x.data)
    if x is None or type(x) in (bool, int, float, str):
        return x
    if isinstance(x, Mapping):
        for key in x:
            if type(key) is not str:
                raise TypeError(f"save: expected strings as keys{_at(path)}, got {key!r}")
        within = (*around, id(x))
        return {"dict": {key: _to_json(x[key], (*path, key), arrays, within) for key in x}}
    if type(x) in (list, tuple):
        within = (*around, id(x))
        members = [_to_json(member, (*path, str(i)), arrays, within) for i, member in enumerate(x)]
        return members if type(x) is list else {"tuple": members}
    if type(x) is ndarray or isinstance(x, np.generic):
        array = np.asarray(x)
        if array.dtype.kind not in _kinds:
            raise TypeError(f"save: no place for an array of dtype {array.dtype}{_at(path)}")
        # Quoted, no part holds a slash: different paths have different names.
        name = "/".join(quote(part, safe=" ", errors="surrogatepass") for part in path)
        arrays[name] = array
        return {"array" if type(x) is ndarray else "scalar": name}
    raise TypeError(f"save: no place for a {type(x).__name__}{_at(path)}")


def _at(path: tuple[str, ...]) -> str:
    return f" at {'/'.join(path)}" if path else ""


def _decode_npz(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        arrays: dict[str, ndarray] = {}
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                arrays[info.filename[:-4]] = _array(archive.read(info), info.filename)
        ours = _structure in archive.namelist()
        if ours != (archive.comment == _comment):
            raise ValueError("its parts do not fit together")
        if not ours and not arrays:
            raise ValueError("it has no arrays")
        if not ours:
            return dict(arrays)
        structure = json.loads(archive.read(_structure))
    if not isinstance(structure, dict) or structure.get("format") != "tinygrad_rnn":
        raise ValueError(f"its {_structure} is not one of tinygrad_rnn's")
    if structure.get("version") != 1:
        raise ValueError(f"expected version 1 of the format, got {structure.get('version')!r}")
    state = _from_json(structure.get("state"), arrays)
    if not isinstance(state, dict):
        raise ValueError(f"its {_structure} describes no dict")
    return state


def _from_json(node: Any, arrays: dict[str, ndarray]) -> Any:
    if isinstance(node, list):
        return [_from_json(member, arrays) for member in node]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        [(kind, content)] = node.items()
        if kind == "dict" and isinstance(content, dict):
            return {key: _from_json(member, arrays) for key, member in content.items()}
        if kind == "tuple" and isinstance(content, list):
            return tuple(_from_json(member, arrays) for member in content)
        if kind in ("array", "scalar") and isinstance(content, str):
            if content not in arrays:
                raise ValueError(f"the array {content} is missing")
            return arrays[content] if kind == "array" else arrays[content][()]
    raise ValueError(f"its {_structure} has an entry of unknown kind: {str(node)[:60]}")


def _array(content: bytes, name: str) -> ndarray:
    """The array in a ``.npy`` file, whose header is not trusted with more than the bytes there."""
    file = BytesIO(content)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} has version {version} of the .npy format")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    if dtype.kind not in _kinds:
        raise ValueError(f"{name} holds {dtype}, which is not loaded")
    rest = len(content) - file.tell()
    if min(shape, default=0) < 0 or rest != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} should hold {dtype} {shape}, and has {rest} bytes")
    array = np.empty(shape, dtype, "F" if fortran_order else "C")
    flat = array.reshape(-1, order="A")  # a view: in the order of the bytes
    flat[...] = np.frombuffer(content, dtype, flat.size, file.tell())
    return array


# ── .safetensors ─────────────────────────────────────────────────────────────────────────

_safetensors_dtypes = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "<c8",
}
_writable = {np.dtype(code) for code in _safetensors_dtypes.values()}


def _encode_safetensors(state: Mapping[str, Any]) -> Callable[[IO[bytes]], object]:
    serialize = _safetensors("numpy").save
    arrays = {}
    for name, array in state.items():
        if type(name) is not str:
            raise TypeError(f"save: expected strings as names, got {name!r}")
        if name == "__metadata__":
            raise ValueError("save: .safetensors keeps the name '__metadata__' for itself")
        if isinstance(array, Tensor):
            array = np.asarray(array.data)
        if type(array) is not ndarray:
            raise TypeError(
                f"save: a .safetensors file is a flat dict of arrays, got {type(array).__name__} "
                f"as {name!r}; .npz takes nested dicts, numbers and strings"
            )
        if array.dtype.newbyteorder("<") not in _writable:
            raise TypeError(f"save: .safetensors has no place for {name!r} of dtype {array.dtype}")
        # The package writes memory as it lies, whatever the strides say.
        arrays[name] = np.array(array, array.dtype.newbyteorder("="), order="C")
    content = serialize(arrays)
    return lambda file: file.write(content)


def _decode_safetensors(content: bytes) -> dict[str, Any]:
    package = _safetensors()
    try:
        entries = package.deserialize(content)
    except package.SafetensorError as error:
        raise ValueError(str(error)) from error
    return {name: _tensor(name, entry) for name, entry in sorted(entries, key=itemgetter(0))}


def _tensor(name: str, entry: Mapping[str, Any]) -> ndarray:
    dtype, data, shape = entry["dtype"], entry["data"], entry["shape"]
    if dtype == "BF16":  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    if dtype not in _safetensors_dtypes:
        raise ValueError(f"{name} is of dtype {dtype}, which NumPy does not have")
    stored = np.dtype(_safetensors_dtypes[dtype])
    return np.frombuffer(data, stored).reshape(shape).astype(stored.newbyteorder("="))


def _safetensors(module: str | None = None) -> Any:
    import importlib

    try:
        return importlib.import_module("safetensors" + (f".{module}" if module else ""))
    except ImportError:
        raise ImportError(
            ".safetensors files need the package of that name: "
            "pip install 'tinygrad_rnn[safetensors]'"
        ) from None


_formats: dict[str, tuple[_Encode, _Decode]] = {
    ".npz": (_encode_npz, _decode_npz),
    ".safetensors": (_encode_safetensors, _decode_safetensors),
}

__all__ = ["load", "replacing", "save"]
