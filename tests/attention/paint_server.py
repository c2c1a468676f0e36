"""A painter's server on a small data set, for the tests of the page and of its server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import uvicorn

from attune import artifacts
from attune.annotation.protocol import Protocol
from attune.attention import app, security, snippets, worklist
from attune.video.reading import ClipReader

FRAMES, HEIGHT, WIDTH = 6, 80, 112
SHAPE = (FRAMES, HEIGHT, WIDTH)
TOKEN = "T" * 43
SNIPPETS = 5  # of each annotator
AGAIN = 4  # which of them comes back
PROTOCOL = Protocol(
    first_date=date(2022, 1, 1),
    last_date=date(2022, 12, 31),
    sessions="fp[0-9]{2}",
    annotators=("ew", "kb"),
    tasks=("people", "drums"),
    variables={
        "attending": {"values": ["attending"]},  # type: ignore[dict-item]
        "participating": {"values": ["self"]},  # type: ignore[dict-item]
    },
)


def table() -> pd.DataFrame:
    rows = []
    for who, first in (("ew", 0), ("kb", 50)):
        for number in range(SNIPPETS):
            start_ms, task, variable = 320 * (first // 10 + number), "people", "attending"
            name = f"fp01-{task}-{variable}-{start_ms:07d}"
            rows.append((name, "fp01", who, task, variable, start_ms, number % 2, "own", int(number == AGAIN)))
    return pd.DataFrame(rows, columns=list(snippets.SNIPPETS))


def write_data(folder: Path) -> None:
    """Frames with a pattern that says which frame it is, and the table of snippets."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    frames = np.stack([np.stack([(x * 2 + 9 * k) % 256, y * 2, y * 0 + 8 * k], 2) for k in range(40)]).astype(np.uint8)
    (folder / "frames").mkdir(parents=True)
    np.save(folder / "frames" / "fp01.npy", frames)
    artifacts.write_table(folder / "snippets.csv", table())


def config(folder: Path, port: int, annotator: str = "ew", host: str = "127.0.0.1") -> app.PaintConfig:
    return app.PaintConfig(
        annotator=annotator,
        items=tuple(worklist.read(folder / "snippets.csv", annotator, PROTOCOL)),
        variables=tuple(PROTOCOL.variables),
        reader=ClipReader(folder / "frames", Fraction(25, 8), FRAMES),
        frame_ms=320.0,
        root=folder / "attention",
        place=security.Place(host, port),
        token=TOKEN,
    )


@dataclass(frozen=True)
class Running:
    folder: Path
    port: int
    config: app.PaintConfig

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        return f"{self.address}/?token={TOKEN}"


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[Running]:
    """The real server, in a thread."""
    listening = socket.create_server(("127.0.0.1", port))
    port = listening.getsockname()[1]
    settings = config(folder, port)
    server = uvicorn.Server(
        uvicorn.Config(app.create(settings), log_level="warning", access_log=False, ws="none", lifespan="off")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield Running(folder, port, settings)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
