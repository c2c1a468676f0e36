"""The painting server: what it answers, what it refuses, and that no save is lost."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from attune.attention import app, painting, security, strokes, worklist
from attune.problems import InputError
from tests.attention import paint_server
from tests.attention.paint_server import FRAMES, HEIGHT, PROTOCOL, SHAPE, TOKEN, WIDTH

PORT = 8765
ORIGIN = f"http://127.0.0.1:{PORT}"
KEY = {security.HEADER: TOKEN}
WRITING = {**KEY, "origin": ORIGIN, "content-type": "application/json"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paint")
    paint_server.write_data(folder)
    return folder


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    for name in ("frames", "snippets.csv"):
        (tmp_path / name).symlink_to(data / name)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(app.create(paint_server.config(folder, PORT)), base_url=ORIGIN) as opened:
        yield opened


@pytest.fixture
def key(folder: Path) -> str:
    return paint_server.config(folder, PORT).items[0].key


def stroke(**changed: Any) -> dict[str, Any]:
    return {"kind": "stroke", "frame": 1, "radius": 5, "strength": 0.5, "points": [[10, 10], [30, 20.5]], **changed}


def body(**changed: Any) -> dict[str, Any]:
    made = {
        "version": 0,
        "writer": "w" * 8,
        "sequence": 1,
        "strokes": [stroke()],
        "labels": {},
        "seconds": [0] * FRAMES,
    }
    return {**made, **changed}


def put(client: Any, key: str, content: Any, headers: dict[str, str] = WRITING) -> httpx.Response:
    sent = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.put(f"/api/items/{key}", content=sent, headers=headers)


# --- What it answers


def test_a_painting_comes_back_and_its_map_is_what_the_rasteriser_makes_of_it(
    client: TestClient, folder: Path, key: str
) -> None:
    strokes = [stroke(), {"kind": "copy", "source": 1, "frame": 2}, stroke(add=False, frame=2, radius=3.5)]
    answer = put(client, key, body(strokes=strokes, labels={"attending": 1, "participating": None}))
    assert answer.status_code == 200 and answer.json() == {"version": 1, "state": "done"}
    state = client.get(f"/api/items/{key}", headers=KEY).json()
    assert state["version"] == 1 and state["labels"]["attending"] == 1
    assert [one["kind"] for one in state["strokes"]] == ["stroke", "copy", "stroke"]
    item = paint_server.config(folder, PORT).items[0]
    saved = folder / "attention" / "ew" / item.painting
    expected = painting.rasterise(painting.load(saved).strokes, SHAPE)
    assert expected.max() > 0.4
    np.testing.assert_allclose(painting.read_map(saved), expected, atol=1e-3)
    assert painting.read_info(saved).snippet == item.snippet
    # what the page got can be sent back as it is
    assert put(client, key, body(version=1, sequence=2, **{k: state[k] for k in ("strokes", "labels")})).is_success


def test_frames_are_those_of_the_clip(client: TestClient, folder: Path) -> None:
    store = np.load(folder / "frames" / "fp01.npy")
    for item in paint_server.config(folder, PORT).items:
        answer = client.get(f"/api/items/{item.key}/frames.png", headers=KEY)
        sheet = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        for k in range(FRAMES):
            row, column = divmod(k, app.COLUMNS)
            got = sheet[row * HEIGHT : (row + 1) * HEIGHT, column * WIDTH : (column + 1) * WIDTH]
            np.testing.assert_array_equal(got, store[item.start_ms // 320 + k])


def test_every_response_carries_the_headers_refusals_too(client: TestClient, key: str) -> None:
    for answer in (
        client.get(f"/?token={TOKEN}"),
        client.get("/static/app.js"),
        client.get("/api/list", headers=KEY),
        client.get("/api/list"),
        client.get("/nothing"),
        put(client, key, b"{"),
    ):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert {name: answer.headers.get(name) for name in security.HEADERS} == security.HEADERS
        assert "set-cookie" not in answer.headers and "access-control-allow-origin" not in answer.headers


def test_the_page_names_no_other_place_and_has_nothing_inline(client: TestClient) -> None:
    names = ["app.css", "icon.svg", *(path.name for path in (Path(app.__file__).parent / "page").glob("*.js"))]
    page = client.get(f"/?token={TOKEN}").text
    text = page + "".join(client.get(f"/static/{name}").text for name in names)
    assert "https://" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "<style" not in page and "style=" not in page and "onclick" not in page and "innerHTML" not in text


# --- What it refuses


def test_only_the_token_opens_the_page(client: TestClient) -> None:
    for query in (
        "",
        "?token=",
        "?token=wrong",
        f"?token={TOKEN[:-1]}",
        f"?token={TOKEN}&token={TOKEN}",
        f"?t={TOKEN}",
    ):
        assert client.get(f"/{query}").status_code == 403
    assert client.get(f"/?token={TOKEN}").status_code == 200
    link_in_a_mail = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get(f"/?token={TOKEN}", headers=link_in_a_mail).status_code == 200


Hostile = Callable[[TestClient, str], httpx.Response]


def _get(path: str, **headers: str) -> Hostile:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda client, key: client.get(path.replace("KEY", key), headers={**KEY, **named})


def _put(content: Any = None, **headers: str | None) -> Hostile:
    def send(client: TestClient, key: str) -> httpx.Response:
        wanted = {**WRITING, **{name.replace("_", "-"): value for name, value in headers.items()}}
        kept = {name: value for name, value in wanted.items() if value is not None}
        return put(client, key, body() if content is None else content, kept)

    return send


def _raw(text: str) -> bytes:
    """A body in which the list of strokes is replaced by a text, for what JSON writers do not write."""
    return json.dumps(body(strokes="STROKES")).replace('"STROKES"', text).encode()


def _chunks(client: TestClient, key: str) -> httpx.Response:
    endless = (b" " * 65536 for _ in range(security.MAX_BODY // 65536 + 2))
    return client.put(f"/api/items/{key}", content=endless, headers=WRITING)


def _own(form: bool) -> Hostile:
    def send(client: TestClient, key: str) -> httpx.Response:
        kind = "application/x-www-form-urlencoded" if form else "text/plain"
        return client.post(f"/api/items/{key}", content=b"x=1", headers={**WRITING, "content-type": kind})

    return send


def _method(name: str, path: str = "/api/items/KEY") -> Hostile:
    return lambda client, key: client.request(name, path.replace("KEY", key), headers=WRITING)


MANY = [stroke(frame=k % FRAMES) for k in range(5001)]
HOSTILE: dict[str, tuple[Hostile, set[int]]] = {
    "no token": (lambda client, key: client.get(f"/api/items/{key}"), {403}),
    "wrong token": (_get("/api/items/KEY", x_attune_token="x" * 43), {403}),
    "token as a prefix": (_get("/api/list", x_attune_token=TOKEN + "x"), {403}),
    "token of other characters": (
        lambda c, k: c.get("/api/list", headers=[(b"x-attune-token", "ü".encode("latin-1"))]),
        {403},
    ),
    "token twice": (lambda c, k: c.get("/api/list", headers=[("x-attune-token", TOKEN)] * 2), {403}),
    "token in the query of a call": (lambda c, k: c.get(f"/api/list?token={TOKEN}"), {403}),
    "another site's name for this address": (_get("/api/list", host="evil.example"), {421}),
    "that with the port": (_get("/api/list", host=f"evil.example:{PORT}"), {421}),
    "a name that begins like this one": (_get("/api/list", host=f"127.0.0.1.evil.example:{PORT}"), {421}),
    "a user before the name": (_get("/api/list", host=f"127.0.0.1:{PORT}@evil.example"), {421}),
    "another port": (_get("/api/list", host="127.0.0.1:1"), {421}),
    "any address": (_get("/api/list", host=f"0.0.0.0:{PORT}"), {421}),
    "Host twice": (
        lambda c, k: c.get("/api/list", headers=[("host", f"127.0.0.1:{PORT}")] * 2 + [*KEY.items()]),
        {400},
    ),
    "empty Host": (_get("/api/list", host=""), {421}),
    "another origin": (_put(origin="http://evil.example"), {403}),
    "another port's origin": (_put(origin="http://127.0.0.1:9999"), {403}),
    "a sandboxed page": (_put(origin="null"), {403}),
    "another scheme": (_put(origin=f"https://127.0.0.1:{PORT}"), {403}),
    "writing without an origin": (_put(origin=None), {403}),
    "reading from another origin": (_get("/api/list", origin="http://evil.example"), {403}),
    "a script on another site": (_get("/api/list", sec_fetch_site="cross-site"), {403}),
    "a server on another port": (_get("/api/list", sec_fetch_site="same-site"), {403}),
    "the page in another's frame": (
        _get(f"/?token={TOKEN}", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"),
        {403},
    ),
    "a path upwards": (_get("/static/../app.py"), {400, 404}),
    "that, encoded": (_get("/static/%2e%2e/app.py"), {400}),
    "that, with an encoded slash": (_get("/static/..%2fapp.py"), {400}),
    "that, encoded twice": (_get("/static/%252e%252e%252fapp.py"), {400}),
    "that, overlong": (_get("/static/%c0%ae%c0%ae/app.py"), {400}),
    "that, with backslashes": (_get("/static/..%5c..%5capp.py"), {400}),
    "an absolute path": (_get("/static//etc/passwd"), {400}),
    "a byte that ends strings": (_get("/static/app.js%00.png"), {400}),
    "a parameter of a path": (_get("/static/;/app.js"), {400}),
    "an item upwards": (_get("/api/items/..%2f..%2fkb"), {400}),
    "a folder's name as an item": (_get("/api/items/fp01-people-attending-0000000"), {404}),
    "a file beside the page's": (_get("/static/app.html"), {404}),
    "a list of the files": (_get("/static/"), {400}),
    "documentation": (_get("/docs"), {404}),
    "the schema": (_get("/openapi.json"), {404}),
    "an unknown item": (_get("/api/items/" + "0" * 20), {404}),
    "an unknown item's frames": (_get("/api/items/0/frames.png"), {404}),
    "saving an unknown item": (lambda c, k: put(c, "0" * 20, body()), {404}),
    "a body that is too long": (_put(b" " * (security.MAX_BODY + 1)), {413}),
    "that in pieces of unknown number": (_chunks, {413}),
    "a length that is a lie": (_put(content_length=str(10**12)), {413}),
    "a length that is none": (_put(content_length="-1"), {413}),
    "a body where none belongs": (lambda c, k: c.request("GET", "/api/list", content=b"{}", headers=KEY), {413}),
    "a compressed body": (_put(content_encoding="gzip"), {415}),
    "a form": (_put(b"version=0", content_type="application/x-www-form-urlencoded"), {415}),
    "a form's parts": (_put(b"--x--", content_type="multipart/form-data; boundary=x"), {415}),
    "text, which needs no permission": (_put(content_type="text/plain"), {415}),
    "no content type": (_put(content_type=None), {415}),
    "another character set": (_put(content_type="application/json; charset=utf-16"), {415}),
    "a posted form": (_own(True), {405}),
    "posted text": (_own(False), {405}),
    "DELETE": (_method("DELETE"), {405}),
    "PATCH": (_method("PATCH"), {405}),
    "TRACE": (_method("TRACE"), {405}),
    "OPTIONS, to ask for permission": (_method("OPTIONS"), {405}),
    "an invented method": (_method("BREW"), {405}),
    "a method in disguise": (
        lambda c, k: c.post(f"/api/items/{k}", content=b"{}", headers={**WRITING, "x-http-method-override": "PUT"}),
        {405},
    ),
    "PUT where nothing is saved": (lambda c, k: c.put("/api/list", content=b"{}", headers=WRITING), {405}),
    "no JSON": (_put(b"{"), {400}),
    "no UTF-8": (_put(b'{"version": "\xff"}'), {400}),
    "NaN": (_put(_raw("NaN")), {400}),
    "NaN as a coordinate": (_put(_raw(json.dumps([stroke(points="P")]).replace('"P"', "[[NaN, 1]]"))), {400}),
    "infinity": (_put(_raw("[Infinity]")), {400}),
    "infinity in another way": (_put(_raw(json.dumps([stroke(points="P")]).replace('"P"', "[[1e999, 1]]"))), {422}),
    "a number of a million digits": (_put(_raw("1" * 1_000_000)), {400}),
    "a key twice": (_put(b'{"version": 0, "version": 1}'), {400}),
    "deep nesting": (_put(_raw("[" * 200_000 + "]" * 200_000)), {400}),
    "deep objects": (_put(_raw('{"a":' * 50_000 + "1" + "}" * 50_000)), {400}),
    "a list instead of an object": (_put([]), {422}),
    "a key too many": (_put(body(annotator="kb")), {422}),
    "another's name for the folder": (_put(body(painting="../../kb/x")), {422}),
    "a key too few": (_put({"version": 0}), {422}),
    "a version of another type": (_put(body(version="0")), {422}),
    "a negative version": (_put(body(version=-1)), {422}),
    "a huge coordinate": (_put(body(strokes=[stroke(points=[[1e300, 0]])])), {422}),
    "a coordinate far outside": (_put(body(strokes=[stroke(points=[[WIDTH + 65, 0]])])), {422}),
    "a coordinate too many": (_put(body(strokes=[stroke(points=[[1, 2, 3]])])), {422}),
    "a coordinate of another type": (_put(body(strokes=[stroke(points=[["1", True]])])), {422}),
    "no points": (_put(body(strokes=[stroke(points=[])])), {422}),
    "a negative frame": (_put(body(strokes=[stroke(frame=-1)])), {422}),
    "a frame too many": (_put(body(strokes=[stroke(frame=FRAMES)])), {422}),
    "a broken frame": (_put(body(strokes=[stroke(frame=0.5)])), {422}),
    "a brush of no size": (_put(body(strokes=[stroke(radius=0)])), {422}),
    "a huge brush": (_put(body(strokes=[stroke(radius=1e6)])), {422}),
    "an unknown operation": (_put(body(strokes=[{"kind": "system", "frame": 0}])), {422}),
    "copying from nowhere": (_put(body(strokes=[{"kind": "copy", "source": 99, "frame": 0}])), {422}),
    "filling backwards": (_put(body(strokes=[{"kind": "interpolate", "first": 3, "last": 1}])), {422}),
    "too many points in a stroke": (_put(body(strokes=[stroke(points=[[1, 1]] * 10_001)])), {422}),
    "too many points in all": (_put(body(strokes=[stroke(points=[[1, 1]] * 10_000)] * 21)), {422}),
    "too many operations": (_put(body(strokes=MANY)), {422}),
    "a label of no variable": (_put(body(labels={"../x": 1})), {422}),
    "a label that is none": (_put(body(labels={"attending": 7})), {422}),
    "times for other frames": (_put(body(seconds=[0] * (FRAMES + 1))), {422}),
    "a negative time": (_put(body(seconds=[-1] * FRAMES)), {422}),
    "a writer with a path": (_put(body(writer="../../../../x")), {422}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused_and_write_nothing(client: TestClient, folder: Path, key: str, name: str) -> None:
    send, statuses = HOSTILE[name]
    answer = send(client, key)
    assert answer.status_code in statuses
    assert len(answer.content) < 500 and str(folder) not in answer.text and "Traceback" not in answer.text
    assert not (folder / "attention").exists()
    assert client.get(f"/api/items/{key}", headers=KEY).json()["version"] == 0  # and it is well


def test_another_annotators_item_is_unknown(client: TestClient, folder: Path) -> None:
    other = paint_server.config(folder, PORT, "kb").items[0].key
    assert client.get(f"/api/items/{other}", headers=KEY).status_code == 404
    assert client.get(f"/api/items/{other}/frames.png", headers=KEY).status_code == 404
    assert put(client, other, body()).status_code == 404
    assert not (folder / "attention").exists()


def test_a_socket_for_messages_is_refused(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/api/list", headers=KEY):
        pass
    assert caught.value.code == 1008


@pytest.mark.parametrize(
    ("host", "accepted", "refused"),
    [
        (
            "127.0.0.1",
            ["127.0.0.1:80", "localhost:80", "[::1]:80", "localhost"],
            ["192.168.1.2:80", "localhost:81", ""],
        ),
        ("127.0.0.2", ["127.0.0.2:80", "127.0.0.1:80", "localhost:80"], ["127.0.0.3:80", "evil.example:80"]),
        ("0.0.0.0", ["192.168.1.2:80", "[fe80::1]:80", socket.gethostname()], ["evil.example:80", "evil.example", ""]),  # noqa: S104
        (
            "lab.example",
            ["lab.example:80", "LAB.example", "10.0.0.1"],
            ["evil.example", "x.lab.example", "lab.example:81"],
        ),
    ],
)
def test_names_of_this_server(host: str, accepted: list[str], refused: list[str]) -> None:
    place = security.Place(host, 80)
    assert [name for name in accepted if not place.accepts(name)] == []
    assert [name for name in refused if place.accepts(name)] == []


# --- What nobody else may know


def test_nothing_leaks(client: TestClient, folder: Path) -> None:
    """No answer tells a label of others, another painter's work, which items are the same, or where files lie."""
    config = paint_server.config(folder, PORT)
    theirs = painting.Painting(
        annotator="kb",
        painting=config.items[0].snippet,
        snippet=config.items[0].snippet,
        strokes=(painting.Stroke(frame=0, radius=7.25, points=((33.25, 44.5),)),),
        labels={"attending": 1},
    )
    painting.save(folder / "attention", theirs, SHAPE)
    answers = [client.get("/api/list", headers=KEY), client.get(f"/?token={TOKEN}")]
    answers += [client.get(f"/api/items/{item.key}", headers=KEY) for item in config.items]
    answers += [put(client, config.items[0].key, body(version=5))]
    assert answers[-1].status_code == 409
    for answer in answers:
        for secret in ("fp01", '"kb"', "33.25", "7.25", "consensus", '"label"', "start_ms", "_again", str(folder)):
            assert secret not in answer.text
    keys = [item["key"] for item in answers[0].json()["items"]]
    assert sorted(keys) == sorted({item.key for item in config.items})
    states = [answer.json() for answer in answers[2:-1]]
    assert {frozenset(state) for state in states} == {frozenset(states[0])}, "a repetition looks like any other item"


