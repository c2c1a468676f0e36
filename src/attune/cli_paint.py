"""The command ``attune paint``: serve one annotator's painting page from this machine."""

import html
import os
import shutil
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ConfigDict

from attune import console, params
from attune.problems import InputError, Problem

SNIPPETS = Path("data/processed/human_attention/candidate_snippets.csv")
FRAMES = Path("data/processed/frames")
OPEN_S = 60.0  # within which a browser has opened the page


class _Raw(params.Params):
    """The one key of section engagement that is used here."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    raw: Path


def paint(
    annotator: Annotated[str, typer.Argument(help="Who paints: initials as in engagement.protocol.annotators.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but 127.0.0.1 opens it to others.")
    ] = "127.0.0.1",
    snippets: Annotated[Path, typer.Option(help="The table of the snippets that are to be painted.")] = SNIPPETS,
    frames: Annotated[Path, typer.Option(help="The folder of the sessions' frames.")] = FRAMES,
    out: Annotated[
        Path | None, typer.Option(help="Where paintings go. [default: attention in the folder engagement.raw]")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Serve the page on which ANNOTATOR paints where they look; stop it with Ctrl-C.

    Everything painted is saved within a second, and the page goes on where it was when it is opened again.
    """
    from attune.annotation.protocol import Protocol  # imported here so that the other commands start fast
    from attune.attention import app, security, worklist
    from attune.video import clips, files
    from attune.video.reading import ClipReader

    protocol = params.load("engagement.protocol", Protocol)
    rate = params.load("engagement.video", files.VideoConfig).frame_rate
    num_frames = clips.num_frames(params.load("engagement.clips", clips.ClipConfig), rate)
    root = out or params.load("engagement", _Raw).raw / "attention"
    items = worklist.read(snippets, annotator, protocol)
    reader = ClipReader(frames, rate, num_frames)
    for item in items:
        reader.read(item.session, item.start_ms)
    console.warn(worklist.orphans(root, annotator, items))
    root.mkdir(parents=True, exist_ok=True)
    listening = _listen(host, port)
    place = security.Place(host, listening.getsockname()[1])
    token = security.new_token()
    config = app.PaintConfig(
        annotator, tuple(items), tuple(protocol.variables), reader, float(1000 / rate), root, place, token
    )
    link = f"http://{_name(host)}:{place.port}/?token={token}"
    _greet(annotator, len(items), root, link, place.is_private)
    with _open(link) if browser else nullcontext():
        _serve(app.create(config), listening)
    print("Stopped. Whatever the page showed as saved is saved; the rest its browser keeps for the next time.")


@contextmanager
def _open(link: str) -> Iterator[None]:
    """Open the link in a browser, by way of a file that only this user can read and that is soon removed.

    A browser's command line can be read by everybody on this machine: it must not hold the token. The file is in the
    current folder since browsers in a sandbox of their own (snap, flatpak) do not see the system's temporary files.
    """
    address = html.escape(link)
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={address}"><a href="{address}">Open the page</a>'
    place = Path.cwd() if os.access(".", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="attune-paint-", suffix=".partial", dir=place) as folder:  # of mode 0700
        door = Path(folder) / "open.html"
        door.touch(mode=0o600)
        door.write_text(page, encoding="utf-8")
        webbrowser.open(door.as_uri())
        removal = threading.Timer(OPEN_S, shutil.rmtree, [folder], {"ignore_errors": True})
        removal.daemon = True
        removal.start()
        try:
            yield
        finally:
            removal.cancel()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that already queues calls, so that a browser may be started before the server."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(64)
    except OSError as error:
        cure = "Is another `attune paint` running? Stop it, or choose another --port."
        found = error.strerror or str(error)
        raise InputError(Problem("attune paint", f"{host}:{port}", found, "an address to listen on", cure)) from None
    return listening


def _name(host: str) -> str:
    """What a link calls a host: this machine's name where it listens on every address."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _greet(annotator: str, count: int, root: Path, link: str, private: bool) -> None:
    print(f"{count} snippet(s) for {annotator}; paintings go to {root / annotator}. Open")
    print(f"  {link}")
    print(
        "and stop with Ctrl-C. The link is a key: who has it sees the videos and can change the paintings.", flush=True
    )
    if not private:
        print(
            "warning: this listens beyond this machine. Everybody on the network who gets the link sees the children's "
            "video, and it travels unencrypted: whoever can watch the network sees it, and the link, too. Do this only "
            "where consent and your ethics board allow it; else leave --host out, and paint from elsewhere through "
            "`ssh -L`.",
            file=sys.stderr,
            flush=True,
        )


def _serve(application: Any, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        limit_concurrency=100,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=16 * 1024,
    )
    with suppress(KeyboardInterrupt), listening:
        uvicorn.Server(config).run(sockets=[listening])
