"""Watch it learn: trainings that run in the background, and the nets at each of their stages."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import nn, optim, viz
from ...tensor import Tensor
from ..arguments import Unusable
from .nets import LAYERS, chosen, within
from .tasks import TASKS, Task, text_task
from .what_if import MAPS

_STAGES = 100  # the parameters are kept at so many steps
_BATCH = 32
_MOST_TEXT = 2_000_000


class Net(nn.Module):
    """A recurrent layer, and a linear one that answers at every step."""

    def __init__(self, kind: str, task: Task, hidden: int, bias: float, rng: np.random.Generator):
        self.rnn = LAYERS[kind](task.inputs, hidden, rng=rng)
        self.out = nn.Linear(hidden, task.outputs, rng=rng)
        if kind != "RNN":  # the bias of the gate that keeps the state: forget, or update
            start = self.rnn.bias_ih_l0.numpy()
            start[hidden : 2 * hidden] = bias
            self.rnn.bias_ih_l0.data = start

    def forward(self, x: Any, unroll: bool = False) -> Tensor:
        y, _ = self.rnn(x, unroll=unroll)
        answers: Tensor = self.out(y)
        return answers


class Training:
    """One training in a thread of its own, which can pause and go on.

    Args:
        given: the values of the page's controls.

    Raises:
        Unusable: a control is out of bounds.
    """

    def __init__(self, given: Mapping[str, Any]):
        self.name = chosen(given, "task", (*TASKS, "text"), "recall")
        self.kind = chosen(given, "kind", tuple(LAYERS), "LSTM")
        self.T = within(given, "steps", 6, 200, 20)
        self.hidden = within(given, "hidden", 1, 128, 32)
        self.bias = within(given, "bias", -8.0, 8.0, 3.0)
        self.total = within(given, "total", 1, 100_000, 1000)
        self.lr = within(given, "lr", 1e-6, 1.0, 0.01)
        self.seed = within(given, "seed", 0, 10**9, 0)
        self.task = self._task(given)
        rng = np.random.default_rng(self.seed)
        self.net = Net(self.kind, self.task, self.hidden, self.bias, rng)
        self.optimiser = optim.Adam(self.net.parameters(), lr=self.lr)
        self.losses: list[float] = []
        self.right: list[tuple[int, float]] = []
        self.stages: dict[int, dict[str, Any]] = {0: self.net.state_dict()}
        self.error = ""
        self._go, self._over = threading.Event(), False
        self._go.set()
        self._lock = threading.Lock()
        self._rng = np.random.default_rng([self.seed, 1])
        self.sample, _ = self.task.batch(np.random.default_rng([self.seed, 2]), self.T, 1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _task(self, given: Mapping[str, Any]) -> Task:
        if self.name != "text":
            return TASKS[self.name]
        text = given.get("text", "")
        if not isinstance(text, str) or len(text) > _MOST_TEXT:
            raise Unusable(f"text: expected at most {_MOST_TEXT:,} characters")
        try:
            return text_task(text)
        except ValueError as error:
            raise Unusable(str(error)) from None

    def _run(self) -> None:
        every = max(1, self.total // _STAGES)
        try:
            for step in range(1, self.total + 1):
                self._go.wait()
                if self._over:
                    return
                x, target = self.task.batch(self._rng, self.T, _BATCH)
                answers = self.net(x)
                loss = self.task.loss(answers, target)
                self.net.zero_grad()
                loss.backward()
                optim.clip_grad_norm_(self.net.parameters(), 1.0)
                self.optimiser.step()
                with self._lock:
                    self.losses.append(loss.item())
                    if step % every == 0 or step == self.total:
                        self.stages[step] = self.net.state_dict()
                        self.right.append((step, self.task.right(answers.numpy(), target)))
                if not np.isfinite(self.losses[-1]):
                    raise FloatingPointError(f"the loss is {self.losses[-1]} at step {step}")
        except Exception as error:  # the page shows it
            self.error = f"{type(error).__name__}: {error}"

    def pause(self, paused: bool) -> None:
        if paused:
            self._go.clear()
        else:
            self._go.set()

    def end(self) -> None:
        self._over = True
        self._go.set()
        self._thread.join(5)

    def state(self, since: int) -> dict[str, Any]:
        """Return the losses after step ``since``, and the steps whose parameters are kept."""
        with self._lock:
            return {
                "step": len(self.losses),
                "total": self.total,
                "losses": self.losses[since:],
                "right": [list(pair) for pair in self.right],
                "stages": list(self.stages),
                "running": self._thread.is_alive() and self._go.is_set(),
                "over": not self._thread.is_alive(),
                "error": self.error,
                "says": self.task.says,
            }

    def at(self, step: int) -> dict[str, Any]:
        """Return the pictures of one stage, always for the same sequence."""
        with self._lock:
            parameters = self.stages.get(step)
        if parameters is None:
            raise Unusable(f"step: the parameters of step {step} were not kept")
        net = Net(self.kind, self.task, self.hidden, 0.0, np.random.default_rng(0))
        net.load_state_dict(parameters)
        answers = net(self.sample, unroll=True)
        target = answers.numpy()[-1, 0]
        loss = answers[-1, 0, int(np.argmax(np.abs(target)))]
        symbols = self.task.symbols(self.sample[:, 0])
        with np.errstate(all="ignore"):
            flow = viz.gradient_flow(loss, text=symbols)
            activations = flow.activations()
        maps = {name: activations[name] for name in MAPS[self.kind]}
        return {
            "step": step,
            "flow": flow.svg(theme="auto"),
            "maps": viz.heat_map(maps, symbols, title="gates and states").svg(theme="auto"),
            "reason": flow.reason,
        }

    def code(self) -> str:
        """Return Python code that does the same."""
        task = (
            f'TASKS["{self.name}"]' if self.name != "text" else 'text_task(open("text.txt").read())'
        )
        size = f"task.inputs, {self.hidden}"
        return f"""import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn.app.explore.tasks import TASKS, text_task

