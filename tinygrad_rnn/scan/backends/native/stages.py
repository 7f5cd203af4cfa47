"""The text of a program: one function for each batch, and one for each stage, which calls them.

A stage is a set of batches that do not depend on each other.
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
    """Batches that do not depend on each other.

    Attributes:
        name: the name of its function.
        batches: the numbers of its batches.
        work: the multiplications per time step that threads can share.
        steps: whether the batch of the steps is one of them.
    """

    name: str
    batches: list[int]
    work: int
    steps: bool


def write_program(program: Program, names: Names, parts: int = 1) -> tuple[Lowering, list[Stage]]:
    """Write the text of a program; returns it, and its stages in the order in which they run.

    Args:
        program: the program after all passes.
        names: the names of its values.
        parts: the number of threads that share the steps. With several, only the stage of the steps
            is written. With one, all stages and "run" are, which calls one stage after the other.
    """
    lowering = Lowering(program, names)
    for i in range(len(lowering.batches)):
        lowering.writers.append(BatchWriter(lowering, i))
        lowering.writers[i].write()
    stages = _group_into_stages(lowering)
    if parts == 1:
        for stage in stages:
            _write_stage(lowering, stage)
        run = lowering.module.function("run", PARAMETERS)
        for stage in stages:
            run.write(f"call void @{stage.name}({', '.join(PARAMETERS)})")
        return lowering, stages
    # With several parts only this stage is needed: its batches, and the long functions that they
    # share. The steps are written again, for some rows at a time.
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
    """Write the function of a stage; ``cut`` if threads share its steps.

    A batch that threads cannot share is run by one of them, in turn.
    """
    f = lowering.module.function(stage.name, PARAMETERS)
    for place, i in enumerate(stage.batches):
        call = f"call void @{lowering.writers[i].name}({', '.join(PARAMETERS)})"
        if cut if i == lowering.steps else _work(lowering, i):
            f.write(call)
            continue
        # Batch ``place`` is run by part ``place mod parts``; the other parts skip it.
        turn = f.let(f"urem i64 {place}, %parts")
        with f.unless(f.let(f"icmp ne i64 {turn}, %part")):
            f.write(call)


def _group_into_stages(lowering: Lowering) -> list[Stage]:
    """Group the batches into stages, by the length of the longest chain of batches before each."""
    program, steps = lowering.program, lowering.steps
    # Batch 1 (x W') is read by batch 2 (the steps), and this by 3 and 4. So the stages are [1], [2]
    # and [3, 4]. Batch 0, the constants, runs before them all.
    depth: dict[int, int] = {}
    for i, batch in enumerate(lowering.batches[1:], 1):
        read = [x for v in batch.values for x in v.inputs]
        read += [v for v, at in lowering.copied_in.items() if at == i]
        # A new carry may be a value from before the loop, which the steps then copy.
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
    """The multiplications per time step of a batch, if threads can share it; else 0."""
    shared = lowering.rows if i == lowering.steps else lowering.batches[i].kind == "product"
    work = 0
    for item in lowering.items[i] if shared else ():
        if isinstance(item, Product):
            # It runs step by step, which threads cannot share.
            if item.result in lowering.uncut:
                return 0
            work += math.prod(item.product.shape) * int(item.product.args[1].shape[0])
        elif isinstance(item, Nest):
            # An elementwise operation counts as 8 multiplications.
            work += 8 * len(item.members) * math.prod(item.space)
    return work
