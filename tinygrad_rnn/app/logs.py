"""Where a run's numbers go besides the loss curve: JSON lines, and TensorBoard's event files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

from ..files import replacing
from .arguments import Unusable

LOG_KIND = "tinygrad_rnn training log"


class Log(Protocol):
    """What is told every step's numbers."""

    def write(self, record: dict[str, Any]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class JsonLog:
    """A file with one JSON object a line: the settings first, then a line for every step.

    A line holds ``step``, ``loss`` (in nats), ``bits``, ``lr`` and, where it was measured,
    ``held_out`` (in bits). A run that goes on drops the lines of steps that its checkpoint does
    not have.

    Args:
        path: the file.
        settings: of the run.
        step: how many steps the checkpoint has; 0 starts a new file.

    Raises:
        OSError: it cannot be written.
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
        """Whether there is nothing at the path but an older log."""
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
    """The step of a line; one that a kill has cut short counts as the latest of all."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class TensorBoard:
    """TensorBoard's event files, written by tensorboardX.

    Args:
        folder: where they go, and where ``tensorboard --logdir`` finds them.
        step: how many steps the checkpoint has; later ones of an earlier run are hidden.

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
            filename_suffix=f".{os.getpid()}.{step}",  # or two runs within a second share a file
        )

    def write(self, record: dict[str, Any]) -> None:
        for name, number in record.items():
            if name != "step":
                self._writer.add_scalar(name, number, record["step"])

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