task = {task}  # {self.task.says}
rng = np.random.default_rng({self.seed})
rnn, out = tg.nn.{self.kind}({size}, rng=rng), tg.nn.Linear({self.hidden}, task.outputs, rng=rng)
{self._code_of_bias()}parameters = [*rnn.parameters(), *out.parameters()]
optimiser = tg.optim.Adam(parameters, lr={self.lr})
batches = np.random.default_rng([{self.seed}, 1])
for step in range({self.total}):
    x, target = task.batch(batches, {self.T}, {_BATCH})
    y, _ = rnn(x)
    loss = task.loss(out(y), target)
    optimiser.zero_grad()
    loss.backward()
    tg.optim.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    if step % 100 == 0:
        print(step, loss.item())

y, _ = rnn(x[:, :1], unroll=True)
print(tg.gradient_flow(out(y)[-1, 0, 0]))
tg.heat_map(tg.activations(y)).save("gates.svg")"""

    def _code_of_bias(self) -> str:
        if self.kind == "RNN":
            return ""
        H, gate = self.hidden, "forget" if self.kind == "LSTM" else "update"
        return f"""bias = rnn.bias_ih_l0.numpy()
bias[{H}:{2 * H}] = {self.bias}  # the {gate} gate
rnn.bias_ih_l0.data = bias
"""


class Trainings:
    """The trainings of all open pages, each by its number."""

    MOST = 8

    def __init__(self) -> None:
        self._known: dict[int, Training] = {}
        self._count = 0
        self._lock = threading.Lock()

    def start(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Start a training, and end the earlier one of the same page."""
        before = given.get("id")
        if isinstance(before, int):
            self.end({"id": before})
        with self._lock:
            if len(self._known) >= self.MOST:
                oldest = min(self._known)
                self._known.pop(oldest).end()
            training = Training(given)
            self._count += 1
            self._known[self._count] = training
            return {"id": self._count, "code": training.code(), **training.state(0)}

    def _of(self, given: Mapping[str, Any]) -> Training:
        training = self._known.get(given.get("id", 0))
        if training is None:
            raise Unusable("this training has ended; start another one")
        return training

    def state(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._of(given).state(within(given, "since", 0, 10**9, 0))

    def pause(self, given: Mapping[str, Any]) -> dict[str, Any]:
        training = self._of(given)
        training.pause(bool(given.get("paused")))
        return training.state(within(given, "since", 0, 10**9, 0))

    def at(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._of(given).at(within(given, "step", 0, 10**9, 0))

    def end(self, given: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            training = self._known.pop(given.get("id", 0), None)
        if training is not None:
            training.end()
        return {}

    def end_all(self) -> None:
        for number in list(self._known):
            self.end({"id": number})
