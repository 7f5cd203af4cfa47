"""Models that onnxruntime runs: every model of the examples, random layers, every operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.peers

from examples.__main__ import load  # noqa: E402
from examples.ported import (  # noqa: E402
    char_rnn_classification,
    makemore,
    seq2seq_translation,
    time_sequence_prediction,
    word_language_model,
)
from tests.cases import rows  # noqa: E402
from tests.onnx.running import called, error, run  # noqa: E402
from tinygrad_rnn.text import LanguageModel  # noqa: E402

common = load("common")
e01_scalar_rnn = load("e01_scalar_rnn")
e02_parity = load("e02_parity")
e06_language_model = load("e06_language_model")
e07_four_shapes = load("e07_four_shapes")
e08_moving_digits = load("e08_moving_digits")
e10_vanishing = load("e10_vanishing")
e12_adding = load("e12_adding")
e13_dynamics = load("e13_dynamics")
e14_clipping = load("e14_clipping")
e20_gru = load("e20_gru")
e21_bidirectional = load("e21_bidirectional")
e22_acoustic_lstmp = load("e22_acoustic_lstmp")
e40_captioning = load("e40_captioning")
e41_vqa = load("e41_vqa")
seq2seq = load("seq2seq")


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def ids(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, n, shape)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


# ── every model of the examples ──────────────────────────────────────────────────────────

#: A function that makes a model of an example, and its inputs.
MODELS: dict[str, Callable[[], tuple[Any, ...]]] = {}


def model_of(name: str) -> Callable[[Any], Any]:
    def enter(make: Any) -> Any:
        MODELS[name] = make
        return make

    return enter


for memory in (True, False):
    MODELS[f"e01 memory={memory}"] = lambda memory=memory: (
        e01_scalar_rnn.Ahead(memory, generator()),
        floats(6, 3, 2),
    )
MODELS["e02"] = lambda: (e02_parity.Parity(generator()), ids(2, 6, 3))


@model_of("e03 and e05")
def characters() -> Any:
    model = common.CharacterRNN(9, 16, generator())  # its ids are an index of a plain array

    def f(one_hot: Any, h: Any) -> Any:
        hs, h = model.rnn(one_hot, h)
        return model.out(hs), h

    return f, np.eye(9, dtype=np.float32)[ids(9, 6, 2)], floats(1, 2, 16)


for kind in ("rnn", "lstm", "gru"):
    MODELS[f"e04 and e15 {kind}"] = lambda kind=kind: (
        LanguageModel(9, 8, 16, 2, cell=kind, dropout=0.3, rng=0),
        ids(9, 6, 2),
    )
for kind, layers in (("RNN", 1), ("LSTM", 3)):
    MODELS[f"e06 {kind} {layers}"] = lambda kind=kind, layers=layers: (
        e06_language_model.WordModel(kind, layers, generator()),
        ids(1000, 6, 2),
    )


@model_of("e07 one to many")
def one_to_many() -> Any:
    model = e07_four_shapes.OneToMany(5, 9, generator())
    return lambda v, truth: model(v, 4, truth), floats(3, 5), ids(9, 4, 3)


MODELS["e07 many to one"] = lambda: (e07_four_shapes.ManyToOne(9, 4, generator()), ids(9, 5, 3))


@model_of("e07 many to many")
def many_to_many() -> Any:
    model = e07_four_shapes.ManyToMany(9, 8, generator())
    return lambda words, truth: model(words, 4, truth), ids(9, 5, 3), ids(8, 4, 3)


MODELS["e07 bag of words"] = lambda: (e07_four_shapes.BagOfWords(9, 4, generator()), ids(9, 5, 3))
MODELS["e08"] = lambda: (
    e08_moving_digits.Video(generator()),
    floats(4, 2, 1, 8, e08_moving_digits.WIDE),
)
for kind in ("RNN", "GRU", "LSTM"):
    MODELS[f"e10 {kind}"] = lambda kind=kind: (
        getattr(tg.nn, kind)(8, e10_vanishing.UNITS, rng=0, dtype=np.float64),
        floats(7, 2, 8).astype(float),
    )
for kind in ("tanh RNN", "IRNN", "GRU", "LSTM"):
    MODELS[f"e12 {kind}"] = lambda kind=kind: (
        e12_adding.Adder(kind, generator()),
        floats(7, 3, 2),
    )


@model_of("e13")
def dynamics() -> Any:
    f = e13_dynamics.small_rnn(generator())
    return lambda h: e13_dynamics.iterated(f, h, 5), floats(3, 2).astype(float)


MODELS["e14"] = lambda: (e14_clipping.Adder(generator()), floats(7, 3, 1))
for convention in e20_gru.CONVENTIONS:
    MODELS[f"e20 {convention}"] = lambda convention=convention: (
        e20_gru.gru(convention, 0),
        floats(6, 2, e20_gru.KINDS).astype(float),
    )
for both in (False, True):
    MODELS[f"e21 {both}"] = lambda both=both: (
        e21_bidirectional.Tagger(both, generator()),
        ids(10, 6, 3),
    )
for name in ("MLP", "LSTM", "LSTMP"):
    MODELS[f"e22 {name}"] = lambda name=name: (
        e22_acoustic_lstmp.nets(generator())[name],
        floats(e22_acoustic_lstmp.DELAY + 4, 2, e22_acoustic_lstmp.CHANNELS),
    )
for attention in (False, True):

    @model_of(f"e30 and e31 attention={attention}")
    def reads_and_writes(attention: bool = attention) -> Any:
        model = seq2seq.Seq2seq(9, 8, 4, 16, attention, generator())
        before = ids(8, 4, 3)

        def f(x: Any) -> Any:
            memory, state = model.encoder(model.read(x), lengths=[3, 5, 4])
            scores, looks, state = model.decoded(before, state, memory, [3, 5, 4])
            return (scores, state) if looks is None else (scores, looks, state)

        return f, ids(9, 5, 3)


for looks in ("image vector", "soft attention"):
    MODELS[f"e40 {looks}"] = lambda looks=looks: (
        e40_captioning.Captioner(looks, generator()),
        floats(2, 3, e40_captioning.SIZE, e40_captioning.SIZE),
        ids(len(e40_captioning.WORDS), 4, 2),
    )


@model_of("e41")
def answerer() -> Any:
    model = e41_vqa.Answerer(9, generator())
    lengths = np.array([3, 4, 5, 5, 2, 3, 4, 5])
    return lambda x, q: model(x, q, lengths), floats(2, 3, 20, 20), ids(9, 5, 8)


MODELS["char_rnn_classification"] = lambda: (
    char_rnn_classification.CharRNN(8, 5, rng=0),
    floats(6, 3, len(char_rnn_classification.LETTERS)),
)
for kind in ("rnn", "gru"):
    MODELS[f"makemore {kind}"] = lambda kind=kind: (
        makemore.RNN(kind, 9, 8, 8, rng=0),
        ids(9, 3, 6),
    )


@model_of("seq2seq_translation")
def translation() -> Any:
    reader = seq2seq_translation.EncoderRNN(9, 8, rng=generator()).eval()
    writer = seq2seq_translation.AttnDecoderRNN(9, 8, rng=generator()).eval()
    target = ids(9, 3, seq2seq_translation.MAX_LENGTH)
    return lambda x: writer(*reader(x), target), ids(9, 3, 6)


@model_of("time_sequence_prediction")
def waves() -> Any:
    model = time_sequence_prediction.Sequence2(7, rng=0)
    carry = tuple(tuple(np.zeros((3, 7)) for _ in range(2)) for _ in range(2))
    return lambda x: tg.scan(model.step, carry, x), floats(6, 3, 1).astype(float)


for kind in ("LSTM", "GRU", "RNN_TANH"):
    MODELS[f"word_language_model {kind}"] = lambda kind=kind: (
        word_language_model.RNNModel(kind, 9, 8, 8, 2, tie_weights=True, rng=0),
        ids(9, 5, 3),
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_an_example(name: str) -> None:
    f, *arrays = MODELS[name]()
    model = tg.onnx.export(f, tuple(arrays))
    expected = called(f, *arrays)
    assert error(run(model, *arrays), expected) <= 1e-5
    assert error(called(tg.onnx.load(model), *arrays), expected) <= 1e-6


# ── random layers ────────────────────────────────────────────────────────────────────────


def random_layer(rng: np.random.Generator) -> Any:
    """A layer with options, sizes and inputs drawn at random; what it is called with, and how."""
    kind = rng.choice(["RNN", "LSTM", "GRU"])
    D, H, L = (int(n) for n in rng.integers(1, 7, 3))
    options: dict[str, Any] = {
        "num_layers": 1 + L // 3,
        "bias": bool(rng.random() < 0.8),
        "batch_first": bool(rng.random() < 0.3),
        "bidirectional": bool(rng.random() < 0.5),
        "dtype": rng.choice([np.float32, np.float32, np.float64]),
        "rng": int(rng.integers(100)),
    }
    if kind == "RNN":
        options["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    if kind == "GRU":
        options["reset_after"] = bool(rng.random() < 0.5)
    if kind == "LSTM":
        options["peepholes"] = bool(rng.random() < 0.4)
        options["proj_size"] = int(rng.integers(0, H)) if rng.random() < 0.3 else 0
    return getattr(tg.nn, kind)(D, H, **options)


@pytest.mark.parametrize("seed", range(60))
def test_a_random_layer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = random_layer(rng)
    T, N = (int(n) for n in rng.integers(1, 8, 2))
    batched = rng.random() < 0.85
    with_state, dynamic = rng.random() < 0.5, batched and rng.random() < 0.5
    lengths = str(rng.choice(["none", "fixed", "input"])) if batched else "none"
    lengths = "input" if lengths == "fixed" and dynamic else lengths

    def drawn(T: int, N: int) -> list[np.ndarray]:
        batch = (N,) if batched else ()
        shape = (N, T) if layer.batch_first and batched else (T, *batch)
        arrays = [rng.standard_normal((*shape, layer.input_size))]
        count = layer.num_layers * (1 + layer.bidirectional)
        if with_state:
            arrays.append(
                rng.standard_normal((count, *batch, layer.proj_size or layer.hidden_size))
            )
            if isinstance(layer, tg.nn.LSTM):
                arrays.append(rng.standard_normal((count, *batch, layer.hidden_size)))
        arrays = [a.astype(layer.dtype) for a in arrays]
        return [*arrays, rng.integers(1, T + 1, N)] if lengths == "input" else arrays

    example = drawn(T, N)
    fixed = rng.integers(1, T + 1, N) if lengths == "fixed" else None

    def f(*values: Any) -> Any:
        states = values[1 : len(values) - (lengths == "input")]
        state = states[0] if len(states) == 1 else tuple(states) if states else None
        return layer(values[0], state, lengths=values[-1] if lengths == "input" else fixed)

    names = [f"input_{i}" for i in range(len(example))]
    axes: dict[str, Any] = {}
    if dynamic:
        time, batch = (1, 0) if layer.batch_first else (0, 1)
        axes = {name: {1: "N"} for name in names}
        axes["input_0"] = {time: "T", batch: "N"}
        if lengths == "input":
            axes[names[-1]] = {0: "N"}
    model = tg.onnx.export(f, tuple(example), names=names, dynamic_axes=axes)
    tolerance = 1e-5 if layer.dtype == np.float32 else 1e-12
    loaded = tg.onnx.load(model)
    for arrays in [example, *([drawn(T + 3, N + 2), drawn(1, 1)] if dynamic else [])]:
        expected = called(f, *arrays)
        assert error(run(model, *arrays), expected) <= tolerance
        assert error(called(loaded, *arrays), expected) <= 1e-6


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("RNN", {"activations": ["Softsign"]}),
        ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.3]}),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Relu"]}),
        (
            "LSTM",
            {
                "activations": ["HardSigmoid", "ScaledTanh", "Elu"],
                "activation_alpha": [0.25, 1.5, 0.7],
                "activation_beta": [0.4, 0.9],
            },
        ),
        ("GRU", {"activations": ["HardSigmoid", "Softsign"], "linear_before_reset": 1}),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}),
    ],
)
def test_other_activations(kind: str, attributes: dict[str, Any], direction: str) -> None:
    from onnx import TensorProto, helper, numpy_helper

    ways, gates = 1 + (direction == "bidirectional"), {"RNN": 1, "LSTM": 4, "GRU": 3}[kind]
    attributes = {
        name: value * ways if isinstance(value, list) else value
        for name, value in attributes.items()
    }
    D, H = 3, 4
    shapes = {"W": (ways, gates * H, D), "R": (ways, gates * H, H), "B": (ways, 2 * gates * H)}
    x = floats(5, 2, D)
    node = helper.make_node(
        kind, ["x", "W", "R", "B"], ["y", "h"], hidden_size=H, direction=direction, **attributes
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yh"],
        [numpy_helper.from_array(floats(*shape), name) for name, shape in shapes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert error(called(tg.onnx.load(model), x), run(model, x)) <= 1e-5


# ── every operation ──────────────────────────────────────────────────────────────────────

#: Of these operators onnxruntime has no float64.
ONLY_FLOAT32 = {"arcsin", "arccos", "arctan", "arctan2", "angle", "det", "linalg.det"}


def exported(row: Any, dtype: Any) -> int:
    """How many of a row's cases can be exported; all of these have to be right."""
    count = 0
    for case in row.cases(np.random.default_rng(1)):
        arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in case.arrays]
        try:
            model = tg.onnx.export(case.f, tuple(arrays))
        except (TypeError, ValueError) as refused:
            if "onnx.export" not in str(refused):
                raise
            continue
        tolerance = 3e-5 if dtype == np.float32 else 1e-9
        assert error(run(model, *arrays), called(case.f, *arrays)) <= tolerance, case.name
        count += 1
    return count


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_operation_is_right_or_refused(dtype: Any) -> None:
    names = [name for name in rows if dtype == np.float32 or name not in ONLY_FLOAT32]
    counts = {name: exported(rows[name], dtype) for name in names}
    assert sum(counts.values()) > 800
    assert sum(count > 0 for count in counts.values()) > 190
