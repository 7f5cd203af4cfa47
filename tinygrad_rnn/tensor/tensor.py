"""The class Tensor: operators, methods and protocols by which Python and NumPy reach ``ops``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from .. import backprop, graph, ops
from ..graph import Value, numeric, read_only
from ..graph.elsewhere import Count, hint_at, of_tensors
from ..graph.writes import in_place, refuse_item, teaching_view
from . import dispatch, interchange, questions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_unset: Any = object()


class Tensor(Value):
    """An array in a computation graph.

    Operations on tensors that require grad are recorded; :meth:`backward` then computes the
    gradient of a scalar with respect to each of them, by the chain rule.

    Args:
        data: anything ``np.asarray`` takes; it is copied. Floats keep their dtype, Python
            floats become float64; integers and booleans are allowed as constants.
        requires_grad: compute gradients with respect to this tensor.
        dtype: convert the data to it.
        name: what pictures and messages call it.

    Raises:
        TypeError: the data are not real numbers, or require grad and are not floats.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    array([2., 4.])
    """

    __slots__ = ()

    def __init__(
        self,
        data: Any,
        *,
        requires_grad: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ):
        array = np.array(numeric(interchange.taken_in(data), "Tensor"), dtype=dtype)
        numeric(array, "Tensor")
        # Old file formats hold big-endian floats. The first operation would make them native.
        self._array = read_only(array.astype(array.dtype.newbyteorder("="), copy=False))
        self.node = None
        self.name = name
        self.requires_grad = requires_grad

    # ── what it holds ────────────────────────────────────────────────────────────────────

    @property
    def data(self) -> ndarray:
        """The array, read-only. Assigning another of the same shape and dtype rebinds it.

        ``t.data = t.data - 0.1`` changes the numbers; ``t.data -= 0.1`` and ``t.data[0] = 1`` raise
        ValueError. What was recorded before keeps the old array: no pending backward notices.
        """
        # People try to write into parameters, which are leaves: there the error says what to write.
        if self.node is not None and self.node.is_leaf:
            return teaching_view(self._array)  # type: ignore[no-any-return]
        return read_only(self._array.view())

    @data.setter
    def data(self, data: Any) -> None:
        refuse = getattr(graph.current().tracing, "refuse_rebinding", None)
        if refuse is not None:
            refuse()
        # A copy, so that no later write of the caller's changes the Tensor.
        array = np.array(graph.numbers(data, "data"))
        if array.shape != self._array.shape or array.dtype != self._array.dtype:
            raise ValueError(
                f"data: expected {graph.describe(self)} as before, got {graph.describe(array)}"
            )
        self._array = read_only(array)
        if self.node is not None and self.node.is_leaf:
            # The leaf shows the array of its Tensor. Recorded operations have kept the old one.
            self.node.output = array

    @property
    def grad(self) -> ndarray | None:
        """The gradient that ``backward`` accumulated, of the data's shape and dtype, or None."""
        return None if self.node is None else self.node.grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        if grad is None:
            if self.node is not None:
                self.node.grad = None
            return
        if self.node is None:
            raise ValueError("grad: this tensor does not require grad")
        array = np.array(numeric(grad, "grad"))
        if array.shape != self.shape:
            raise ValueError(f"grad: expected shape {self.shape}, got {array.shape}")
        self.node.grad = array.astype(self.dtype, copy=False)

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded. A leaf may be switched on and off."""
        refuse = getattr(self._array, "refuse", None)
        if refuse is not None:  # a value of a step that scan traces: it is not known yet
            refuse("requires_grad")
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError(f"requires_grad: expected a bool, got {requires_grad!r}")
        if requires_grad == self.requires_grad:
            return
        if requires_grad:
            if self.dtype.kind != "f":
                raise TypeError(f"only tensors of floats can require grad, got {self.dtype}")
            self.node = graph.leaf(self._array, self._label)
        else:
            assert self.node is not None
            if not self.node.is_leaf:
                raise ValueError("requires_grad: this tensor was computed; use detach()")
            self._label, self.node = self.node.name, None

    @property
    def name(self) -> str | None:
        """What pictures and messages call this tensor."""
        return self._label if self.node is None else self.node.name

    @name.setter
    def name(self, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name: expected a str or None, got {type(name).__name__}")
        if self.node is None:
            self._label = name
        else:
            self.node.name = name

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return Count(self._array.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def itemsize(self) -> int:
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return ops.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged: each matrix of a stack transposed."""
        if self.ndim < 2:
            raise ValueError(f"mT: expected at least two dimensions, got shape {self.shape}")
        return ops.swapaxes(self, -1, -2)

    def numpy(self) -> ndarray:
        """A copy of the data as an ndarray."""
        return self._array.copy()

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises:
            ValueError: there are more, or none.
        """
        if self.size != 1:
            raise ValueError(f"item: expected a single element, got shape {self.shape}")
        return self._array.item()

    def detach(self) -> Tensor:
        """The same numbers as a constant: no gradient passes."""
        constant = graph.attach(self._array, None)
        constant._label = self.name
        return constant  # type: ignore[return-value]

    backward = backprop.backward

    # ── Python's protocols ───────────────────────────────────────────────────────────────

    def __repr__(self) -> str:
        body = np.array2string(self._array, separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        name = f", name={self.name!r}" if self.name else ""
        live = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({body}{dtype}{live}{name})"

    def __format__(self, spec: str) -> str:
        """A 0-d tensor is formatted like its number: ``f"{loss:.3f}"``."""
        return format(self._array, spec) if spec else str(self)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._array)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self._array.__index__()

    def __contains__(self, x: Any) -> bool:
        return bool((self._array == (x._array if isinstance(x, Value) else x)).any())

    def __setitem__(self, index: Any, x: Any) -> None:
        refuse_item()

    def __copy__(self) -> Tensor:
        if self.node is not None and not self.node.is_leaf:  # matplotlib asks for a copy, too
            raise ValueError(
                "only leaves can be copied; detach() this tensor first, as in plt.plot(t.detach())"
            )
        return _rebuild(*self.__reduce__()[1])

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in of_tensors]

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None and not self.node.is_leaf:
            raise ValueError("only leaves can be copied; detach() this tensor first")
        return _rebuild(*self.__reduce__()[1])

    def __reduce__(self) -> tuple[Any, ...]:
        if self.node is not None and not self.node.is_leaf:
            raise ValueError("only leaves can be pickled; detach() this tensor first")
        grad = None if self.grad is None else self.grad.copy()
        return _rebuild, (type(self), self.numpy(), self.requires_grad, self.name, grad)

    # A class that defines ``__eq__`` loses its hash. A Tensor is itself: it can be a key, whatever
    # its numbers are.
    __hash__ = object.__hash__

    __getitem__ = ops.getitem
    __pos__ = ops.positive
    __neg__ = ops.negative
    __abs__ = ops.abs
    __add__ = ops.add
    __sub__ = ops.subtract
    __mul__ = ops.multiply
    __truediv__ = ops.divide
    __pow__ = ops.power
    __matmul__ = ops.matmul
    __floordiv__ = ops.floor_divide
    __mod__ = ops.remainder
    __divmod__ = ops.divmod
    if TYPE_CHECKING:

        def __eq__(self, x: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, x: Any) -> Tensor: ...  # type: ignore[override]
    else:
        __eq__ = ops.equal
        __ne__ = ops.not_equal
    __lt__ = ops.less
    __le__ = ops.less_equal
    __gt__ = ops.greater
    __ge__ = ops.greater_equal
    # Without these, Python would take ``p -= x`` as ``p = p - x`` and silently leave a parameter.
    __iadd__ = in_place(ops.add, "+")
    __isub__ = in_place(ops.subtract, "-")
    __imul__ = in_place(ops.multiply, "*")
    __itruediv__ = in_place(ops.divide, "/")
    __ipow__ = in_place(ops.power, "**")
    __imatmul__ = in_place(ops.matmul, "@")
    __and__ = __rand__ = ops.bitwise_and
    __or__ = __ror__ = ops.bitwise_or
    __xor__ = __rxor__ = ops.bitwise_xor
    __invert__ = ops.invert

    def __radd__(self, x: ArrayLike) -> Tensor:
        return ops.add(x, self)

    def __rsub__(self, x: ArrayLike) -> Tensor:
        return ops.subtract(x, self)

    def __rmul__(self, x: ArrayLike) -> Tensor:
        return ops.multiply(x, self)

    def __rtruediv__(self, x: ArrayLike) -> Tensor:
        return ops.divide(x, self)

    def __rpow__(self, x: ArrayLike) -> Tensor:
        return ops.power(x, self)

    def __rmatmul__(self, x: ArrayLike) -> Tensor:
        return ops.matmul(x, self)

    def __rfloordiv__(self, x: ArrayLike) -> Tensor:
        return ops.floor_divide(x, self)

    def __rmod__(self, x: ArrayLike) -> Tensor:
        return ops.remainder(x, self)

    def __rdivmod__(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        return ops.divmod(x, self)

    def __round__(self, decimals: int | None = None) -> Tensor:
        return ops.round(self, decimals or 0)

    # ── methods: those that ndarray has, and the activations ─────────────────────────────

    sum = ops.sum
    mean = ops.mean
    prod = ops.prod
    max = ops.max
    min = ops.min
    ptp = ops.ptp
    var = ops.var
    std = ops.std
    cumsum = ops.cumsum
    cumprod = ops.cumprod
    argmax = ops.argmax
    argmin = ops.argmin
    argsort = ops.argsort
    argpartition = ops.argpartition
    searchsorted = ops.searchsorted
    take = ops.take
    repeat = ops.repeat
    diagonal = ops.diagonal
    trace = ops.trace
    dot = ops.dot
    swapaxes = ops.swapaxes
    squeeze = ops.squeeze
    ravel = ops.ravel
    flatten = ops.ravel
    astype = ops.astype
    copy = ops.copy
    round = ops.round
    abs = ops.abs
    sqrt = ops.sqrt
    square = ops.square
    exp = ops.exp
    log = ops.log
    sin = ops.sin
    cos = ops.cos
    tanh = ops.tanh
    sigmoid = ops.sigmoid
    relu = ops.relu
    softmax = ops.softmax

    def sort(self, axis: int | None = -1) -> Tensor:
        """The elements in ascending order, as a new tensor: see :func:`tinygrad_rnn.sort`.

        ``ndarray.sort`` sorts in place; a Tensor is never written into.
        """
        return ops.sort(self, axis)

    def partition(self, kth: Any, axis: int | None = -1) -> Tensor:
        """A new tensor, see :func:`tinygrad_rnn.partition`."""
        return ops.partition(self, kth, axis)

    def compress(self, condition: Any, axis: int | None = None) -> Tensor:
        """The elements, or slices along an axis, at which the condition is True."""
        return ops.compress(condition, self, axis)

    def choose(self, choices: Any, mode: str = "raise") -> Tensor:
        """``choices[self]``, element by element: see :func:`tinygrad_rnn.choose`."""
        y: Tensor = ops.choose(self, choices, mode=mode)
        return y

    def reshape(self, *shape: Any, order: str | None = None) -> Tensor:
        """``t.reshape(2, 3)`` or ``t.reshape((2, 3))``, see :func:`tinygrad_rnn.reshape`."""
        y: Tensor = ops.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)
        return y

    def transpose(self, *axes: Any) -> Tensor:
        """``t.transpose(1, 0)``, ``t.transpose((1, 0))`` or, all reversed, ``t.transpose()``."""
        if len(axes) == 1:
            # ``t.transpose(0)`` of a vector is an axis, ``t.transpose((1, 0))`` a tuple of axes.
            axes = axes[0] if axes[0] is None or np.ndim(axes[0]) else axes
        y: Tensor = ops.transpose(self, axes or None)
        return y

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """``t.clip(0, 1)``, ``t.clip(min=0)``, see :func:`tinygrad_rnn.clip`."""
        y: Tensor = ops.clip(self, min, max)
        return y

    def any(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """Whether any element is not 0: a boolean, or an array of them."""
        if questions.is_without_numbers(self):
            return questions.any_of(self, axis, keepdims=keepdims)
        return self._array.any(axis, keepdims=keepdims)

    def all(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """Whether no element is 0: a boolean, or an array of them."""
        if questions.is_without_numbers(self):
            return questions.all_of(self, axis, keepdims=keepdims)
        return self._array.all(axis, keepdims=keepdims)

    def nonzero(self) -> tuple[ndarray, ...]:
        """Where the elements are not 0: an array of indices for each axis."""
        return self._array.nonzero()

    def tolist(self) -> Any:
        """The elements as Python numbers in nested lists."""
        return self._array.tolist()

    # ── other libraries' protocols ───────────────────────────────────────────────────────

    #: pandas leaves an operation to the Tensor: its own priorities are 3000 and 4000.
    __pandas_priority__ = 5000

    @property
    def device(self) -> str:
        """Where the array is, in the array API's words: "cpu"."""
        return "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """The tensor itself: there is one device, "cpu"."""
        if device != "cpu":
            raise ValueError(f"to_device: expected 'cpu', got {device!r}")
        return self

    __array_namespace__: Callable[..., Any]

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """For ``np.from_dlpack(t)``, ``torch.from_dlpack(t)`` and others: a copy of the numbers.

        With ``copy=False`` the array itself, read-only.

        Raises:
            BufferError: the tensor requires grad, which DLPack would drop; or another device.
        """
        return interchange.to_dlpack(self, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return interchange._CPU

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return interchange.html_of(self)

    # ── NumPy's protocols ────────────────────────────────────────────────────────────────

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        array = self._array.view()
        if self.requires_grad:
            raise TypeError(
                "NumPy asked for the plain array of a tensor that requires grad, which would drop "
                "its gradient; use .detach() or .numpy(), a function that has a rule, or, for a "
                "list of tensors, tg.array"
            )
        if dtype is not None:
            array = array.astype(dtype, copy=False)
        if copy:
            return array.copy()
        return read_only(array)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        # The most common case first, for speed.
        if method == "__call__" and not keywords:
            op = _ufuncs.get(ufunc)
            if op is not None:
                return op(*inputs)
        return dispatch.call_ufunc(ufunc, method, inputs, keywords)

    def __array_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> Any:
        return dispatch.call_function(func, args, keywords)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A Tensor of an array of another library, by the DLPack protocol.

    Args:
        x: an object with ``__dlpack__`` in the computer's main memory, such as a torch.Tensor that
            requires no gradient. Its numbers are copied: a Tensor is never written into.
        device: "cpu" or None.
        copy: True or None.

    Returns:
        A Tensor of x's shape and dtype.

    Raises:
        TypeError: x has no ``__dlpack__``, or holds something else than real numbers.
        ValueError: another device, or ``copy=False``.

    Source: https://data-apis.org/array-api/latest/API_specification/generated/array_api.from_dlpack.html

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.from_dlpack(np.array([1.0, 2.0]))
    Tensor([1., 2.])
    """
    if device not in (None, "cpu"):
        raise ValueError(f"from_dlpack: expected 'cpu' or None as device, got {device!r}")
    if copy is False:
        raise ValueError("from_dlpack: copy=False, but a Tensor has an array of its own")
    if isinstance(x, Value):
        return Tensor(x)
    if not hasattr(x, "__dlpack__"):
        raise TypeError(
            f"from_dlpack: expected an array with __dlpack__, got {type(x).__name__}; "
            "tg.Tensor(x) takes whatever np.asarray takes"
        )
    return Tensor(np.from_dlpack(x))


# A global of this module, looked up faster than an attribute of ``dispatch``.
_ufuncs = dispatch.ufuncs
graph.set_tensor_class(Tensor)
hint_at(Tensor, of_tensors)


def _rebuild(
    cls: type[Tensor], data: ndarray, requires_grad: bool, name: str | None, grad: ndarray | None
) -> Tensor:
    tensor = cls.__new__(cls)
    Tensor.__init__(tensor, data, requires_grad=requires_grad, name=name)
    tensor.grad = grad
    return tensor