def test_repetitions_come_late_and_the_order_stays(folder: Path) -> None:
    items = paint_server.config(folder, PORT).items
    order = [item.painting for item in items]
    rows = paint_server.table()
    rows = rows[rows["annotator"] == "ew"]
    again = [name for name in order if name.endswith("_again")]
    assert again == [f"{name}_again" for name in rows.loc[rows["again"] == 1, "snippet"]], "as the table says"
    assert len(order) == paint_server.SNIPPETS + 1
    first, second = order.index(again[0].removesuffix("_again")), order.index(again[0])
    assert second - first > paint_server.SNIPPETS // 2
    fewer = rows.sample(frac=1, random_state=1).iloc[1:]
    kept = [item.snippet for item in worklist.arrange(fewer, "ew") if not item.painting.endswith("_again")]
    assert kept == [name for name in order if name in set(fewer["snippet"])]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 20])
def test_however_many_come_back_none_comes_at_once(count: int) -> None:
    one = paint_server.table().iloc[:1]
    rows = pd.concat([one.assign(snippet=f"s{k:02d}", start_ms=k, again=int(k < count)) for k in range(20)])
    order = [item.painting for item in worklist.arrange(rows, "ew")]
    assert len(order) == 20 + count
    gaps = [order.index(f"s{k:02d}_again") - order.index(f"s{k:02d}") for k in range(count)]
    assert all(gap >= 10 for gap in gaps)


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("session", "../../etc", "session"),
        ("variable", "mood", "mood"),
        ("snippet", "../x", "../x"),
        ("again", 2, "again 2"),
    ],
)
def test_a_bad_table_is_refused(folder: Path, column: str, value: str | int, found: str) -> None:
    rows = paint_server.table()
    rows.loc[0, column] = value
    path = folder / "bad.csv"
    rows.to_csv(path, index=False)
    with pytest.raises(InputError, match=found.replace(".", r"\.")):
        worklist.read(path, "ew", PROTOCOL)
    assert worklist.read(path, "kb", PROTOCOL), "another's rows are not looked at"
    with pytest.raises(InputError, match="one of ew, kb"):
        worklist.read(path, "zz", PROTOCOL)


