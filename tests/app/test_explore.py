"""The page of ``explore``: its server, its numbers, and the page as a person uses it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.app import explore
from tinygrad_rnn.app.arguments import Unusable
from tinygrad_rnn.app.explore.learning import Training, Trainings
from tinygrad_rnn.app.explore.nets import LAYERS, Choice
from tinygrad_rnn.app.explore.reading import Reader
from tinygrad_rnn.app.explore.tasks import TASKS, text_task
from tinygrad_rnn.app.explore.what_if import singular_values, what_if

from . import browser as driven

ROOT = Path(__file__).parents[2]
TEXT = "to be or not to be, that is the question. " * 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explore")
    (folder / "text.txt").write_text(TEXT)
    out = folder / "model.npz"
    tg.train(folder / "text.txt", out, hidden=8, batch=4, bptt=8, steps=20)
    return out


# ── the server ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def server() -> Iterator[explore.Server]:
    with explore.serve(Reader(), Trainings()) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.end()
        made.shutdown()
        thread.join()


def asked(
    server: explore.Server, method: str, path: str, content: Any = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    given = {"X-Token": server.token, "Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    body = content if isinstance(content, (bytes, type(None))) else json.dumps(content)
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    text = answer.read().decode()
    found = dict(answer.getheaders())
    connection.close()
    is_json = found["Content-Type"].startswith("application/json")
    return answer.status, found, json.loads(text) if is_json else text


def test_it_is_for_this_machine_alone(server: explore.Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    page = f"/?token={server.token}"
    status, headers, text = asked(server, "GET", page)
    assert (status, text[:15]) == (200, "<!DOCTYPE html>")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert asked(server, "GET", "/")[0] == 403
    assert asked(server, "GET", "/?token=wrong")[0] == 403
    for wrong in (
        {"Host": "example.org"},
        {"Host": f"evil.test:{server.server_port}"},
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"X_Token": "wrong"},
    ):
        assert asked(server, "POST", "/what-if", {}, **wrong)[0] == 403, wrong
    own = f"http://127.0.0.1:{server.server_port}"
    status, _, found = asked(server, "POST", "/what-if", {"steps": 3}, Origin=own)
    assert (status, set(found)) == (200, {"nets", "curves", "singular", "code"})


def test_wrong_requests_are_told(server: explore.Server) -> None:
    assert asked(server, "GET", f"/other?token={server.token}")[0] == 404
    assert asked(server, "POST", "/other", {})[0] == 404
    assert asked(server, "POST", "/what-if", b"{")[0] == 400
    assert asked(server, "POST", "/what-if", [1])[2] == {"error": "expected a JSON object"}
    status, _, found = asked(server, "POST", "/what-if", {"steps": 10**6})
    assert (status, found) == (422, {"error": "steps: expected at most 300, got 1000000"})
    assert asked(server, "POST", "/what-if", {"radius": "x"})[0] == 422
    assert asked(server, "POST", "/what-if", {"kinds": []})[0] == 422
    assert asked(server, "POST", "/learn/state", {"id": 7})[0] == 422
    status, _, found = asked(server, "POST", "/read/look", {"text": "a"})
    assert (status, found["error"][:23]) == (422, "open a checkpoint first")
    octets = {"Content_Type": "application/octet-stream"}
    assert asked(server, "POST", "/read/open", b"no checkpoint", **octets)[0] == 422


def test_infinite_losses_are_no_fault_of_the_server(server: explore.Server) -> None:
    given = {"kinds": ["RNN"], "nonlinearity": "relu", "radius": 4.0, "steps": 300}
    status, _, found = asked(server, "POST", "/what-if", given)
    assert status == 200
    assert found["nets"][0]["flow"].startswith("<svg")


def test_the_page_is_small_and_needs_nothing_else() -> None:
    page = explore.page("nonce").decode()
    assert len(page) <= 300_000
    urls = set(re.findall(r"https?://[^\s\"'`<)]+", page))
    assert urls == {"http://www.w3.org/2000/svg"}  # the name of SVG: nobody asks for it
    assert "%" + "SCRIPT%" not in page
    assert not re.findall(r"<(?:script|img|iframe)[^>]* src=|@import|url\(", page)


# ── what if ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("inputs", ["noise", "pulse", "constant", "sine"])
def test_the_code_makes_what_is_shown(
    inputs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"kinds": list(LAYERS), "steps": 7, "hidden": 3, "radius": 1.2, "bias": 1.5}
    given |= {"inputs": inputs, "loss": "every step" if inputs == "sine" else "last step"}
    found = what_if(given)
    names: dict[str, Any] = {}
    exec(found["code"], names)
    for net in found["nets"]:
        flow = names["flows"][net["kind"]]
        assert flow.loss == pytest.approx(net["loss"], rel=1e-12)
        assert flow.reason == net["reason"]
    assert (tmp_path / "flows.svg").exists()
    assert capsys.readouterr().out


def test_the_spectral_radius_and_the_bias_are_as_chosen() -> None:
    choice = Choice.of({"hidden": 5, "radius": 0.7, "bias": 2.0})
    for kind in LAYERS:
        net = choice.net(kind)
        for block in net.weight_hh_l0.data.reshape(-1, 5, 5):
            assert max(abs(np.linalg.eigvals(block))) == pytest.approx(0.7)
    assert (choice.net("LSTM").bias_ih_l0.data[5:10] == 2).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_singular_values_are_those_of_the_jacobians(kind: str) -> None:
    choice = Choice.of({"steps": 5, "hidden": 3})
    net, x = choice.net(kind), choice.x()
    y, _ = net(x, unroll=True)
    loss = choice.loss_of(y)
    found = singular_values(net, kind, tg.activations(loss), x)
    assert np.isnan(found[0]).all()
    cell = {"RNN": tg.nn.RNNCell, "LSTM": tg.nn.LSTMCell, "GRU": tg.nn.GRUCell}[kind]
    step = cell(4, 3, dtype=np.float64)
    step.load_state_dict({k.removesuffix("_l0"): v for k, v in net.state_dict().items()})
    acts = tg.activations(loss)
    names = ("h", "c") if kind == "LSTM" else ("h",)
    for t in range(1, 5):

        def after(flat: tg.Tensor, t: int = t) -> tg.Tensor:
            parts = tuple(tg.reshape(part, (1, 3)) for part in tg.split(flat, len(names)))
            state = step(x[t], parts if kind == "LSTM" else parts[0])
            return tg.concatenate(list(state) if kind == "LSTM" else [state], -1)[0]

        before = np.concatenate([acts[name][t - 1, 0] for name in names])
        J = tg.jacobian(after, tg.Tensor(before)).data
        values = np.linalg.svd(J, compute_uv=False)
        np.testing.assert_allclose(found[t], values[[0, (len(values) - 1) // 2, -1]], rtol=1e-8)


# ── watch it learn ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*TASKS, "text"])
def test_tasks_can_be_answered(name: str) -> None:
    task = TASKS[name] if name in TASKS else text_task(TEXT)
    x, target = task.batch(np.random.default_rng(0), 12, 5)
    assert x.shape == (12, 5, task.inputs)
    assert len(task.symbols(x[:, 0])) == 12
    if target.dtype.kind == "f":
        perfect = np.zeros((12, 5, 1))
        perfect[-1, :, 0] = target
    else:
        perfect = 50 * np.eye(task.outputs)[np.maximum(target, 0)]
    assert task.right(perfect, target) == 1
    assert task.loss(tg.Tensor(perfect), target).item() < 1e-3
    assert task.right(np.zeros_like(perfect) - perfect, target) < 1


def finished(training: Training) -> Training:
    training._thread.join(120)
    assert training.error == ""
    return training


def test_a_training_learns_and_its_code_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    given = {"task": "recall", "steps": 8, "hidden": 12, "total": 250, "lr": 0.03}
    training = finished(Training(given))
    assert np.mean(training.losses[-20:]) < 0.5 * np.mean(training.losses[:20])
    state = training.state(240)
    assert (state["step"], len(state["losses"]), state["over"]) == (250, 10, True)
    assert state["stages"][0] == 0
    assert state["stages"][-1] == 250
    for step in (0, 250):
        shown = training.at(step)
        assert shown["flow"].startswith("<svg")
        assert shown["maps"].startswith("<svg")
    with pytest.raises(Unusable, match="not kept"):
        training.at(3)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(training.code(), names)
    assert names["loss"].item() == pytest.approx(training.losses[-1], rel=1e-5)
    capsys.readouterr()


@pytest.mark.parametrize("kind", LAYERS)
def test_a_training_stops_and_goes_on(kind: str) -> None:
    trainings = Trainings()
    found = trainings.start({"task": "text", "text": TEXT, "total": 2000, "kind": kind})
    number = found["id"]
    end = time.monotonic() + 30  # the first step compiles the net
    while not trainings.state({"id": number})["step"]:
        assert time.monotonic() < end
        time.sleep(0.01)
    trainings.pause({"id": number, "paused": True})
    time.sleep(0.5)  # the step that was under way
    before = trainings.state({"id": number})["step"]
    time.sleep(0.2)
    assert trainings.state({"id": number})["step"] == before
    assert not trainings.pause({"id": number, "paused": True})["running"]
    assert trainings.pause({"id": number, "paused": False})["running"]
    end = time.monotonic() + 20
    while trainings.state({"id": number})["step"] <= before:
        assert time.monotonic() < end
        time.sleep(0.01)
    trainings.end_all()
    with pytest.raises(Unusable, match="has ended"):
        trainings.state({"id": number})


def test_trainings_refuse_what_cannot_be() -> None:
    for given, words in (
        ({"task": "other"}, "task: expected one of"),
        ({"task": "text", "text": "short"}, "at least 50 characters"),
        ({"hidden": 0}, "hidden"),
        ({"lr": 5.0}, "lr: expected"),
    ):
        with pytest.raises(Unusable, match=words):
            Training(given)


# ── a model of one's own ─────────────────────────────────────────────────────────────────


def test_a_model_is_looked_into(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    reader = Reader(checkpoint)
    assert reader.about({})["says"].startswith("LSTM, 1 layer of 8 units")
    found = reader.look({"text": "to be", "at": 2})
    assert found["symbols"] == list("to be")
    assert max(found["matters"]) == 1
    assert found["matters"][3:] == [0, 0]  # what comes later does not matter
    assert all(0 < sure <= 1 for _, sure in found["likely"])
    model, vocabulary = tg.load_model(checkpoint)
    logits, _ = model.eval()(vocabulary.encode("to be")[:, None])
    best = logits.data[:, 0].argmax(-1)
    assert [symbol for symbol, _ in found["likely"]] == [vocabulary.symbols[k] for k in best]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(found["code"], names)
    assert names["flow"].reason == found["reason"]
    capsys.readouterr()
    with pytest.raises(Unusable, match="characters that the model's text has not"):
        reader.look({"text": "XYZ"})
    sent = Reader()
    assert sent.about({}) == {"name": ""}
    assert sent.open(checkpoint.read_bytes())["says"] == reader.about({})["says"]


# ── the page, as a person uses it ────────────────────────────────────────────────────────

needs_browser = pytest.mark.skipif(
    not (driven.CHROMIUM and driven.DRIVER), reason="needs Chromium and chromedriver"
)


@pytest.fixture
def started(checkpoint: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_rnn", "explore", "--no-browser", str(checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    assert url.endswith("#read")  # with a checkpoint the page opens at it
    yield process, url.removesuffix("#read")
    process.kill()
    process.communicate()


def data(b: driven.Browser, selector: str, name: str) -> str:
    return str(b.run(f"return document.querySelector({selector!r}).dataset.{name} || '0'"))


@needs_browser
def test_the_page_as_a_person_uses_it(
    started: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = started
    with driven.browser(tmp_path) as b:
        b.go(url)
        b.wait(lambda: data(b, "body", "drawn") != "0", what="the first picture")
        assert "LSTM: From step 49 back" in b.text("#what .says")
        assert b.run("return document.querySelectorAll('#what .picture svg').length") == 6

        # A slider under the keyboard, and a cell more.
        drawn = data(b, "body", "drawn")
        b.run("document.querySelector('#what [name=steps]').focus()")
        b.press("right", "right")
        b.wait(lambda: b.text("#what .says").startswith("RNN: From step 51"))
        b.click("#what [value=GRU]")
        b.wait(lambda: "GRU: " in b.text("#what .says"))
        assert data(b, "body", "drawn") != drawn
        for kind in ("RNN", "LSTM"):
            b.click(f"#what [value={kind}]")
        b.wait(lambda: b.run("return document.querySelectorAll('#what .net').length") == 1)
        b.click("#what [value=GRU]")
        b.wait(lambda: b.text("#error") == "choose at least one cell")
        b.click("#what [value=RNN]")
        b.wait(lambda: b.text("#error") == "")
        b.click("summary")
        b.wait(lambda: "tg.nn.RNN(4, 16" in b.text("#code"))

        # Tabs by the arrow keys; a training.
        b.run("document.querySelector('#tab-what').focus()")
        b.press("right")
        assert b.run("return document.activeElement.id") == "tab-learn"
        b.select("#learn [name=total]", "300")
        b.select("#learn [name=steps]", "8")
        b.click("#start")
        b.wait(lambda: int(data(b, "#learn", "step")) > 0)
        b.wait(lambda: data(b, "#learn", "step") == "300", 90)
        b.wait(lambda: data(b, "#learn", "stage") == "300")
        b.run("document.querySelector('#stage').focus()")
        b.press("home")
        b.wait(lambda: data(b, "#learn", "stage") == "0")
        assert "Step 300 of 300" in b.text("#learn .says")

        # A model, characters by keys and by a finger.
        b.touch("#tab-read")
        b.wait(lambda: data(b, "#read", "at") == "17")
        b.touch("#symbols .symbol:nth-child(5)")
        b.wait(lambda: data(b, "#read", "at") == "4")
        b.press("left")
        b.wait(lambda: data(b, "#read", "at") == "3")
        assert b.run("return document.activeElement.getAttribute('aria-selected')") == "true"
        b.clear("#read textarea")
        b.type("#read textarea", "that Ω")
        b.wait(lambda: "'Ω'" in b.text("#error"))
        b.clear("#read textarea")
        b.type("#read textarea", "that")
        b.wait(lambda: data(b, "#read", "at") == "3" and b.text("#error") == "")

        for suffix in ("svg", "png", "html"):
            b.click(f"[data-save={suffix}]")
            file = tmp_path / f"reading.{suffix}"
            b.wait(lambda file=file: file.exists() and file.stat().st_size > 1000)
        assert "default-src 'none'" in (tmp_path / "reading.html").read_text()
        assert (tmp_path / "reading.png").read_bytes()[:4] == b"\x89PNG"

        # Narrow and dark: nothing is wider than the window.
        for width in (390, 800):
            b.size(width, 800)
            for tab in ("what", "learn", "read"):
                b.click(f"#tab-{tab}")
                wide = b.run("return document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, (width, tab)
        b.cdp(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        ground = "return getComputedStyle(document.body).backgroundColor"
        assert b.run(ground) == "rgb(21, 24, 28)"

        # Two pages at a time; one closes, and the other one goes on.
        first = b("GET", "/window")
        second = b("POST", "/window/new", type="tab")["handle"]
        b("POST", "/window", handle=second)
        b.go(url)
        b.wait(lambda: data(b, "body", "drawn") != "0")
        b("DELETE", "/window")
        b("POST", "/window", handle=first)
        time.sleep(5)
        assert process.poll() is None
        assert not b.run("return !document.querySelector('#over').hidden")

        # Nothing was sent anywhere else, and nothing failed.
        assert b("POST", "/se/log", type="browser") == [] or all(
            "422" in entry["message"] for entry in b("POST", "/se/log", type="browser")
        )
        for entry in b("POST", "/se/log", type="performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked_for = message["params"]["request"]["url"]
                local = urlsplit(asked_for).hostname in ("127.0.0.1", None)
                assert local or asked_for.startswith(("blob:", "data:", "chrome:")), asked_for
    # Closing the last page ends the program.
    assert process.wait(15) == 0


@needs_browser
def test_ctrl_c_ends_it_and_the_page_says_so(
    started: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = started
    with driven.browser(tmp_path) as b:
        b.go(url)
        b.wait(lambda: data(b, "body", "drawn") != "0")
        b.click("#tab-learn")
        b.click("#start")
        b.wait(lambda: int(data(b, "#learn", "step")) > 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
        b.wait(lambda: b.run("return !document.querySelector('#over').hidden"))


def test_a_port_that_is_taken_is_told(server: explore.Server, capsys: Any) -> None:
    from tinygrad_rnn.app.command_line import main

    assert main(["explore", "--no-browser", "--port", str(server.server_port)]) == 2
    assert f"127.0.0.1:{server.server_port}" in capsys.readouterr().err
    assert main(["explore", "--no-browser", "--port", "70000"]) == 2
    assert main(["explore", "--no-browser", "nothing.npz"]) == 2
    assert "nothing.npz" in capsys.readouterr().err
