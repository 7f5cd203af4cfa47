"""The programs in examples/ported beside PyTorch's: the same losses, step after step.

Each model is built here with PyTorch's own modules, as the original programs have it, gets the
weights that ours started with, and is trained on the same batches in float64. Dropout is off,
since the masks come from other generators.
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from examples.ported import (
    char_rnn_classification,
    makemore,
    seq2seq_translation,
    time_sequence_prediction,
    word_language_model,
)

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def doubles():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def with_weights_of(ours, theirs):
    theirs.load_state_dict({name: torch.tensor(a) for name, a in ours.state_dict().items()})
    return theirs


def same_curve(ours, theirs, rtol=1e-9):
    assert len(ours) == len(theirs)
    assert ours[-1] < ours[0], "it has to learn"
    np.testing.assert_allclose(ours, theirs, rtol=rtol)


# ── word_language_model ──────────────────────────────────────────────────────────────────


class TorchLanguageModel(torch.nn.Module):
    def __init__(self, kind, ntoken, ninp, nhid, nlayers, tie_weights):
        super().__init__()
        self.encoder = torch.nn.Embedding(ntoken, ninp)
        if kind in ("LSTM", "GRU"):
            self.rnn = getattr(torch.nn, kind)(ninp, nhid, nlayers)
        else:
            nonlinearity = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}[kind]
            self.rnn = torch.nn.RNN(ninp, nhid, nlayers, nonlinearity=nonlinearity)
        self.decoder = torch.nn.Linear(nhid, ntoken)
        if tie_weights:
            self.decoder.weight = self.encoder.weight

    def forward(self, ids, hidden):
        output, hidden = self.rnn(self.encoder(ids), hidden)
        decoded = self.decoder(output)
        return F.log_softmax(decoded.view(-1, decoded.shape[-1]), dim=1), hidden


def repackage(hidden):
    if hidden is None:
        return None
    return hidden.detach() if torch.is_tensor(hidden) else tuple(map(repackage, hidden))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"])
@pytest.mark.parametrize("tied", [False, True])
def test_word_language_model(kind, tied):
    ids = np.random.default_rng(0).geometric(0.3, 1200) % 20  # some words are far more frequent
    batches = tg.text.Streams(ids, 4, 7)
    ours = word_language_model.RNNModel(kind, 20, 8, 8, 2, 0.0, tied, dtype=np.float64, rng=0)
    theirs = with_weights_of(ours, TorchLanguageModel(kind, 20, 8, 8, 2, tied))
    lr, losses, hidden = 1.0, [], None
    for data, targets in batches:
        hidden = repackage(hidden)
        theirs.zero_grad()
        output, hidden = theirs(torch.tensor(data), hidden)
        loss = F.nll_loss(output, torch.tensor(targets).reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.25)
        with torch.no_grad():
            for p in theirs.parameters():
                p.add_(p.grad, alpha=-lr)
        losses.append(loss.item())
    same_curve(word_language_model.train_epoch(ours, batches, lr, clip=0.25), losses)


# ── time_sequence_prediction ─────────────────────────────────────────────────────────────


class TorchSequence(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden
        self.lstm1 = torch.nn.LSTMCell(1, hidden)
        self.lstm2 = torch.nn.LSTMCell(hidden, hidden)
        self.linear = torch.nn.Linear(hidden, 1)

    def forward(self, waves, future=0):
        outputs = []
        first = second = (torch.zeros(len(waves), self.hidden),) * 2
        for x in waves.split(1, dim=1):
            first = self.lstm1(x, first)
            second = self.lstm2(first[0], second)
            outputs.append(self.linear(second[0]))
        for _ in range(future):
            first = self.lstm1(outputs[-1], first)
            second = self.lstm2(first[0], second)
            outputs.append(self.linear(second[0]))
        return torch.cat(outputs, dim=1)


def test_time_sequence_prediction():
    data = time_sequence_prediction.waves(5, 30)
    ours = time_sequence_prediction.Sequence2(6, rng=0)
    theirs = with_weights_of(ours, TorchSequence(6))
    x, y = torch.tensor(data[:, :-1]), torch.tensor(data[:, 1:])
    optimizer = torch.optim.LBFGS(theirs.parameters(), lr=0.8)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(theirs(x), y)
        losses.append(loss.item())
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    mine = time_sequence_prediction.train(ours, data, 2)
    # L-BFGS divides by small differences of gradients: rounding grows from step to step.
    same_curve(mine[:10], losses[:10], 1e-10)
    same_curve(mine, losses, 1e-5)
    with tg.no_grad():
        predicted = ours(data, future=4).numpy()
    theirs.load_state_dict({name: torch.tensor(a) for name, a in ours.state_dict().items()})
    with torch.no_grad():
        np.testing.assert_allclose(predicted, theirs(torch.tensor(data), 4).numpy(), rtol=1e-9)


# ── char_rnn_classification ──────────────────────────────────────────────────────────────


class TorchCharRNN(torch.nn.Module):
    def __init__(self, hidden, languages):
        super().__init__()
        self.rnn = torch.nn.RNN(len(char_rnn_classification.LETTERS), hidden)
        self.h2o = torch.nn.Linear(hidden, languages)

    def forward(self, x):
        _, hidden = self.rnn(x)
        return F.log_softmax(self.h2o(hidden[0]), dim=1)


@pytest.mark.parametrize("loss_of", ["batch_loss", "padded_loss"])
def test_char_rnn_classification(loss_of):
    program = char_rnn_classification
    data = [
        (program.one_hot(name, np.float64), i)
        for i, names in enumerate(program.NAMES.values())
        for name in names.split()[:6]
    ]
    ours = program.CharRNN(12, 5, dtype=np.float64, rng=0)
    theirs = with_weights_of(ours, TorchCharRNN(12, 5))
    mine, other = tg.optim.SGD(ours.parameters(), 0.15), torch.optim.SGD(theirs.parameters(), 0.15)
    curves = [], []
    rng = np.random.default_rng(0)
    for _ in range(25):
        names, labels = zip(*(data[i] for i in rng.permutation(len(data))[:8]), strict=True)
        loss = getattr(program, loss_of)(ours, names, labels)
        curves[0].append(program.train_step(ours, mine, loss))
        other.zero_grad()
        total = 0
        for x, y in zip(names, labels, strict=True):
            total = total + F.nll_loss(theirs(torch.tensor(x)), torch.tensor([y]))
        total = total / len(names)
        total.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 3.0)
        other.step()
        curves[1].append(total.item())
    same_curve(*curves)


# ── seq2seq_translation ──────────────────────────────────────────────────────────────────


class TorchEncoder(torch.nn.Module):
    def __init__(self, words, hidden):
        super().__init__()
        self.embedding = torch.nn.Embedding(words, hidden)
        self.gru = torch.nn.GRU(hidden, hidden, batch_first=True)

    def forward(self, ids):
        return self.gru(self.embedding(ids))


class TorchAttention(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.Wa = torch.nn.Linear(hidden, hidden)
        self.Ua = torch.nn.Linear(hidden, hidden)
        self.Va = torch.nn.Linear(hidden, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).unsqueeze(1)
        return torch.bmm(F.softmax(scores, dim=-1), keys)


class TorchDecoder(torch.nn.Module):
    def __init__(self, words, hidden):
        super().__init__()
        self.embedding = torch.nn.Embedding(words, hidden)
        self.attention = TorchAttention(hidden)
        self.gru = torch.nn.GRU(2 * hidden, hidden, batch_first=True)
        self.out = torch.nn.Linear(hidden, words)

    def forward(self, outputs, hidden, target):
        word = torch.full((len(outputs), 1), seq2seq_translation.SOS)
        steps = []
        for t in range(seq2seq_translation.MAX_LENGTH):
            context = self.attention(hidden.permute(1, 0, 2), outputs)
            both = torch.cat((self.embedding(word), context), dim=2)
            output, hidden = self.gru(both, hidden)
            steps.append(self.out(output))
            word = target[:, t : t + 1]
        return F.log_softmax(torch.cat(steps, dim=1), dim=-1)


def test_seq2seq_translation():
    program = seq2seq_translation
    source, target, english, french = program.sentences()
    rng = np.random.default_rng(0)
    settings = {"dropout": 0.0, "dtype": np.float64, "rng": rng}
    encoder = program.EncoderRNN(len(english), 10, **settings)
    decoder = program.AttnDecoderRNN(len(french), 10, **settings)
    others = (
        with_weights_of(encoder, TorchEncoder(len(english), 10)),
        with_weights_of(decoder, TorchDecoder(len(french), 10)),
    )
    mine = [tg.optim.Adam(net.parameters(), 1e-2) for net in (encoder, decoder)]
    reference = [torch.optim.Adam(net.parameters(), 1e-2) for net in others]
    curves = [], []
    for k in range(20):
        x, y = (ids[16 * k : 16 * k + 16] for ids in (source, target))
        curves[0].append(program.train_step(encoder, decoder, mine, x, y))
        for optimizer in reference:
            optimizer.zero_grad()
        log_p = others[1](*others[0](torch.tensor(x)), torch.tensor(y))
        loss = F.nll_loss(log_p.view(-1, log_p.shape[-1]), torch.tensor(y).view(-1))
        loss.backward()
        for optimizer in reference:
            optimizer.step()
        curves[1].append(loss.item())
    same_curve(*curves)


# ── makemore ─────────────────────────────────────────────────────────────────────────────


class TorchRNNCell(torch.nn.Module):
    def __init__(self, n_embd, n_hidden):
        super().__init__()
        self.xh_to_h = torch.nn.Linear(n_embd + n_hidden, n_hidden)

    def forward(self, x, h):
        return torch.tanh(self.xh_to_h(torch.cat([x, h], dim=1)))


class TorchGRUCell(torch.nn.Module):
    def __init__(self, n_embd, n_hidden):
        super().__init__()
        self.xh_to_z, self.xh_to_r, self.xh_to_hbar = (
            torch.nn.Linear(n_embd + n_hidden, n_hidden) for _ in range(3)
        )

    def forward(self, x, h):
        xh = torch.cat([x, h], dim=1)
        r = torch.sigmoid(self.xh_to_r(xh))
        hbar = torch.tanh(self.xh_to_hbar(torch.cat([x, r * h], dim=1)))
        z = torch.sigmoid(self.xh_to_z(xh))
        return (1 - z) * h + z * hbar


class TorchMakemore(torch.nn.Module):
    def __init__(self, cell, vocabulary, n_embd, n_hidden):
        super().__init__()
        self.start = torch.nn.Parameter(torch.zeros(1, n_hidden))
        self.wte = torch.nn.Embedding(vocabulary, n_embd)
        self.cell = cell(n_embd, n_hidden)
        self.lm_head = torch.nn.Linear(n_hidden, vocabulary)

    def forward(self, ids, targets):
        x = self.wte(ids)
        h = self.start.expand((len(ids), -1))
        hs = []
        for t in range(ids.shape[1]):
            h = self.cell(x[:, t], h)
            hs.append(h)
        logits = self.lm_head(torch.stack(hs, 1))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1), ignore_index=-1)


@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_makemore(kind):
    words = " ".join(makemore.NAMES.values()).lower().split()
    characters = "".join(sorted(set("".join(words))))
    x, y = makemore.encoded(words, characters)
    ours = makemore.RNN(kind, len(characters) + 1, 6, 9, dtype=np.float64, rng=0)
    cell = {"rnn": TorchRNNCell, "gru": TorchGRUCell}[kind]
    theirs = with_weights_of(ours, TorchMakemore(cell, len(characters) + 1, 6, 9))
    mine = makemore.adamw(ours)
    other = torch.optim.AdamW(theirs.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99))
    curves = [], []
    rng = np.random.default_rng(0)
    for _ in range(40):
        batch = rng.integers(0, len(words), 32)
        curves[0].append(makemore.train_step(ours, mine, x[batch], y[batch]))
        loss = theirs(torch.tensor(x[batch]), torch.tensor(y[batch]))
        other.zero_grad()
        loss.backward()
        other.step()
        curves[1].append(loss.item())
    same_curve(*curves)
