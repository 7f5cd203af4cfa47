"""Logs of a run: JSON lines, and TensorBoard's event files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

from ..files import replacing
from .arguments import Unusable

LOG_KIND = "tinygrad_rnn training log"


class Log(Protocol):
    """A log that gets the numbers of every step."""

    def write(self, record: dict[str, Any]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class JsonLog:
    """A file with one JSON object in each line: first the settings, then a line for every step.

    A line has ``step``, ``loss`` (in nats), ``bits``, ``lr`` and, after a measurement,
    ``held_out`` (in bits). A resumed run drops the lines of steps after its checkpoint.

    Args:
        path: the file.
        settings: the settings of the run.
        step: the step of the checkpoint; 0 starts a new file.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any], step: int):
        first = {"kind": LOG_KIND, "settings": settings}
        lines = [json.dumps(first, ensure_ascii=False)]
        if step and path.is_file():
            with open(path, encoding="utf-8", errors="replace") as file:
                next(file, None)
                lines += [line.rstrip("\n") for line in file if _step_of(line) <= step]
        if path.exists() and not path.is_file():  # a FIFO or a device
            self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115
            self._file.write("\n".join(lines) + "\n")
        else:
            with replacing(path) as new:
                new.write(("\n".join(lines) + "\n").encode("utf-8"))
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 # closed in close()

    @staticmethod
    def is_free(path: Path) -> bool:
        """Return whether the path is free, or has an older log."""
        if not path.is_file() or not path.stat().st_size:
            return True
        with open(path, "rb") as file:
            return LOG_KIND.encode() in file.read(100)

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")

    def flush(self) -> None:
        self._file.flush()
        if self._file.seekable():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _step_of(line: str) -> float:
    """Return the step of a line, or infinity if the line is incomplete."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class TensorBoard:
    """TensorBoard's event files, written by tensorboardX.

    Args:
        folder: the folder for the files, for ``tensorboard --logdir``.
        step: the step of the checkpoint. Later steps of an earlier run are hidden.

    Raises:
        Unusable: tensorboardX is not installed.
    """

    def __init__(self, folder: Path, step: int):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise Unusable(
                "TensorBoard's event files need tensorboardX: "
                "pip install 'tinygrad_rnn[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(
            str(folder),
            purge_step=step + 1 if step else None,
            # Without this, two runs within one second would share a file.
            filename_suffix=f".{os.getpid()}.{step}",
        )

    def write(self, record: dict[str, Any]) -> None:
        for name, number in record.items():
            if name != "step":
                self._writer.add_scalar(name, number, record["step"])

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
