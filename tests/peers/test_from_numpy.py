"""The programs in examples/from_numpy run under HIPS autograd with nothing changed but the import.

Their files are copied, the import lines exchanged, and the copy runs in a process of its own: the
same losses over several steps, and the same gradient where they start.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.test_from_numpy import PROGRAMS, ROOT

pytest.importorskip("autograd")
pytestmark = pytest.mark.peers

HERE = ROOT / "examples" / "from_numpy"
#: Our import lines, and theirs.
EXCHANGED = {
    "import numpy as np\n": "import autograd.numpy as np\n",
    "from tinygrad_rnn import ": "from autograd import ",
}
STEPS = 4
RUN = f"""
import importlib, json, sys
import numpy as np
from autograd import value_and_grad

program = importlib.import_module(sys.argv[1])
loss, start = program.problem()
value, gradient = value_and_grad(loss)(start)
gradient = {{name: np.asarray(g).tolist() for name, g in gradient.items()}}
losses = program.train({STEPS})[1]
loaded = [name for name in sys.modules if name.partition(".")[0] == "tinygrad_rnn"]
print(json.dumps([float(value), gradient, losses, loaded]))
"""


def exchanged(text):
    for ours, theirs in EXCHANGED.items():
        text = text.replace(ours, theirs)
    return text


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    for file in HERE.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        if file.stem in PROGRAMS:
            assert all(ours in text for ours in EXCHANGED), f"{file} has other import lines"
        (folder / file.name).write_text(exchanged(text), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_values_and_gradients_as_under_hips_autograd(name, copies: Path):
    import tinygrad_rnn as tg

    run = subprocess.run(
        [sys.executable, "-c", RUN, name],
        cwd=copies,
        env={**os.environ, "PYTHONPATH": str(copies)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    their_value, their_gradient, their_losses, loaded = json.loads(run.stdout)
    assert not loaded
    program = importlib.import_module(f"examples.from_numpy.{name}")
    loss, start = program.problem()
    value, gradient = tg.value_and_grad(loss)(start)
    np.testing.assert_allclose(value.item(), their_value, rtol=1e-9)
    assert gradient.keys() == their_gradient.keys()
    for key, g in gradient.items():
        assert g.dtype == np.float64
        size = np.max(np.abs(their_gradient[key]))
        np.testing.assert_allclose(g.numpy(), their_gradient[key], rtol=1e-9, atol=1e-9 * size)
    np.testing.assert_allclose(program.train(STEPS)[1], their_losses, rtol=1e-9)
