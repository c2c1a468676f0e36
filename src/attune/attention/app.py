"""The server of the painting page: one annotator's list, frames, and saving what is painted.

It answers, behind :class:`attune.attention.security.Guard`:

- ``GET /`` and ``GET /static/<name>``: the page; nothing of anybody's is in it;
- ``GET /api/list``: the annotator, the variables, the shape of a map, and the items with how far each is;
- ``GET /api/items/<key>``: one item with what is saved of it;
- ``GET /api/items/<key>/frames.png``: its frames, side by side in :data:`COLUMNS` columns, row by row;
- ``PUT /api/items/<key>``: save; 409 with what is saved if that is not the version which the page had.

A page names itself by a random ``writer`` and numbers its saves. A save that this server has already had from it, or
that a later one has overtaken, changes nothing; a page may build upon its own last save although it has not heard its
answer. So a save may be sent again whenever its answer was lost, and the next before it has come: saves that wait for
their turn while a later one arrives are left to that one, which keeps a slow disk from holding up what is new.
"""

import math
import threading
import time
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from attune.attention import painting, security
from attune.attention.painting import ConflictError, Painting
from attune.attention.strokes import MAX_FRAMES, MAX_OPERATIONS, UNDO, Growing, Operation
from attune.attention.worklist import Item
from attune.params import Params
from attune.problems import InputError
from attune.video.reading import ClipReader

COLUMNS = 5  # of the frames' picture
KEEP_S = 120.0  # autosaves within this time count as one version
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

Word = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Counter = Annotated[int, Field(strict=True, ge=0, le=2**31)]
Second = Annotated[float, Field(strict=True, ge=0, le=1e6)]


class Save(Params):
    """What the page sends to be saved.

    Attributes:
        version: the version that it builds upon, 0 if nothing was saved.
        writer: random name of the page.
        sequence: counts the page's saves.
        kept: whether the version before is to be kept, as after a conflict or when the painter asked to save.
        strokes: all operations.
        labels: variable to own label.
        seconds: spent on each frame.
    """

    version: Counter
    writer: Word
    sequence: Counter
    kept: Annotated[bool, Field(strict=True)] = False
    strokes: tuple[Operation, ...] = Field(max_length=MAX_OPERATIONS)
    labels: dict[str, Annotated[int, Field(strict=True, ge=0, le=1)] | None] = Field(max_length=100)
    seconds: tuple[Second, ...] = Field(max_length=MAX_FRAMES)


@dataclass(frozen=True)
class PaintConfig:
    """One annotator's server.

    Attributes:
        annotator: who paints.
        items: their list.
        variables: the behaviours that they may label.
        reader: of the snippets' frames.
        frame_ms: time from one frame to the next.
        root: the folder of all paintings.
        place: where the server listens.
        token: of the link.
    """

    annotator: str
    items: tuple[Item, ...]
    variables: tuple[str, ...]
    reader: ClipReader
    frame_ms: float
    root: Path
    place: security.Place
    token: str


@dataclass
class _Desk:
    """What the server remembers of one item while it runs."""

    item: Item
    lock: threading.Lock = field(default_factory=threading.Lock)
    writer: str = ""
    sequence: int = -1
    version: int = -1
    kept_at: float = -math.inf
    content: object = None
    growing: Growing | None = None
    arrived: dict[str, int] = field(default_factory=dict)


