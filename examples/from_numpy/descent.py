"""What the programs share: Adam on a dict of arrays, in NumPy."""

import numpy as np


def adam(value_and_gradient, parameters, steps, rate):
    """Minimise: returns the last parameters, and the loss before each step.

    Args:
        value_and_gradient: of a dict of arrays, gives a number and a dict of as many gradients.
        parameters: where to start.
        steps: how many.
        rate: the length of a step, about.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015).
    """
    losses = []
    mean = {name: np.zeros_like(p) for name, p in parameters.items()}
    square = dict(mean)
    for t in range(1, steps + 1):
        loss, gradient = value_and_gradient(parameters)
        losses.append(float(loss))
        for name, g in gradient.items():
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.999 * square[name] + 0.001 * g**2
            step = mean[name] / (1 - 0.9**t) / (np.sqrt(square[name] / (1 - 0.999**t)) + 1e-8)
            parameters = {**parameters, name: parameters[name] - rate * step}
    return parameters, losses
