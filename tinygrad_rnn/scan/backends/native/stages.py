"""The text of a program: a function for each batch, and for each stage one that calls them.

Batches that do not wait for each other are one stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...ir import Program
from ...names import Names
from .batch import BatchWriter
from .groups import Nest, Product, root
from .lower import PARAMETERS, Lowering


@dataclass(frozen=True)
class Stage:
    """Batches that do not wait for each other.

    Attributes:
        name: of its function.
        batches: their numbers.
        work: the multiplications of a step that parts share.
        steps: whether the steps are among them.
    """

    name: str
    batches: list[int]
    work: int
    steps: bool


def written(program: Program, names: Names, parts: int = 1) -> tuple[Lowering, list[Stage]]:
    """A program's text, and its stages in the order in which they run.

    Args:
        program: after all passes.
        names: of its values.
        parts: by how many threads the steps are shared. If they are, only the function of the steps
            is written; else those of all stages, and "run", which runs them in turn.
    """
    lowering = Lowering(program, names)
    for i in range(len(lowering.batches)):
        lowering.writers.append(BatchWriter(lowering, i))
        lowering.writers[i].write()
    stages = _staged(lowering)
    if parts == 1:
        for stage in stages:
            _write_stage(lowering, stage)
        run = lowering.module.function("run", PARAMETERS)
        for stage in stages:
            run.write(f"call void @{stage.name}({', '.join(PARAMETERS)})")
        return lowering, stages
    (stage,) = (stage for stage in stages if stage.steps)
    module = lowering.module
    module.functions = [f for f in module.functions if f.result != "void"]
    for i in stage.batches:
        if i == lowering.steps:
            lowering.writers[i].write_shared(parts)
        else:
            module.functions.append(lowering.writers[i].f)
    _write_stage(lowering, stage, cut=True)
    return lowering, [stage]


def _write_stage(lowering: Lowering, stage: Stage, cut: bool = False) -> None:
    """The function of a stage; ``cut`` if parts share its steps."""
    f = lowering.module.function(stage.name, PARAMETERS)
    for place, i in enumerate(stage.batches):
        call = f"call void @{lowering.writers[i].name}({', '.join(PARAMETERS)})"
        if cut if i == lowering.steps else _work(lowering, i):
            f.write(call)
            continue
        turn = f.let(f"urem i64 {place}, %parts")
        with f.unless(f.let(f"icmp ne i64 {turn}, %part")):
            f.write(call)


def _staged(lowering: Lowering) -> list[Stage]:
    """The batches by how many others each has to wait for, one after the other."""
    program, steps = lowering.program, lowering.steps
    depth: dict[int, int] = {}
    for i, batch in enumerate(lowering.batches[1:], 1):
        read = [x for v in batch.values for x in v.inputs]
        read += [v for v, at in lowering.copied_in.items() if at == i]
        if i == steps:
            read += program.new_carries
        before = {
            steps if root(x) in program.carries else lowering.batch_of.get(root(x), 0) for x in read
        }
        depth[i] = max((depth[j] + 1 for j in before if j not in (0, i)), default=0)
    stages = []
    for level in sorted(set(depth.values())):
        found = [i for i in depth if depth[i] == level and not lowering.writers[i].empty]
        if found:
            work = sum(_work(lowering, i) for i in found)
            stages.append(Stage(f"stage{level}", found, work, steps in found))
    return stages


def _work(lowering: Lowering, i: int) -> int:
    """The multiplications of a step in a batch, if parts may share it; else 0."""
    shared = lowering.rows if i == lowering.steps else lowering.batches[i].kind == "product"
    work = 0
    for item in lowering.items[i] if shared else ():
        if isinstance(item, Product):
            if item.made in lowering.uncut:
                return 0
            work += math.prod(item.product.shape) * int(item.product.args[1].shape[0])
        elif isinstance(item, Nest):
            work += 8 * len(item.members) * math.prod(item.space)
    return work