class Studio:
    """Reads and saves the items of one list; every method may be called by many threads."""

    def __init__(self, config: PaintConfig) -> None:
        self.config = config
        self.desks = {item.key: _Desk(item) for item in config.items}

    def desk(self, key: str) -> _Desk:
        """An item of the list.

        Raises:
            RefusedError: it is on nobody's or somebody else's list.
        """
        if key not in self.desks:
            raise security.RefusedError(404, "not on your list")
        return self.desks[key]

    def overview(self) -> dict[str, Any]:
        """The whole list."""
        items = [
            {"key": item.key, "task": item.task, "variable": item.variable, **self._progress(item)}
            for item in self.config.items
        ]
        return {
            "annotator": self.config.annotator,
            "variables": list(self.config.variables),
            "frame_ms": self.config.frame_ms,
            "columns": COLUMNS,
            "items": items,
        }

    def state(self, key: str) -> dict[str, Any]:
        """One item with what is saved of it."""
        item = self.desk(key).item
        frames, height, width, _ = self._pixels(item).shape
        head = {"key": key, "task": item.task, "variable": item.variable}
        return {**head, "frames": frames, "height": height, "width": width, **self._saved(item)}

    def picture(self, key: str) -> bytes:
        """The frames of an item in one PNG."""
        pixels = self._pixels(self.desk(key).item)
        count, height, width, _ = pixels.shape
        sheet = np.zeros((-(-count // COLUMNS) * height, COLUMNS * width, 3), np.uint8)
        for k, frame in enumerate(pixels):
            row, column = divmod(k, COLUMNS)
            sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame
        return cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes()

    def save(self, key: str, wanted: Save) -> dict[str, Any]:
        """Save an item.

        Returns:
            The version that is saved now and how far the item is; ``left`` if this save was left to a later one.

        Raises:
            RefusedError: a label is of no variable, or the operations do not fit the frames.
            ConflictError: somebody else has saved it meanwhile.
        """
        desk = self.desk(key)
        shape = self._pixels(desk.item).shape[:3]
        if strangers := set(wanted.labels) - set(self.config.variables):
            raise security.RefusedError(422, f"labels of {len(strangers)} unknown variable(s)")
        if len(wanted.seconds) != shape[0]:
            raise security.RefusedError(422, f"expected {shape[0]} times, one per frame")
        made = Painting(
            annotator=self.config.annotator,
            painting=desk.item.painting,
            snippet=desk.item.snippet,
            strokes=wanted.strokes,
            labels=wanted.labels,
            seconds=wanted.seconds,
        )
        desk.arrived[wanted.writer] = max(wanted.sequence, desk.arrived.get(wanted.writer, 0))
        with desk.lock:
            if wanted.sequence < desk.arrived[wanted.writer]:
                return {"version": max(desk.version, 0), "left": True}
            own = wanted.writer == desk.writer
            if not own or wanted.sequence > desk.sequence:
                expected = desk.version if own and desk.version > wanted.version else wanted.version
                self._check_version(desk.item, expected)
                content = (wanted.strokes, wanted.labels)  # time spent looking alone makes no version that is kept
                due = time.monotonic() - desk.kept_at > KEEP_S and content != desk.content
                keep = wanted.kept or not own or due
                desk.growing = desk.growing or Growing(shape)
                try:
                    saved = painting.save(
                        self.config.root,
                        made,
                        shape,
                        expected_version=expected,
                        keep_previous=keep,
                        painted=desk.growing.rasterise(made.strokes),
                    )
                except InputError as error:
                    raise security.RefusedError(422, _words(error)) from None
                if keep:
                    desk.kept_at = time.monotonic()
                desk.writer, desk.sequence, desk.version = wanted.writer, wanted.sequence, saved.version
                desk.content = content
            return {"version": desk.version, "state": _state(made, desk.item)}

    def _check_version(self, item: Item, expected: int) -> None:
        """Find most conflicts before anything is rasterised; :func:`painting.save` finds the others."""
        folder = self._folder(item)
        current = painting.read_info(folder).version if folder.exists() else 0
        if current != expected:
            raise ConflictError(expected, current)

    def _pixels(self, item: Item) -> np.ndarray:
        return self.config.reader.read(item.session, item.start_ms)

    def _folder(self, item: Item) -> Path:
        return painting.place(self.config.root, self.config.annotator, item.painting)

    def _saved(self, item: Item) -> dict[str, Any]:
        folder = self._folder(item)
        if not folder.exists():
            return {"version": 0, "strokes": [], "labels": {}, "seconds": []}
        saved = painting.load(folder).model_dump(mode="json", exclude_none=True)
        return {name: saved.get(name, {}) for name in ("version", "strokes", "labels", "seconds")}

    def _progress(self, item: Item) -> dict[str, Any]:
        folder = self._folder(item)
        if not folder.exists():
            return {"state": "new"}
        return {"state": _state(painting.load(folder), item)}


def _state(made: Painting, item: Item) -> str:
    """How far an item is: done once there are paint and the painter's own label of its behaviour."""
    painted: set[int] = set()
    for operation in made.strokes:
        match operation:
            case painting.Stroke():
                painted |= {operation.frame} if operation.add else set()
            case painting.Clear():
                painted.discard(operation.frame)
            case painting.Copy():
                painted = painted | {operation.frame} if operation.source in painted else painted - {operation.frame}
    labelled = made.labels.get(item.variable) is not None
    return "done" if painted and labelled else "begun" if painted or labelled else "new"


def create(config: PaintConfig) -> FastAPI:
    """The application of one annotator's server."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(security.Guard, place=config.place, token=config.token)
    studio = Studio(config)
    page = _page()

    @app.exception_handler(security.RefusedError)
    def refuse(_: Request, refusal: security.RefusedError) -> Response:
        return JSONResponse({"error": refusal.reason}, refusal.status)

    @app.exception_handler(InputError)
    def complain(_: Request, error: InputError) -> Response:
        return JSONResponse({"error": _words(error)}, 500)

    @app.get("/")
    def index() -> Response:
        return page["app.html"]

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in page or name == "app.html":
            raise security.RefusedError(404, "no such file")
        return page[name]

    @app.get("/api/list")
    def overview() -> Response:
        return JSONResponse(studio.overview())

    @app.get("/api/items/{key}")
    def state(key: str) -> Response:
        return JSONResponse(studio.state(key))

    @app.get("/api/items/{key}/frames.png")
    def frames(key: str) -> Response:
        return Response(studio.picture(key), media_type="image/png")

    @app.put("/api/items/{key}")
    async def save(key: str, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_save, studio, key, body)

    return app


def _save(studio: Studio, key: str, body: bytes) -> Response:
    studio.desk(key)
    try:
        wanted = Save.model_validate(security.read_json(body))
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, detail["loc"]))[:100]
        cure = f". {UNDO}" if detail["type"] == "too_long" and where == "strokes" else ""
        raise security.RefusedError(422, f"{where}: {detail['msg']}{cure}"[:300]) from None
    try:
        return JSONResponse(studio.save(key, wanted))
    except ConflictError:
        return JSONResponse({"error": "saved elsewhere meanwhile", "now": studio.state(key)}, 409)


def _words(error: InputError) -> str:
    """A problem without the path of its file, which is not the page's business."""
    problem = error.problems[0]
    return f"expected {problem.expected}, found {problem.found}. {problem.cure}"


def _page() -> dict[str, Response]:
    """The files of the page, read once: no path that comes from outside is ever opened."""
    folder = resources.files("attune.attention") / "page"
    files = {file.name: file.read_bytes() for file in folder.iterdir() if Path(file.name).suffix in KINDS}
    return {name: Response(data, media_type=KINDS[Path(name).suffix]) for name, data in files.items()}
