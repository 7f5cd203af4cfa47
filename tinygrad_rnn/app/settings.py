"""What a training run is made of: one table, from which options and checks both come."""

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
        default: its value if it is not given.
        kind: what values it takes: a Number, a tuple of words, or bool.
        meaning: for ``--help``.
        group: where ``--help`` lists it: model, text or training.
        metavar: what ``--help`` calls its value.
        fixed: whether a resumed run has to keep it.
    """

    default: Any
    kind: Number | tuple[str, ...] | type[bool]
    meaning: str
    group: str
    metavar: str | None = None
    fixed: bool = False

    def check(self, name: str, value: Any) -> Any:
        """A value that a program has passed, as checkpoints hold it.

        Raises:
            TypeError, ValueError: it is not one of those that the setting takes.
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


#: The learning rate as a function of the step, --lr, --steps, --warmup, and of the held-out losses.
SCHEDULES: dict[str, Schedule] = {
    "linear": lambda step, lr, steps, warmup, _: optim.linear_lr(step, lr, steps, warmup),
    "cosine": lambda step, lr, steps, warmup, _: optim.cosine_lr(step, lr, steps, warmup),
    "constant": lambda step, lr, steps, warmup, _: optim.constant_lr(step, lr, warmup),
    "one_cycle": lambda step, lr, steps, *_: optim.one_cycle(step, lr, steps),
    "plateau": _plateau,
}

_held_out = (
    f"part at the end that is measured on and not trained on, at most {MOST_HELD_OUT:,} symbols"
)
SETTINGS: dict[str, Setting] = {
    "cell": Setting("lstm", ("lstm", "gru", "rnn"), "recurrent cell", "model", fixed=True),
    "hidden": Setting(128, whole(1), "units in a layer", "model", "H", True),
    "layers": Setting(1, whole(1), "recurrent layers", "model", "L", True),
    "embedding": Setting(64, whole(1), "length of the vector of a symbol", "model", "D", True),
    "dropout": Setting(0.0, number(0, 1), "probability, between layers", "model", "P", True),
    "dtype": Setting("float32", ("float32", "float64"), "of all numbers", "model", fixed=True),
    "words": Setting(
        False, bool, "predict words (default: characters), bits per word", "text", fixed=True
    ),
    "vocabulary": Setting(
        10_000,
        whole(2),
        f"with --words: how many to keep, the most frequent ones; others are {UNKNOWN}",
        "text",
        "V",
        True,
    ),
    "held_out": Setting(0.1, number(0, 0.9), _held_out, "text", "PART", True),
    "bptt": Setting(
        64, whole(1), "steps that the gradient flows back", "training", "T", fixed=True
    ),
    "batch": Setting(32, whole(1), "parallel streams", "training", "N", fixed=True),
    "accumulate": Setting(
        1, whole(1), "windows whose gradients make one step", "training", "K", fixed=True
    ),
    "lr": Setting(0.01, number(0, above=True), "learning rate of Adam", "training", "RATE"),
    "schedule": Setting(
        "linear", tuple(SCHEDULES), "how the rate falls; plateau: halved when stuck", "training"
    ),
    "warmup": Setting(0, whole(0), "steps in which the rate rises first", "training", "STEPS"),
    "max_norm": Setting(
        1.0, number(0, infinite=True), "gradients are clipped to", "training", "NORM"
    ),
    "teacher_forcing": Setting(
        1.0,
        number(0, 1),
        "probability that a step reads the text and not what the model itself predicted",
        "training",
        "P",
    ),
    "patience": Setting(
        None,
        whole(1),
        "stop after K measurements that were not better, and keep the best model",
        "training",
        "K",
    ),
    "seed": Setting(0, whole(0), "of all random numbers", "training", fixed=True),
    "steps": Setting(2000, whole(1), "steps to train", "training"),
    "epochs": Setting(None, whole(1), "the same as times through the text", "training"),
}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a program has passed.

    Raises:
        TypeError: there is no such setting, or a value is of a wrong type.
        ValueError: a value is out of bounds, or ``steps`` and ``epochs`` are both given.
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
    """The settings of a run: those given, those of the run that goes on, and the defaults.

    Args:
        given: what the user said.
        before: the settings in the checkpoint; None for a new run.
        where: the checkpoint's name, for messages.

    Raises:
        Unusable: a setting that has to stay differs, or would have no effect.
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
        raise Unusable("--dropout acts between layers: it takes --layers 2 or more")
    if "vocabulary" in given and not settings["words"]:
        raise Unusable("--vocabulary has no effect without --words: all characters are kept")
    if settings["warmup"] and settings["schedule"] == "one_cycle":
        raise Unusable("--warmup has no effect with --schedule one_cycle, which has its own")
    if not settings["held_out"]:
        if settings["patience"] is not None:
            raise Unusable("--patience looks at the held-out part: it takes --held-out above 0")
        if settings["schedule"] == "plateau":
            raise Unusable("--schedule plateau looks at the held-out part: --held-out above 0")
    return settings
