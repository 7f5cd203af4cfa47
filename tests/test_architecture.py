"""The drawing of the rooms in ``.github/``: ``python -m tests.test_architecture`` makes it anew.

The boxes and their words come from the rooms' docstrings, the arrows from their imports. An arrow
leads from a room to one that imports it; those that follow from others are left out.
"""

from __future__ import annotations

import importlib
import textwrap
from itertools import pairwise
from pathlib import Path

import graphviz

from tests.test_rooms import MODULES, ROOMS, imported_rooms, room_of

FOLDER = Path(__file__).parents[1] / ".github"


def imports() -> dict[str, set[str]]:
    """Each room, and the rooms that it imports from."""
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for module in MODULES:
        room = room_of(module)
        if room in found:
            found[room] |= {other for other in imported_rooms(module) if other in found}
    for room, others in found.items():
        others.discard(room)
    return found


def behind(room: str, imported: dict[str, set[str]]) -> set[str]:
    """Every room that a room imports from, or that one of these does."""
    found: set[str] = set()
    for other in imported[room]:
        found |= {other} | behind(other, imported)
    return found


def drawing() -> graphviz.Digraph:
    """The rooms from top to bottom."""
    graph = graphviz.Digraph("rooms", graph_attr={"rankdir": "TB", "ranksep": "0.25"})
    graph.attr(
        "node", shape="box", style="rounded,filled", fillcolor="#f4f6fa", fontname="Helvetica"
    )
    graph.attr("edge", color="#5b6b82")
    imported = imports()
    for room in ROOMS:
        first = (importlib.import_module(f"tinygrad_rnn.{room}").__doc__ or "").split("\n")[0]
        words = "\\n".join(textwrap.wrap(first.rstrip(".").replace("``", ""), 34))
        graph.node(room, f"{room}\\n{words}")
        implied = {far for near in imported[room] for far in behind(near, imported)}
        for other in sorted(imported[room] - implied):
            graph.edge(other, room)
    return graph


def test_the_drawing_is_that_of_today() -> None:
    text = (FOLDER / "architecture.dot").read_text(encoding="utf-8")
    assert text == drawing().source, "python -m tests.test_architecture makes the drawing anew"


def test_arrows_go_to_later_rooms_and_reach_all() -> None:
    imported = imports()
    assert all(ROOMS.index(a) < ROOMS.index(b) for b, others in imported.items() for a in others)
    assert behind("__main__", imported) >= {"graph", "app", "viz", "scan"}
    assert all(behind(a, imported) <= behind(b, imported) | {b} for a, b in pairwise(ROOMS[:4]))


if __name__ == "__main__":
    picture = drawing()
    (FOLDER / "architecture.dot").write_text(picture.source, encoding="utf-8")
    (FOLDER / "architecture.svg").write_bytes(picture.pipe("svg"))
