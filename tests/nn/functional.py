"""A module as a function of its inputs and its parameters, for gradcheck."""

import copy


def as_function(module, inputs):
    """``(f, arrays)``: ``f(*arrays)`` is ``module(*inputs)`` with the parameters that it has.

    Every call works on a fresh copy of the module, so that one that draws random numbers draws
    the same ones each time.
    """
    names = [name for name, _ in module.named_parameters()]

    def f(*tensors):
        twin = copy.deepcopy(module)
        for name, tensor in zip(names, tensors[len(inputs) :], strict=True):
            *path, last = name.split(".")
            owner = twin
            for part in path:
                owner = getattr(owner, part)
            vars(owner)[last] = tensor  # a Tensor in the place of a Parameter, past the check
        return twin(*tensors[: len(inputs)])

    return f, [*inputs, *(parameter.data for parameter in module.parameters())]