# --- Saving


def test_a_save_is_counted_once_however_often_and_late_it_arrives(client: TestClient, key: str) -> None:
    assert put(client, key, body(sequence=1)).json()["version"] == 1
    assert put(client, key, body(sequence=1)).json()["version"] == 1, "sent again: its answer was lost"
    assert put(client, key, body(sequence=3, strokes=[stroke(), stroke()])).json()["version"] == 2
    assert put(client, key, body(sequence=2)).json() == {"version": 2, "left": True}, "overtaken"
    assert len(client.get(f"/api/items/{key}", headers=KEY).json()["strokes"]) == 2


def test_a_second_window_is_told_what_is_saved(client: TestClient, key: str) -> None:
    assert put(client, key, body()).is_success
    answer = put(client, key, body(writer="v" * 8, strokes=[]))
    assert answer.status_code == 409
    assert answer.json()["now"]["version"] == 1 and len(answer.json()["now"]["strokes"]) == 1
    assert put(client, key, body(writer="v" * 8, version=1, sequence=2, strokes=[])).json()["version"] == 2


def test_autosaves_do_not_push_out_the_versions_before(client: TestClient, folder: Path, key: str) -> None:
    for sequence in range(30):
        assert put(
            client, key, body(version=sequence, sequence=sequence, strokes=[stroke()] * (sequence + 1))
        ).is_success
    put(client, key, body(version=30, sequence=0, writer="v" * 8))
    versions = folder / "attention" / "ew" / paint_server.config(folder, PORT).items[0].painting / "versions"
    assert [path.name for path in sorted(versions.iterdir())] == ["0030.json", "0031.json"]


