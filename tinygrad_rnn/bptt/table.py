"""A gradient flow as a table in text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .structure import in_one_line

if TYPE_CHECKING:
    from .flow import Flow

_MOST_ROWS = 24  # a longer table omits its middle


def table(flow: Flow) -> str:
    """One row for each step: the norms of dL/dh_t, and each weight's shares in percent.

    The column "gate f" (or another gate) is the mean gate of a gated state. "by gates" is the norm
    of the last step's gradient after the gates alone.
    """
    T = flow.T
    columns: list[tuple[str, list[str]]] = []
    stages = flow.columns.stages
    if len(stages) > 1:
        names = [stage.name for stage in stages for _ in range(stage.stop - stage.first)]
        columns.append(("loop", names))
    columns.append(("t", [str(t) for t in flow.columns.steps]))
    if flow.text is not None:
        columns.append(("text", [repr(part) for part in flow.text]))
    for states in flow.rows():
        name = flow.common_name(states)
        norms, gates, carried = [""] * T, [""] * T, [""] * T
        columns.append((f"|dL/d{name}|", norms))
        if any(state.gates is not None for state in states):
            columns += [(f"gate of {name}", gates), ("by gates", carried)]
        for state in states:
            for t, column in zip(state.steps.tolist(), state.columns.tolist(), strict=True):
                norms[column] = f"{state.norms[t]:.2e}"  # show NaN, too
                if state.gates is not None and state.carried is not None:
                    gates[column] = number(state.gates[t], "{:.2f}")
                    carried[column] = number(state.carried[t])
    if not np.isnan(flow.inputs).all():
        columns.append(("|dL/dx|", [number(x) for x in flow.inputs]))
    first = len(columns)
    for weight in flow.weights.values():
        cells = [number(100 * x, "{:.1f} %") for x in weight.parts]
        if not math.isfinite(weight.norm):
            cells = [f"{weight.norm}"] * T
        columns.append((weight.name, cells))
    rows = [[in_one_line(title) for title, _ in columns]]
    rows += [[cells[t] for _, cells in columns] for t in range(T)]
    if any(weight.outside for weight in flow.weights.values()):
        outside = [number(100 * w.outside, "{:.1f} %") for w in flow.weights.values()]
        rows.append(["outside", *[""] * (first - 1), *outside])
    if len(rows) > _MOST_ROWS:
        half = _MOST_ROWS // 2
        rows[1 + half : 1 + T - half] = [["…"] * len(columns)]
    return f"L = {flow.loss:.6g}\n" + aligned(rows)


def aligned(rows: list[list[str]], left: int = 0) -> str:
    """Rows of cells as lines; the first ``left`` columns are aligned left."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def number(x: float, form: str = "{:.2e}") -> str:
    """A number in a cell; "–" if there is none."""
    if math.isnan(x):
        return "–"
    text = form.format(x)
    return text.removeprefix("-") if not text.strip("-0. %") else text
