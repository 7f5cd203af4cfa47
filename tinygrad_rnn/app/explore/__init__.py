"""``python -m tinygrad_rnn explore``: a page in your browser to change a net and see the effect.

``server`` serves the page to this machine alone. ``what_if`` draws new nets (``nets``) with the
values of the page's controls, and ``charts`` beside them. ``learning`` trains nets on ``tasks`` in
the background. ``reading`` shows a model of ``train``. The page is ``page.html``, ``page.css`` and
``page.js``, sent as one file.
"""

from __future__ import annotations

import argparse
import threading
import webbrowser
from importlib.resources import files
from pathlib import Path

from ..arguments import Unusable, whole
from .learning import Trainings
from .nets import LAYERS
from .reading import Reader
from .server import HOST, Answer, Server
from .tasks import TASKS
from .what_if import what_if


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        nargs="?",
        type=Path,
        metavar="CHECKPOINT.npz",
        help="a checkpoint of 'train' to look into; the page can open one, too",
    )
    parser.add_argument(
        "--port", type=whole(0), default=0, help="port on this machine (default: any free one)"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, but open no browser"
    )


def main(args: argparse.Namespace) -> int:
    """Serve the page until the user closes it or presses Ctrl-C.

    Raises:
        Unusable: the file is not a checkpoint, or the port number is too large.
        OSError: the port is in use, or the checkpoint cannot be read.
    """
    if args.port > 65535:
        raise Unusable(f"--port: expected at most 65535, got {args.port}")
    reader, trainings = Reader(args.checkpoint), Trainings()
    with serve(reader, trainings, args.port) as server:
        url = server.url + ("#read" if args.checkpoint is not None else "")
        print(f"open {url}\nclosing the page ends this; so does Ctrl-C", flush=True)
        # Importing and drawing take a moment, so make the first picture while the browser starts.
        threading.Thread(target=lambda: what_if({}), daemon=True).start()
        if not args.no_browser:
            webbrowser.open(url)
        try:
            server.serve_forever(poll_interval=0.1)
        finally:
            server.end()
            trainings.end_all()
    return 0


def serve(reader: Reader, trainings: Trainings, port: int = 0) -> Server:
    """Return the server, which does not run yet.

    Raises:
        OSError: the port is in use.
    """
    answers: dict[str, Answer] = {
        "/what-if": what_if,
        "/learn/start": trainings.start,
        "/learn/state": trainings.state,
        "/learn/pause": trainings.pause,
        "/learn/at": trainings.at,
        "/learn/end": trainings.end,
        "/read/about": reader.about,
        "/read/open": reader.open,
        "/read/look": reader.look,
    }
    try:
        return Server(page, answers, port)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{HOST}:{port}") from error


def page(nonce: str) -> bytes:
    """Return the page as one file.

    Args:
        nonce: the number that allows its script to run, see the Content-Security-Policy.
    """
    folder = files(__package__)
    html, css, js = (
        (folder / f"page.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")
    )
    tasks = "".join(f'<option value="{name}">{name}</option>' for name in (*TASKS, "text"))
    kinds = "".join(f'<option value="{kind}">{kind}</option>' for kind in LAYERS)
    for name, value in (
        ("TASKS", tasks),
        ("KINDS", kinds),
        ("NONCE", nonce),
        ("STYLE", css),
        ("SCRIPT", js),
    ):
        html = html.replace(f"%{name}%", value)
    return html.encode()
