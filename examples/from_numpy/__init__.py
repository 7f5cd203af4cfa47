"""Programs in plain NumPy, as people write them for HIPS autograd, with gradients from here.

python -m examples.from_numpy.fluid                      seconds each
python -m examples.from_numpy.gaussian_process
python -m examples.from_numpy.ode
python -m examples.from_numpy.rnn
python -m examples.from_numpy.lstm
python -m examples.from_numpy.variational_inference

The subjects are those of HIPS autograd's own examples. What changed is the import:

    import autograd.numpy as np                     import numpy as np
    from autograd import grad, value_and_grad       from tinygrad_rnn import grad, value_and_grad

Nothing else has to: ``tests/peers/test_from_numpy.py`` exchanges these lines in each file, runs it
under HIPS autograd, and finds the same losses and gradients. See README.md beside this.
"""

import sys
from pathlib import Path

# A program imports what it shares with others from beside it, as a script does.
sys.path.append(str(Path(__file__).parent))
