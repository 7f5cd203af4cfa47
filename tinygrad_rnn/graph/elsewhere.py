"""Names of other libraries: the error for an unknown name says what it is called here."""

from __future__ import annotations

from typing import Any

_on_cpu = "leave it out: all arrays are in the computer's main memory"
_in_place = "t.data = ... with the new numbers: a Tensor is never written into"

#: Methods and attributes of torch.Tensor.
of_tensors = {
    "view": "t.reshape(2, 3)",
    "unsqueeze": "tg.expand_dims(t, axis), or t[:, None]",
    "permute": "t.transpose(2, 0, 1)",
    "t": "t.T",
    "numel": "t.size",
    "dim": "t.ndim",
    "expand": "tg.broadcast_to(t, shape)",
    "cat": "tg.concatenate([a, b], axis=0)",
    "chunk": "tg.split(t, 2, axis=0)",
    "unbind": "list(t)",
    "masked_fill": "tg.where(mask, value, t)",
    "mm": "a @ b",
    "bmm": "a @ b",
    "matmul": "a @ b",
    "norm": "tg.sqrt((t * t).sum())",
    "float": "t.astype(np.float32)",
    "double": "t.astype(np.float64)",
    "long": "t.astype(np.int64)",
    "contiguous": "left out: operations take arrays of any strides",
    "clone": "t + 0 in the graph, or copy.deepcopy(t)",
    "cpu": _on_cpu,
    "cuda": _on_cpu,
    "to": f"t.astype(dtype) for another dtype; for a device, {_on_cpu}",
    "requires_grad_": "t.requires_grad = True",
    "retain_grad": "loss.backward(retain_grads=True)",
    "grad_fn": "t.node",
    "is_leaf": "t.node.is_leaf",
    "detach_": "t = t.detach()",
    "clamp": "t.clip(0, 1)",
    **dict.fromkeys(("zero_", "fill_", "copy_", "add_", "sub_", "mul_", "div_"), _in_place),
}

#: Functions of the module torch.
of_the_module = {
    "tensor": "tg.Tensor(data)",
    "as_tensor": "tg.Tensor(data)",
    "from_numpy": "tg.Tensor(array)",
    "cat": "tg.concatenate([a, b], axis=0)",
    "hstack": "tg.concatenate([a, b], axis=1)",
    "vstack": "tg.concatenate([a, b], axis=0)",
    "chunk": "tg.split(x, 2, axis=0)",
    "unsqueeze": "tg.expand_dims(x, axis)",
    "permute": "tg.transpose(x, axes)",
    "mm": "a @ b",
    "bmm": "a @ b",
    "mul": "a * b",
    "sub": "a - b",
    "div": "a / b",
    "pow": "tg.power(x, 2)",
    "clamp": "tg.clip(x, 0, 1)",
    "zeros": "tg.Tensor(np.zeros(shape))",
    "ones": "tg.Tensor(np.ones(shape))",
    "randn": "tg.Tensor(rng.standard_normal(shape)) with rng = np.random.default_rng(0)",
    "rand": "tg.Tensor(rng.random(shape)) with rng = np.random.default_rng(0)",
    "arange": "np.arange(n)",
    "argmax": "np.argmax(x.detach(), axis)",
    "manual_seed": "rng=seed, an argument of everything that draws random numbers",
    "inference_mode": "tg.no_grad()",
    "autograd": "tg.grad, tg.jacobian and tg.hessian",
    "func": "tg.grad, tg.jvp, tg.jacobian and tg.hessian",
    "compile": "tg.scan or tg.fused",
    "device": _on_cpu,
    "cuda": _on_cpu,
    "float32": "np.float32",
    "float64": "np.float64",
    "utils": "tg.data for batches, tg.optim for clipping, tg.nn.utils for padding",
    "functional": "tg.nn for losses, and tg itself for operations such as tg.softmax",
}

#: Methods of torch.nn.Module, and of Keras layers.
of_modules = {
    "to": f"module.astype(np.float64) for another dtype; for a device, {_on_cpu}",
    "cuda": _on_cpu,
    "cpu": _on_cpu,
    "double": "module.astype(np.float64)",
    "flatten_parameters": "left out",
    "get_weights": "tg.nn.to_keras(layer), or module.state_dict()",
    "set_weights": "tg.nn.load_keras(layer, weights), or module.load_state_dict(state)",
    "get_parameter": "dict(module.named_parameters())[name]",
}


class _Elsewhere:
    """A missing attribute whose AttributeError says what to write instead."""

    def __init__(self, name: str, ours: str):
        self.name, self.ours = name, ours

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self
        raise AttributeError(
            f"{type(owner).__name__!r} object has no attribute {self.name!r}; here it is "
            f"{self.ours}"
        )

    def __repr__(self) -> str:
        return f"<missing; here it is {self.ours}>"


def hint_at(cls: type, names: dict[str, str]) -> None:
    """Give a class hints for those names of another library that it does not have.

    A ``__getattr__`` would do the same, but it makes every attribute slower: recording an operation
    takes 5 % longer with it.
    """
    for name, ours in names.items():
        if not hasattr(cls, name):
            setattr(cls, name, _Elsewhere(name, ours))


def hint(names: dict[str, str], name: str) -> str:
    """The end of an error message about an unknown name: what it is called here."""
    return f"; here it is {names[name]}" if name in names else ""


class Count(int):
    """A number of elements: ``t.size`` is one, as in NumPy; torch's ``t.size()`` is the shape."""

    __slots__ = ()

    def __call__(self, *_: Any) -> Any:
        raise TypeError(
            "size: it is a number, as in NumPy, and no method; torch's t.size() is t.shape here"
        )

    def __reduce__(self) -> Any:
        return int, (int(self),)


__all__ = ["Count", "hint", "hint_at", "of_modules", "of_tensors", "of_the_module"]
