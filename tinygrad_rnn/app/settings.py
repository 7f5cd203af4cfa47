"""The settings of a training run: one table for command-line options and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from .. import optim
from .arguments import Number, Unusable, number, option, whole

UNKNOWN = "<unk>"
MOST_HELD_OUT = 200_000  # symbols: more would only make the same figure slower


class Settings(TypedDict, total=False):
    """The settings of :func:`tg.train`, by name."""

    cell: str
    hidden: int
    layers: int
    embedding: int
    dropout: float
    dtype: str
    words: bool
    vocabulary: int
    held_out: float
    bptt: int
    batch: int
    accumulate: int
    lr: float
    schedule: str
    warmup: int
    max_norm: float
    teacher_forcing: float
    patience: int | None
    seed: int
    steps: int
    epochs: int | None


@dataclass(frozen=True)
class Setting:
    """One setting of a run.

    Args:
        default: the default value.
        kind: the legal values: a Number, a tuple of words, or bool.
        meaning: the text for ``--help``.
        group: the section of ``--help``: model, text or training.
        metavar: the name of the value in ``--help``.
        fixed: whether a resumed run has to keep the value.
    """

    default: Any
    kind: Number | tuple[str, ...] | type[bool]
    meaning: str
    group: str
    metavar: str | None = None
    fixed: bool = False

    def check(self, name: str, value: Any) -> Any:
        """Check a value that a program has passed, and convert it for checkpoints.

        Raises:
            TypeError, ValueError: the value is not legal.
        """
        if value is None and self.default is None:
            return None
        if isinstance(self.kind, Number):
            self.kind.check(name, value)
            return value.item() if hasattr(value, "item") else value
        if not isinstance(self.kind, tuple):
            if not isinstance(value, bool):
                raise TypeError(f"{name}: expected a bool, got {value!r}")
        elif value not in self.kind:
            raise ValueError(f"{name}: expected {' or '.join(self.kind)}, got {value!r}")
        return value


Schedule = Callable[[int, float, int, int, list[float]], float]


def _plateau(step: int, lr: float, steps: int, warmup: int, measured: list[float]) -> float:
    if step < warmup:
        return optim.warmup(step, lr, warmup)
    return optim.reduce_on_plateau(measured, lr, factor=0.5, patience=1)


#: The learning rate as a function of the step, --lr, --steps, --warmup and the held-out losses.
SCHEDULES: dict[str, Schedule] = {
    "linear": lambda step, lr, steps, warmup, _: optim.linear_lr(step, lr, steps, warmup),
    "cosine": lambda step, lr, steps, warmup, _: optim.cosine_lr(step, lr, steps, warmup),
    "constant": lambda step, lr, steps, warmup, _: optim.constant_lr(step, lr, warmup),
    "one_cycle": lambda step, lr, steps, *_: optim.one_cycle(step, lr, steps),
    "plateau": _plateau,
}

_held_out = f"part at the end that is only for measuring, at most {MOST_HELD_OUT:,} symbols"
SETTINGS: dict[str, Setting] = {
    "cell": Setting("lstm", ("lstm", "gru", "rnn"), "recurrent cell", "model", fixed=True),
    "hidden": Setting(128, whole(1), "units in a layer", "model", "H", True),
    "layers": Setting(1, whole(1), "recurrent layers", "model", "L", True),
    "embedding": Setting(64, whole(1), "length of the vector of a symbol", "model", "D", True),
    "dropout": Setting(0.0, number(0, 1), "probability, between layers", "model", "P", True),
    "dtype": Setting("float32", ("float32", "float64"), "of all numbers", "model", fixed=True),
    "words": Setting(
        False,
        bool,
        "predict words instead of characters; losses are then in bits per word",
        "text",
        fixed=True,
    ),
    "vocabulary": Setting(
        10_000,
        whole(2),
        f"with --words: keep the V most frequent words; all others become {UNKNOWN}",
        "text",
        "V",
        True,
    ),
    "held_out": Setting(0.1, number(0, 0.9), _held_out, "text", "PART", True),
    "bptt": Setting(
        64, whole(1), "time steps that the gradient goes back", "training", "T", fixed=True
    ),
    "batch": Setting(32, whole(1), "parallel streams", "training", "N", fixed=True),
    "accumulate": Setting(1, whole(1), "windows in one training step", "training", "K", fixed=True),
    "lr": Setting(0.01, number(0, above=True), "learning rate of Adam", "training", "RATE"),
    "schedule": Setting(
        "linear",
        tuple(SCHEDULES),
        "how the learning rate falls; plateau halves it when the loss stops falling",
        "training",
    ),
    "warmup": Setting(
        0, whole(0), "first steps, in which the learning rate rises", "training", "STEPS"
    ),
    "max_norm": Setting(
        1.0, number(0, infinite=True), "clip gradients to this norm", "training", "NORM"
    ),
    "teacher_forcing": Setting(
        1.0,
        number(0, 1),
        "probability that a time step reads the text and not the model's own prediction",
        "training",
        "P",
    ),
    "patience": Setting(
        None,
        whole(1),
        "stop after K measurements without a better one, and keep the best model",
        "training",
        "K",
    ),
    "seed": Setting(0, whole(0), "for all random numbers", "training", fixed=True),
    "steps": Setting(2000, whole(1), "number of training steps", "training"),
    "epochs": Setting(None, whole(1), "number of passes through the text", "training"),
}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings that a program has passed.

    Raises:
        TypeError: there is no such setting, or a value has a wrong type.
        ValueError: a value is out of bounds, or both ``steps`` and ``epochs`` were passed.
    """
    for name in given:
        if name not in SETTINGS:
            raise TypeError(f"train: there is no setting {name!r}; there is {', '.join(SETTINGS)}")
    if given.get("steps") is not None and given.get("epochs") is not None:
        raise ValueError("train: steps and epochs say the same; give one of them")
    return {name: SETTINGS[name].check(f"train: {name}", x) for name, x in given.items()}


def complete(
    given: Mapping[str, Any], before: Mapping[str, Any] | None, where: str
) -> dict[str, Any]:
    """Complete the settings of a run from those of its checkpoint and the defaults.

    Args:
        given: the settings that the user passed.
        before: the settings in the checkpoint; None for a new run.
        where: the name of the checkpoint, for messages.

    Raises:
        Unusable: a fixed setting differs from the checkpoint's, or a setting has no effect.
    """
    settings = {name: setting.default for name, setting in SETTINGS.items()}
    if before is not None:
        for name, setting in SETTINGS.items():
            if setting.fixed and name in given and name in before and given[name] != before[name]:
                raise Unusable(
                    f"{where} was trained with {option(name)} {before[name]}, not {given[name]}; "
                    f"leave {option(name)} out to go on with it"
                )
        settings |= before
        if "steps" in given:
            settings["epochs"] = None
    settings |= given
    if settings["dropout"] and settings["layers"] == 1:
        raise Unusable("--dropout acts between layers: it needs --layers 2 or more")
    if "vocabulary" in given and not settings["words"]:
        raise Unusable("--vocabulary has no effect without --words: all characters are kept")
    if settings["warmup"] and settings["schedule"] == "one_cycle":
        raise Unusable("--warmup has no effect with --schedule one_cycle, which has its own")
    if not settings["held_out"]:
        if settings["patience"] is not None:
            raise Unusable("--patience needs a held-out part: --held-out above 0")
        if settings["schedule"] == "plateau":
            raise Unusable("--schedule plateau needs a held-out part: --held-out above 0")
    return settings
