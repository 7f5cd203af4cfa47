"""Words, unknown symbols, training steps, top-k sampling, beam search."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.text import (
    LanguageModel,
    NGram,
    Streams,
    Vocabulary,
    beam_search,
    bptt_step,
    detached,
    generate,
    read_text,
    sample,
    words,
)

# ── files ────────────────────────────────────────────────────────────────────────────────


def test_text_files_of_any_system(tmp_path):
    path = tmp_path / "text.txt"
    for content in ("안녕\nhello\n", "안녕\r\nhello\r\n", "\ufeff안녕\rhello\r"):
        path.write_bytes(content.encode("utf-8"))
        assert read_text(path) == "안녕\nhello\n"
    path.write_bytes(b"")
    assert read_text(str(path)) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("안녕".encode("cp949"), "got byte 0xbe at offset 0"),
        ("text".encode("utf-16"), "got byte 0xff at offset 0"),
        (b"a" * 2000 + b"\xe9t\xe9", "got byte 0xe9 at offset 2,000"),
        ("안녕".encode()[:-1], "got byte 0xeb at offset 3 .unexpected end"),
    ],
)
def test_files_in_another_encoding(tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"text.txt: expected UTF-8 text, {message}"):
        read_text(path)


# ── words ────────────────────────────────────────────────────────────────────────────────


@given(st.text(st.characters()) | st.text("ab '’.,\n\t \u0301한é", max_size=30))
def test_words_put_together_are_the_text(text):
    parts = words(text)
    assert "".join(parts) == text
    assert all(parts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("it's  good", ["it's", " ", " good"]),
        ("rock 'n' roll", ["rock", " '", "n", "'", " roll"]),
        ("안녕하세요, 세계!", ["안녕하세요", ",", " 세계", "!"]),
        ("a\n\n b", ["a", "\n", "\n", " b"]),
        ("cafe\u0301s हिन्दी", ["cafe\u0301s", " हिन्दी"]),  # combining marks are inside
        ("x=3.14 snake_case", ["x", "=", "3", ".", "14", " snake_case"]),
    ],
)
def test_where_words_end(text, expected):
    assert words(text) == expected


# ── vocabularies with unknown symbols ────────────────────────────────────────────────────


@given(st.text("ab c.", min_size=1, max_size=40), st.integers(2, 6), st.booleans())
def test_the_most_frequent_are_kept_and_the_others_are_unknown(text, size, by_word):
    vocabulary = Vocabulary(text, words=by_word, unknown="?", size=size)
    symbols = words(text) if by_word else list(text)
    kept = set(vocabulary.symbols) - {"?"}
    assert len(kept) == min(size - 1, len(set(symbols)))
    assert len(vocabulary) == len(kept) + 1
    dropped = set(symbols) - kept
    if dropped:
        assert min(map(symbols.count, kept)) >= max(map(symbols.count, dropped))
    assert vocabulary.missing(text) == list(dict.fromkeys(s for s in symbols if s in dropped))
    decoded = vocabulary.decode(vocabulary.encode(text))
    assert decoded == "".join(s if s in kept else "?" for s in symbols)


@given(st.text(min_size=1), st.booleans(), st.sampled_from([None, "?", "<unk>"]))
def test_a_vocabulary_from_its_state_is_the_same(text, by_word, unknown):
    vocabulary = Vocabulary(text, words=by_word, unknown=unknown)
    again = Vocabulary(**vocabulary.state_dict())
    assert again.symbols == vocabulary.symbols
    np.testing.assert_array_equal(again.encode(text), vocabulary.encode(text))
    assert repr(again) == repr(vocabulary)


def test_what_makes_no_vocabulary():
    for arguments in ({"size": 5}, {"size": 1, "unknown": "?"}):
        with pytest.raises(
            ValueError, match="size must be at least 2 and needs a symbol for unknown ones"
        ):
            Vocabulary("abc", **arguments)
    with pytest.raises(ValueError, match="at least one word"):
        Vocabulary("", words=True, unknown="?")
    with pytest.raises(KeyError, match=r"word ' c' is not one of the 2"):
        Vocabulary("a b", words=True).encode("a c")
    assert repr(Vocabulary("a b", words=True)) == "Vocabulary(2 words)"


# ── the model ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_every_cell_learns_what_follows(cell):
    """After 0 follows 1 or 2 in turns: only a memory can tell which."""
    ids = np.tile([0, 1, 0, 2], 400)
    model = LanguageModel(3, 4, 16, 2, cell=cell, rng=0)
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    losses, state = [], None
    for window in Streams(ids, 4, 8):
        loss, state = bptt_step(model, optimizer, window, state, max_norm=1.0)
        losses.append(loss)
    assert losses[0] > 0.9
    assert losses[-1] < 0.1


def test_there_is_no_such_cell():
    with pytest.raises(ValueError, match=r"expected cell 'rnn' or 'lstm' or 'gru', got 'xyz'"):
        LanguageModel(3, 4, 5, cell="xyz")


# ── training ─────────────────────────────────────────────────────────────────────────────


def learner(seed=0, **keywords):
    model = LanguageModel(5, 3, 4, dtype=np.float64, rng=seed, **keywords)
    return model, optim.SGD(model.parameters(), lr=0.5)


def test_a_step_is_the_gradient_of_one_window():
    x, y = Streams(np.arange(30) % 5, 2, 4)[0]
    model, optimizer = learner()
    carried = detached(model(x)[1])
    logits, expected_state = model(x, carried)
    loss = nn.cross_entropy(logits.reshape(-1, 5), y.reshape(-1))
    gradients = tg.grad(loss, list(model.parameters()))
    expected = [
        p.numpy() - 0.5 * g.data for p, g in zip(model.parameters(), gradients, strict=True)
    ]
    value, state = bptt_step(model, optimizer, (x, y), carried)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    for p, new in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.data, new, rtol=1e-10)
    for ours, theirs in zip(state, expected_state, strict=True):
        assert not ours.requires_grad
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-12)


def test_clipping_bounds_the_step():
    window = Streams(np.arange(30) % 5, 2, 4)[0]
    model, optimizer = learner()
    before = [p.numpy() for p in model.parameters()]
    bptt_step(model, optimizer, window, max_norm=1e-3)
    moved = math.sqrt(
        sum(
            np.square(p.data - old).sum() for p, old in zip(model.parameters(), before, strict=True)
        )
    )
    assert moved == pytest.approx(0.5 * 1e-3, rel=1e-2)


def test_a_loss_that_is_no_number_changes_nothing():
    window = Streams(np.arange(30) % 5, 2, 4)[0]
    model, optimizer = learner()
    model.output.bias.data = np.full(5, np.nan)
    before = model.state_dict()
    loss, _ = bptt_step(model, optimizer, window)
    assert math.isnan(loss)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


class Parrot(nn.Module):
    """Predicts id + 1 (modulo 5) for certain; keeps what it was shown."""

    def __init__(self):
        self.scale = nn.Parameter(np.array(200.0))
        self.seen = []

    def forward(self, ids, state=None):
        self.seen.append(np.array(ids))
        return self.scale * np.eye(5)[(np.asarray(ids) + 1) % 5], state


def seen(teacher_forcing, rng=0, T=400):
    parrot = Parrot()
    optimizer = optim.SGD(parrot.parameters(), lr=0.0)
    x = np.full((T, 3), 2)
    bptt_step(parrot, optimizer, (x, x), teacher_forcing=teacher_forcing, rng=rng)
    return np.concatenate(parrot.seen)


def test_without_a_teacher_the_model_reads_what_it_predicted():
    np.testing.assert_array_equal(seen(1.0), np.full((400, 3), 2))
    np.testing.assert_array_equal(seen(0.0)[:7, 0], [2, 3, 4, 0, 1, 2, 3])
    mixed = seen(0.75)
    np.testing.assert_array_equal(mixed[0], [2, 2, 2])
    own = mixed[1:] == (mixed[:-1] + 1) % 5
    forced = mixed[1:] == 2
    assert (own | forced).all()
    # It reads 2 where it was forced, and where it was not but had read 1.
    read_one = mixed[:-1] == 1
    assert forced[~read_one].mean() == pytest.approx(0.75, abs=0.05)
    np.testing.assert_array_equal(mixed, seen(0.75))
    assert not np.array_equal(mixed, seen(0.75, rng=1))


@pytest.mark.parametrize("teacher_forcing", [-0.1, 1.1, math.nan])
def test_teacher_forcing_is_a_probability(teacher_forcing):
    with pytest.raises(ValueError, match="teacher_forcing must be from 0 to 1"):
        seen(teacher_forcing, T=2)


# ── sampling ─────────────────────────────────────────────────────────────────────────────


class Fixed(nn.Module):
    """Always the same probabilities; its state counts."""

    def __init__(self, p):
        self.p = np.asarray(p, float)

    def forward(self, ids, state=None):
        with np.errstate(divide="ignore"):
            logits = np.broadcast_to(np.log(self.p), (*np.shape(ids), len(self.p)))
        return tg.Tensor(logits), np.zeros((np.shape(ids)[1], 1))


def test_top_k_draws_among_the_likeliest_in_their_proportion():
    model = Fixed([0.1, 0.4, 0.2, 0.3])
    drawn = sample(model, [0], 4000, top_k=2, rng=0)
    assert set(drawn) == {1, 3}
    assert (drawn == 1).mean() == pytest.approx(4 / 7, abs=0.03)
    np.testing.assert_array_equal(sample(model, [0], 5, top_k=1), [1] * 5)
    for k in (4, 100):
        np.testing.assert_array_equal(
            sample(model, [0], 50, top_k=k, rng=1), sample(model, [0], 50, rng=1)
        )
    # Of equals the first ones, not more than k.
    assert set(sample(Fixed([0.25] * 4), [0], 200, top_k=2, rng=0)) == {0, 1}


def test_what_is_excluded_is_never_drawn():
    model = Fixed([0.1, 0.4, 0.2, 0.3])
    assert set(sample(model, [0], 500, exclude=[1, 2], rng=0)) == {0, 3}
    assert set(sample(model, [0], 3, exclude=[1], temperature=0)) == {3}
    assert set(sample(model, [0], 300, exclude=(1,), top_k=2, rng=0)) == {2, 3}
    with pytest.raises(ValueError, match="every id is excluded"):
        sample(model, [0], 1, exclude=range(4))
    with pytest.raises(ValueError, match="top_k of at least 1"):
        sample(model, [0], 1, top_k=0)


# ── beam search ──────────────────────────────────────────────────────────────────────────

V = 3


def model_with(cell, seed=0):
    model = LanguageModel(V, 2, 4, 2, cell=cell, dtype=np.float64, rng=seed)
    for parameter in model.parameters():  # far from uniform
        parameter.data = parameter.data * 3
    return model


def log_probability(model, prompt, ids):
    with tg.no_grad():
        logits, _ = model(np.array([*prompt, *ids])[:, None])
    log_p = tg.log_softmax(logits.data[:, 0])
    return sum(log_p[len(prompt) - 1 + t, i] for t, i in enumerate(ids))


def exhaustive(model, prompt, length, end=None):
    found = {}
    for ids in itertools.product(range(V), repeat=length):
        kept = ids[: ids.index(end) + 1] if end in ids else ids
        found[kept] = log_probability(model, prompt, kept)
    return sorted(found.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("end", [None, 1])
def test_a_beam_of_all_sequences_finds_all_in_order(cell, end):
    model, prompt = model_with(cell), [0, 2]
    expected = exhaustive(model, prompt, 4, end)
    found = beam_search(model, prompt, 4, beam_size=V**4, end=end)
    assert [tuple(ids) for ids, _ in found] == [ids for ids, _ in expected]
    np.testing.assert_allclose(
        [log_p for _, log_p in found], [log_p for _, log_p in expected], rtol=1e-10
    )
    if end is None:
        assert math.fsum(math.exp(log_p) for _, log_p in found) == pytest.approx(1)


@given(st.integers(0, 50), st.integers(1, 5), st.integers(1, 6))
def test_a_narrow_beam_is_honest(seed, beam_size, length):
    model, prompt = model_with("gru", seed), [1]
    found = beam_search(model, prompt, length, beam_size=beam_size)
    assert len(found) == min(beam_size, V**length)
    scores = [log_p for _, log_p in found]
    assert scores == sorted(scores, reverse=True)
    assert len({tuple(ids) for ids, _ in found}) == len(found)
    for ids, log_p in found:
        assert ids.shape == (length,)
        assert log_p == pytest.approx(log_probability(model, prompt, ids), rel=1e-9)
    greedy = sample(model, prompt, length, temperature=0)
    if beam_size == 1:
        np.testing.assert_array_equal(found[0][0], greedy)


def test_greedy_is_not_always_the_likeliest():
    """0 is likelier at first, but only 1 leads somewhere certain."""

    class Trap(nn.Module):
        def forward(self, ids, state=None):
            p = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0.6, 0.4, 0]])[ids]
            p[ids == 1] = [0, 0, 1]
            with np.errstate(divide="ignore"):
                return tg.Tensor(np.log(p)), np.zeros((ids.shape[1], 1))

    (greedy, low), (best, high) = (
        beam_search(Trap(), [2], 2, beam_size=size)[0] for size in (1, 2)
    )
    assert (list(greedy), list(best)) == ([0, 0], [1, 2])
    assert (math.exp(low), math.exp(high)) == pytest.approx((0.3, 0.4))


def test_beams_end():
    model = Fixed([0.2, 0.7, 0.1])
    found = beam_search(model, [0], 5, beam_size=2, end=1)
    assert [list(ids) for ids, _ in found] == [[1], [0, 1]]
    assert [math.exp(log_p) for _, log_p in found] == pytest.approx([0.7, 0.14])
    assert all(1 not in ids for ids, _ in beam_search(model, [0], 3, exclude=[1]))


def test_beams_of_nothing():
    model = model_with("rnn")
    [(ids, log_p)] = beam_search(model, [0], 0)
    assert (ids.shape, log_p) == ((0,), 0.0)
    for arguments in (([], 3), ([[0]], 3)):
        with pytest.raises(ValueError, match="prompt of at least one id"):
            beam_search(model, *arguments)
    for keywords in ({"length": -1}, {"length": 3, "beam_size": 0}):
        with pytest.raises(ValueError, match="beam_size of at least 1 and length"):
            beam_search(model, [0], **keywords)


# ── what is refused ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["the cat sat.\n" * 9, "나랏말이 중국과 달라\n" * 9, "белый снег\n" * 9, "a"]
)
def test_utf16_without_a_mark_is_known_by_its_nuls(tmp_path, encoding, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(encoding))
    message = rf"text.txt: expected UTF-8 text, got .* UTF-16: --encoding {encoding}$"
    with pytest.raises(ValueError, match=message):
        read_text(path)
    assert read_text(path, encoding) == text


def test_nuls_in_a_text_that_is_utf8_are_characters(tmp_path):
    path = tmp_path / "text.txt"
    for content in (b"\0", b"one\0two\0three\0four", b"ab\0\0" * 40):
        path.write_bytes(content)
        assert read_text(path) == content.decode()


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-32", "latin-1"])
def test_any_encoding_can_be_named(tmp_path, encoding):
    text = "\u00e9t\u00e9\n" if encoding == "latin-1" else "안녕\n"
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(encoding))
    assert read_text(path, encoding) == text
    with pytest.raises(ValueError, match="expected ascii text, got byte 0x"):
        read_text(path, "ascii")
    for other in ("nonsense", "base64"):
        with pytest.raises(ValueError, match=f"there is no text encoding '{other}'"):
            read_text(path, other)


def test_ids_are_integers():
    vocabulary = Vocabulary("abc")
    for ids in ([1.7], [True], [1.0], ["a"], 0.5):
        with pytest.raises(TypeError, match="decode: expected integer ids"):
            vocabulary.decode(ids)
    with pytest.raises(TypeError, match="Streams: expected integer ids"):
        Streams(np.linspace(0, 1, 9), 1, 2)
    with pytest.raises(TypeError, match="NGram: expected integer ids"):
        NGram([0.5, 1.5], 3, 1)
    assert vocabulary.decode(np.array([2, 0], np.uint8)) == "ca"


@pytest.mark.parametrize("search", [False, True])
def test_excluded_ids_and_prompts_are_ids_of_the_model(search):
    model = LanguageModel(5, 3, 4, rng=0)

    def write(prompt=(0,), **options):
        if search:
            return beam_search(model, list(prompt), 3, **options)
        return sample(model, list(prompt), 3, rng=0, **options)

    for bad in (-1, 5):
        with pytest.raises(IndexError, match=f"exclude: expected ids from 0 to 4, got {bad}"):
            write(exclude=[0, bad])
    for bad in (1.5, True):
        with pytest.raises(TypeError, match="exclude: expected integer ids"):
            write(exclude=[bad])
    with pytest.raises(TypeError, match="prompt: expected integer ids"):
        write([0.5])
    if search:
        with pytest.raises(IndexError, match="end: expected ids from 0 to 4, got -1"):
            write(end=-1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_that_predicts_no_numbers(bad):
    model = LanguageModel(5, 3, 4, rng=0)
    model.output.bias.data = np.full(5, bad, np.float32)
    with np.errstate(invalid="ignore"):
        with pytest.raises(FloatingPointError, match="sample: the model predicts NaN or Inf"):
            sample(model, [0], 3, rng=0)
        with pytest.raises(FloatingPointError, match="beam_search: the model predicts NaN"):
            beam_search(model, [0], 3)


def test_temperatures_at_the_ends():
    model = LanguageModel(5, 3, 4, rng=0)
    for temperature in (math.inf, math.nan, -1):
        with pytest.raises(ValueError, match="expected a temperature"):
            sample(model, [0], 3, temperature=temperature, top_k=2)
    greedy = sample(model, [0], 9, temperature=0)
    np.testing.assert_array_equal(sample(model, [0], 9, temperature=1e-320, rng=1), greedy)


def test_a_generator_of_ids_leaves_recording_alone():
    model = LanguageModel(5, 3, 4, rng=0)
    ids = generate(model, [0], rng=3)
    first = next(ids)
    assert model.output(np.ones(4, np.float32)).requires_grad
    rest = list(itertools.islice(ids, 8))
    np.testing.assert_array_equal([first, *rest], sample(model, [0], 9, rng=3))
