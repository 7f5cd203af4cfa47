"""Hypothesis profiles: ``default`` at the desk, ``ci`` (derandomised), ``nightly`` (deeper).

Choose one with ``pytest --hypothesis-profile=nightly``; where the variable CI is set it is ``ci``.
"""

import functools
import importlib
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_slow_machine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", deadline=None, suppress_health_check=_slow_machine)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, max_examples=50)
settings.register_profile("nightly", settings.get_profile("default"), max_examples=2000)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# The benchmarks and the site are no tests, and need PyTorch or pdoc to be imported at all. The
# programs in ``types`` are read by type checkers, and never run.
collect_ignore = ["benchmarks", "site", "types"]


@pytest.fixture(autouse=True, scope="session")
def _every_svg_is_checked() -> Iterator[None]:
    """No SVG that any test makes has text over text or a line through text, nor a wrong grey."""
    from tests.viz import checks

    names = ("compare", "curve", "flow", "heat", "render")
    compare, curve, flow, heat, render = (
        importlib.import_module(f"tinygrad_rnn.viz.{name}") for name in names
    )
    patch = pytest.MonkeyPatch()

    def checked(svg: str) -> str:
        found = checks.problems(svg)
        assert not found, found[:5]
        return svg

    for module in (flow, compare, curve, heat):
        made = module.document
        patch.setattr(module, "document", lambda *a, made=made, **k: checked(made(*a, **k)))

    draw = flow.draw_lattice

    def coloured(numbers: Any, **options: Any) -> Any:
        found = draw(numbers, **options)
        playable = found if options.get("playable") else draw(numbers, playable=True)
        wrong = checks.wrong_colours(numbers, playable.svg)
        assert not wrong, wrong[:5]
        return found

    patch.setattr(flow, "draw_lattice", coloured)

    pipe = render.Drawing.pipe

    @functools.wraps(pipe)
    def piped(self: Any, format: Any = None, *args: Any, **keywords: Any) -> Any:
        content = pipe(self, format, *args, **keywords)
        if (format or self.format) == "svg":
            svg = content if isinstance(content, str) else content.decode()
            # How wide Graphviz takes other scripts to be depends on the fonts of the machine.
            if not re.search("[^\x00-\u00ff\u2000-\u22ffσΣ]", svg):
                checked(svg)
        return content

    patch.setattr(render.Drawing, "pipe", piped)
    yield
    patch.undo()
