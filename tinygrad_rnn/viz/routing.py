"""Route the edges of a picture along its time steps.

A value that several steps use runs along them as a *rail* with a tap at each step. So do values of
several steps that one box uses. Graphviz takes time quadratic in the length of an edge, so straight
edges to each of 60 steps would take minutes. The path of a state within a step is kept straight,
and no step begins before the step before it has ended.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence

from ..bptt.steps import Loop, Place, TimeStep, common
from ..graph import Node
from .picture import Box, Edge


def route(
    boxes: dict[Hashable, Box],
    edges: dict[Hashable, Edge],
    places: dict[Node, Place],
    loops: Sequence[Loop],
    gaps: dict[TimeStep, Box],
) -> None:
    """Route the edges along the steps. This adds boxes and edges: points, lines, invisible ones.

    Args:
        boxes, edges: the boxes and edges of the picture, by any keys.
        places: the places of the nodes in the boxes.
        loops: the loops of the graph.
        gaps: the box that replaces each omitted time step.
    """
    router = _Router(boxes, edges, places, loops, gaps)
    router.lay_rails(outward=True)
    router.lay_rails(outward=False)
    router.straighten()
    router.keep_order()


class _Router:
    def __init__(
        self,
        boxes: dict[Hashable, Box],
        edges: dict[Hashable, Edge],
        places: dict[Node, Place],
        loops: Sequence[Loop],
        gaps: dict[TimeStep, Box],
    ):
        self.boxes, self.edges, self.places = boxes, edges, places
        self.loops, self.gaps = loops, gaps

    # ── rails ────────────────────────────────────────────────────────────────────────────

    def lay_rails(self, outward: bool) -> None:
        """Lay rails from a box to the steps of a loop that use it, or from the steps to a box."""
        rails: dict[tuple[Box, Loop | None], dict[TimeStep | Box, list[Edge]]] = {}
        in_order = {
            self.gaps.get(time_step, time_step): n
            for loop in self.loops
            for n, time_step in enumerate(loop.time_steps)
        }
        for edge in self.edges.values():
            near, far = (edge.tail, edge.head) if outward else (edge.head, edge.tail)
            if edge.kind == "data":
                time_step = self.beyond(near, far)
                if time_step is not None:
                    stops = rails.setdefault((near, time_step.loop), defaultdict(list))
                    stops[self.gaps.get(time_step, time_step)].append(edge)
            elif edge.kind in ("weight", "constant") and outward:
                # One rail for all loops: they follow each other, and share the weight visibly.
                time_step = self.beyond(near, far)
                stops = rails.setdefault((near, None), defaultdict(list))
                stops[far if time_step is None else self.gaps.get(time_step, time_step)].append(
                    edge
                )
        for (near, loop), stops in rails.items():
            if len(stops) > 1:
                # A reversed loop runs through its steps in the other direction.
                order = sorted(stops, key=in_order.__getitem__) if loop else stops
                self.lay_rail(near, [stops[stop] for stop in order], outward)

    def lay_rail(self, near: Box, stops: list[list[Edge]], outward: bool) -> None:
        kind = stops[0][0].kind
        taps = [Box(f"{kind} tap", "", place=near.place) for _ in stops]
        self.boxes.update((tap, tap) for tap in taps)
        chain = [near, *taps] if outward else [*taps, near]
        links = [*zip(itertools.pairwise(chain), taps, stops, strict=True)]
        joined: list[Edge] = []
        for (tail, head), tap, edges in reversed(links) if outward else links:
            for edge in edges:
                if outward:
                    edge.tail = tap
                else:
                    edge.head = tap
                if kind == "data":
                    edge.kind = "branch"
                    joined.append(edge)
            rail = Edge(tail, head, kind if head is near else f"{kind} rail", carries=joined)
            self.edges[tail, head] = rail
            joined = [rail] if kind == "data" else []

    def beyond(self, near: Box, far: Box) -> TimeStep | None:
        """The outermost time step around ``far``, if ``near`` is outside its loop; else None."""
        here, there = self.whereabouts(near), self.whereabouts(far)
        if here is there:
            return None
        rest = there[len(common([here, there])) :]
        return (
            rest[0]
            if rest and all(time_step.loop is not rest[0].loop for time_step in here)
            else None
        )

    def whereabouts(self, box: Box) -> Place:
        """The time steps around a box, or the ones that it stands for."""
        return self.places[box.nodes[0]] if box.kind in ("step", "gap") else box.place

    # ── straight paths ───────────────────────────────────────────────────────────────────

    def straighten(self) -> None:
        """Mark the shortest paths from a state's entry into a step to the next state's exit."""
        entries: dict[Place, set[Box]] = defaultdict(set)
        exits: dict[Place, dict[Box, bool]] = defaultdict(dict)  # True if a state leaves there
        inside: dict[Box, list[Edge]] = defaultdict(list)
        for edge in self.edges.values():
            if edge.kind == "state":
                entries[edge.head.place].add(edge.head)
                exits[edge.tail.place][edge.tail] = True
            elif edge.tail.place == edge.head.place:
                inside[edge.head].append(edge)
            else:
                exits[edge.tail.place].setdefault(edge.tail, False)
        for place, starts in entries.items():
            paths = []
            for end, is_state in exits[place].items():
                for start, path in _paths_to(end, starts, exits[place], inside):
                    paths.append((not is_state, len(path), start, end, path))
            taken: set[Box] = set()
            for _, _, start, end, path in sorted(paths, key=lambda candidate: candidate[:2]):
                if start not in taken and end not in taken:
                    taken |= {start, end}
                    for edge in path:
                        edge.kind = "spine"

    # ── time ─────────────────────────────────────────────────────────────────────────────

    def keep_order(self) -> None:
        """Keep each step, in the picture, after the end of the step before.

        An invisible post stands between them: the first step lies before it, the second after it.
        """
        inside: dict[TimeStep, dict[Box, None]] = defaultdict(dict)
        for box in self.boxes.values():
            for time_step in self.places[box.nodes[0]] if box.kind == "step" else box.place:
                inside[time_step][box] = None
        within = [e for e in self.edges.values() if e.tail.place == e.head.place]
        used, using = {e.tail for e in within}, {e.head for e in within}
        columns: dict[int, list[dict[Box, None]]] = defaultdict(list)
        for loop in self.loops:
            for time_step in loop.time_steps:
                gap = self.gaps.get(time_step)
                column = inside[time_step] if gap is None else {gap: None}
                if column and column not in columns[loop.number][-1:]:
                    columns[loop.number].append(column)
        for of_loop in columns.values():
            for before, after in itertools.pairwise(of_loop):
                post = Box("post", "", place=common([box.place for box in before]))
                self.boxes[post] = post
                for box in before:
                    if box not in used or box.kind == "step":
                        self.edges[box, post] = Edge(box, post, "before")
                for box in after:
                    if box not in using or box.kind == "step":
                        self.edges[post, box] = Edge(post, box, "after")


def _paths_to(
    end: Box, starts: set[Box], exits: dict[Box, bool], inside: dict[Box, list[Edge]]
) -> list[tuple[Box, list[Edge]]]:
    """The shortest paths from some boxes to a box, through no exit."""
    paths = []
    onward: dict[Box, list[Edge]] = {end: []}
    waiting = deque([end])
    while waiting:
        box = waiting.popleft()
        if box in starts:
            paths.append((box, onward[box]))
            continue
        for edge in inside[box]:
            if edge.tail not in onward and edge.tail not in exits:
                onward[edge.tail] = [edge, *onward[box]]
                waiting.append(edge.tail)
    return paths