def test_time_alone_makes_no_version_that_is_kept(
    client: TestClient, folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "KEEP_S", -1.0)
    for number in range(5):
        seconds = [float(number)] * FRAMES
        assert put(client, key, body(version=number, sequence=number, seconds=seconds)).json()["version"] == number + 1
    saved = folder / "attention" / "ew" / paint_server.config(folder, PORT).items[0].painting
    assert [path.name for path in (saved / "versions").iterdir()] == ["0005.json"]
    assert painting.read_info(saved).seconds[0] == 4
    put(client, key, body(version=5, sequence=5, labels={"attending": 1}))
    assert len(list((saved / "versions").iterdir())) == 2


def test_too_many_operations_are_cured_by_undoing(client: TestClient, key: str) -> None:
    clears = [{"kind": "clear", "frame": 0}] * (strokes.MAX_OPERATIONS + 1)
    assert "Undo" in put(client, key, body(strokes=clears)).json()["error"]
    assert put(client, key, body(strokes=clears[:-1], sequence=2)).is_success


@pytest.mark.slow
def test_twenty_savers_at_once_lose_nothing(folder: Path) -> None:
    """Each of 20 adds strokes of its own to one painting, taking over what others saved when it is told to."""
    savers, each = 20, 2
    with paint_server.running(folder) as server:
        config = server.config
        path = f"/api/items/{config.items[0].key}"
        headers = {**KEY, "origin": server.address, "content-type": "application/json"}
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                with httpx.Client(base_url=server.address, headers=headers, timeout=60) as client:
                    for turn in range(each):
                        own = stroke(frame=turn, points=[[number, turn]], radius=0.5)
                        state = client.get(path).raise_for_status().json()
                        for _ in range(500):
                            strokes = [*state["strokes"], own]
                            sent = body(version=state["version"], writer=f"writer{number:04d}", sequence=turn)
                            answer = client.put(path, json={**sent, "strokes": strokes})
                            if answer.status_code != 409:
                                break
                            state = answer.json()["now"]
                        answer.raise_for_status()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(savers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    saved = painting.load(folder / "attention" / "ew" / config.items[0].painting)
    assert saved.version == savers * each
    there = sorted((one.points[0], one.frame) for one in saved.strokes if isinstance(one, painting.Stroke))
    assert there == sorted(((float(n), float(t)), t) for n in range(savers) for t in range(each))


def test_the_real_server_refuses_what_clients_cannot_send(folder: Path) -> None:
    """Requests below HTTP's rules, byte by byte."""
    with paint_server.running(folder) as server:
        host = f"127.0.0.1:{server.port}"
        common = (
            f"Host: {host}\r\n{security.HEADER}: {TOKEN}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n"
        )
        path = f"/api/items/{server.config.items[0].key}"
        for request, statuses in (
            (f"GET /api/list HTTP/1.1\r\n{security.HEADER}: {TOKEN}\r\n\r\n", {400}),
            (f"GET http://evil.example/api/list HTTP/1.1\r\n{common}\r\n", {400}),
            (f"GET /static/../../../../etc/passwd HTTP/1.1\r\n{common}\r\n", {400}),
            (f"GET /{'a' * 100_000} HTTP/1.1\r\n{common}\r\n", {400, 404}),
            (
                f"PUT {path} HTTP/1.1\r\n{common}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                {400},
            ),
            (f"PUT {path} HTTP/1.1\r\n{common}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", {400}),
            (f"PUT {path} HTTP/1.1\r\n{common}Transfer-Encoding: chunked\r\n\r\n" + "fffff\r\n" + "x" * 10, {413, 0}),
            (f"PUT {path} HTTP/1.1\r\n{common}Content-Length: 99999999999\r\n\r\n", {413}),
            ("nonsense\r\n\r\n", {400}),
        ):
            with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
                connection.sendall(request.encode())
                try:
                    answer = connection.recv(65536).decode()
                except TimeoutError:  # it waits for the rest of a body that may still be good
                    answer = "HTTP/1.1 0 "
            assert int(answer.split(" ")[1]) in statuses, request[:80]
    assert not (folder / "attention").exists()
