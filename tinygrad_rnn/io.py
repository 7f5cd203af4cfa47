"""Saving and loading: nested dicts in ``.npz``, flat dicts of arrays in ``.safetensors``.

A ``.npz`` written here is an ordinary NumPy archive with one ``.npy`` for each array, named by its
path in the dict. So ``np.load`` reads it too. One more entry, ``structure.json``, has the rest: the
nesting, the order, numbers, strings. Nothing is pickled, so loading a file runs no code.

A file is replaced in one step. The same state gives the same bytes.
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
_comment = b"tinygrad_rnn"  # the last bytes of an archive that has a structure: it is complete
_kinds = "biufcmMSU"  # the dtypes that are saved: numbers, times and strings, but not objects


def save(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Save a state to a file. At every moment the file has the complete old or new state.

    The bytes go into a temporary file in the same folder. When they are on the disk, the temporary
    file gets the name. If the process is killed, the temporary file may remain, but ``path`` is
    never half written. An existing file keeps its mode, owner and links.

    Args:
        path: its suffix is the format. ``.npz`` takes a dict with strings as keys. It may
            contain, at any depth, dicts, lists, tuples, arrays (of numbers, times or strings),
            NumPy scalars, and Python's int, float, bool, str and None. :func:`load` returns all of
            them unchanged.
            ``.safetensors`` takes a flat dict of arrays of numbers
            (``pip install 'tinygrad_rnn[safetensors]'``). Both save Tensors and Parameters as their
            arrays.
        state: the state, such as ``module.state_dict()``, ``optimizer.state_dict()``,
            ``generator.bit_generator.state``, or a dict of these.

    Raises:
        ValueError: the suffix is unknown; the state contains itself or is nested too deeply; or a
            name in ``.safetensors`` is ``__metadata__``, which the format reserves.
        TypeError: the format cannot save a part of the state; the message says where it is.
        OSError: the folder does not exist, cannot be written into, or is full; the file is
            read-only.
        ImportError: the package ``safetensors`` is not installed.

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
    """Load a state that :func:`save` wrote.

    Args:
        path: a ``.npz`` or ``.safetensors`` file; or an open file in binary mode, which is read as
            ``.npz``. An archive of ``np.savez`` gives a flat dict of its arrays. In
            ``.safetensors``, bfloat16 becomes float32, without loss; everything else keeps its
            dtype.

    Returns:
        The state. Its arrays are new and writable.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the suffix is unknown; or the file is damaged, cut short, or of another kind.
        ImportError: the package ``safetensors`` is not installed.
    """
    if isinstance(path, (str, os.PathLike)):
        name = Path(path)
        suffix = name.suffix
        _, decode = _format(name)
        content, label = name.read_bytes(), str(name)
    else:
        suffix = ".npz"
        _, decode = _formats[suffix]
        content, label = path.read(), "the open file"
    try:
        return decode(content)
    except _damage as error:
        raise ValueError(f"{label}: not a complete {suffix} file: {error}") from error


# The exceptions of the standard library and NumPy for damaged files.
_damage = (
    ValueError,  # and its subclasses UnicodeDecodeError and json.JSONDecodeError
    KeyError,
    EOFError,
    OverflowError,
    RecursionError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an encrypted archive
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
            # A ZipInfo has a fixed date by default, so the same state gives the same bytes.
            archive.writestr(zipfile.ZipInfo(_structure), text)
            for name, array in arrays.items():
                info = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(info, "w", force_zip64=True) as entry:
                    npy.write_array(entry, array, allow_pickle=False)

    return write


def _to_json(
    x: Any, path: tuple[str, ...], arrays: dict[str, ndarray], around: tuple[int, ...] = ()
) -> Any:
    """Convert a value to JSON. Arrays are added to ``arrays``, and the JSON has their names.

    A type that JSON does not have becomes an object with one key, which names the type. Types are
    compared exactly, since a subclass would be loaded as its base class.

    Args:
        x: the value.
        path: the keys that lead to it.
        arrays: by name; arrays in x are added.
        around: the ids of the containers that x is in.
    """
    if id(x) in around:
        raise ValueError(f"save: the state contains itself{_at(path)}")
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
            raise TypeError(f"save: cannot save an array of dtype {array.dtype}{_at(path)}")
        # Quoting leaves no slash in a part, so different paths have different names.
        name = "/".join(quote(part, safe=" ", errors="surrogatepass") for part in path)
        arrays[name] = array
        return {"array" if type(x) is ndarray else "scalar": name}
    raise TypeError(f"save: cannot save a {type(x).__name__}{_at(path)}")


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
            raise ValueError("its parts do not belong together")
        if not ours and not arrays:
            raise ValueError("it has no arrays")
        if not ours:
            return dict(arrays)
        structure = json.loads(archive.read(_structure))
    if not isinstance(structure, dict) or structure.get("format") != "tinygrad_rnn":
        raise ValueError(f"its {_structure} is not in the format of tinygrad_rnn")
    if structure.get("version") != 1:
        raise ValueError(f"expected version 1 of the format, got {structure.get('version')!r}")
    state = _from_json(structure.get("state"), arrays)
    if not isinstance(state, dict):
        raise ValueError(f"its {_structure} does not describe a dict")
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
    """Read the array in a ``.npy`` file. Its header must agree with the number of bytes."""
    file = BytesIO(content)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} has version {version} of the .npy format")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    if dtype.kind not in _kinds:
        raise ValueError(f"{name} has dtype {dtype}, which is not loaded")
    rest = len(content) - file.tell()
    if min(shape, default=0) < 0 or rest != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} should be {dtype} {shape}, but has {rest} bytes")
    array = np.empty(shape, dtype, "F" if fortran_order else "C")
    flat = array.reshape(-1, order="A")  # a view, in the order of the bytes
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
            raise ValueError("save: .safetensors reserves the name '__metadata__'")
        if isinstance(array, Tensor):
            array = np.asarray(array.data)
        if type(array) is not ndarray:
            raise TypeError(
                f"save: a .safetensors file is a flat dict of arrays, got {type(array).__name__} "
                f"as {name!r}; .npz takes nested dicts, numbers and strings"
            )
        if array.dtype.newbyteorder("<") not in _writable:
            raise TypeError(f"save: .safetensors cannot save {name!r} of dtype {array.dtype}")
        # The package writes the memory as it is and ignores strides, so make it contiguous.
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
    if dtype == "BF16":  # the upper 16 bits of a float32
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
            ".safetensors files need the package safetensors: "
            "pip install 'tinygrad_rnn[safetensors]'"
        ) from None


_formats: dict[str, tuple[_Encode, _Decode]] = {
    ".npz": (_encode_npz, _decode_npz),
    ".safetensors": (_encode_safetensors, _decode_safetensors),
}

__all__ = ["load", "replacing", "save"]
