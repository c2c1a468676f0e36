"""The painting page in Debian's Chromium: what real pointers, keys and fingers draw is what is saved.

Run by `make test-all`; skipped where Chromium or Playwright is missing.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attune import cli_paint
from attune.attention import painting
from attune.attention.painting import Stroke
from tests.attention import paint_server
from tests.attention.paint_server import FRAMES, HEIGHT, SHAPE, WIDTH, Running

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
GOLDEN = Path(__file__).parent / "data" / "strokes_golden.json"
WAIT_MS = 20_000

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paint")
    paint_server.write_data(folder)
    return folder


@pytest.fixture
def server(data: Path, tmp_path: Path) -> Iterator[Running]:
    for name in ("frames", "snippets.csv"):
        (tmp_path / name).symlink_to(data / name)
    with paint_server.running(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:
    started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield started
    started.close()


@contextmanager
def watched(context: Any, server: Running, complaints: tuple[str, ...] = ()) -> Iterator["Hand"]:
    """A page that must ask nobody but the server, and must not complain except in the given words."""
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(server.link)
    page.wait_for_selector("#timeline li", timeout=WAIT_MS)
    yield Hand(page, server)
    assert [url for url in asked if not url.startswith((server.address + "/", "blob:" + server.address))] == []
    assert [words for words in said if not any(known in words for known in complaints)] == []


@pytest.fixture
def hand(browser: Any, server: Running) -> Iterator["Hand"]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    with watched(context, server) as opened:
        yield opened
    context.close()


class Hand:
    """Draws in pixels of the frame and reads what was saved."""

    def __init__(self, page: Any, server: Running) -> None:
        self.page = page
        self.server = server

    def view(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the frame is on the screen, at the first zoom."""
        box = self.page.locator("#stage").bounding_box()
        scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
        return (
            box["x"] + box["width"] / 2 + (x - WIDTH / 2) * scale,
            box["y"] + box["height"] / 2 + (y - HEIGHT / 2) * scale,
        )

    def draw(self, points: list[tuple[float, float]], button: str = "left") -> None:
        self.page.mouse.move(*self.view(*points[0]))
        self.page.mouse.down(button=button)
        for point in points[1:]:
            self.page.mouse.move(*self.view(*point))
        self.page.mouse.up(button=button)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def status(self, wanted: str = "saved") -> None:
        self.page.wait_for_selector(f'#saved[data-status="{wanted}"]', timeout=WAIT_MS)

    def folder(self, number: int = 0) -> Path:
        return self.server.config.root / "ew" / self.server.config.items[number].painting

    def saved(self, number: int = 0) -> painting.Painting:
        self.status()
        return painting.load(self.folder(number))

    def map(self) -> np.ndarray:
        self.status()
        return painting.read_map(self.folder())

    def brush(self, points: list[tuple[float, float]], **changed: Any) -> Stroke:
        settings = {"frame": 0, "radius": 8.0, "strength": 0.6, **changed}
        return Stroke(points=tuple(points), **settings)


LINE = [(20.0 + 2 * k, 30.0 + 0.5 * k) for k in range(30)]
CURVE = [(60 + 25 * np.cos(k / 6), 40 + 20 * np.sin(k / 6)) for k in range(30)]


def close(found: np.ndarray, strokes: list[Any]) -> None:
    """Hold a saved map against what was drawn; the pointer's pixels are finer than half a pixel of the frame."""
    expected = painting.rasterise(strokes, SHAPE)
    assert expected.max() > 0.3
    np.testing.assert_allclose(found, expected, atol=0.04)
    for one, other in zip(found, expected, strict=True):
        if other.any():
            y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
            centres = [(np.average(x, weights=m), np.average(y, weights=m)) for m in (one, other)]
            np.testing.assert_allclose(centres[0], centres[1], atol=0.3)


def test_the_page_and_python_make_the_same_map(hand: Hand) -> None:
    golden = json.loads(GOLDEN.read_text())
    cases = [case for case in golden["cases"] if case["radius_scale"] == 1]
    assert len(cases) > 5
    for case in cases:
        found = hand.page.evaluate(
            """async ({ strokes, shape: [frames, height, width] }) => {
                const { rasterise } = await import("/static/raster.js");
                return rasterise(strokes, frames, height, width).map((frame) => Array.from(frame));
            }""",
            {"strokes": case["strokes"], "shape": golden["shape"]},
        )
        made = np.array(found).reshape(golden["shape"])
        assert made.sum() == pytest.approx(case["sum"], abs=1e-4)
        for pixel in case["pixels"]:
            value = made[pixel["frame"], pixel["row"], pixel["column"]]
            assert value == pytest.approx(pixel["value"], abs=golden["tolerance"]), case["name"]


def test_a_stroke_is_saved_as_it_was_drawn(hand: Hand) -> None:
    hand.draw(LINE)
    close(hand.map(), [hand.brush(LINE)])
    hand.press("ArrowRight", "ArrowRight")
    hand.draw(CURVE)
    close(hand.map(), [hand.brush(LINE), hand.brush(CURVE, frame=2)])


def test_the_second_button_removes_and_the_wheel_changes_the_brush(hand: Hand) -> None:
    hand.draw(LINE)
    hand.page.mouse.wheel(0, 100)
    hand.page.mouse.wheel(0, 100)
    hand.press("[")
    hand.draw(CURVE, button="right")
    close(hand.map(), [hand.brush(LINE), hand.brush(CURVE, add=False, radius=5.0)])
    hand.press("x")  # the first button removes now, the second adds
    hand.draw(LINE)
    hand.draw(CURVE, button="right")
    assert [one.add for one in hand.saved().strokes] == [True, False, False, True]


def test_undo_redo_copy_fill_and_clear(hand: Hand) -> None:
    hand.draw(LINE)
    hand.press("Control+z")
    assert not hand.map().any()
    hand.press("Control+Shift+z", "ArrowRight", "c")
    both = hand.map()
    np.testing.assert_array_equal(both[0], both[1])
    assert both[0].any() and not both[2:].any()
    hand.press("End")
    hand.draw(CURVE)
    hand.press("ArrowLeft", "i")
    filled = hand.map()
    last = FRAMES - 1
    for k in range(2, last):
        w = (k - 1) / (last - 1)
        np.testing.assert_allclose(filled[k], (1 - w) * filled[1] + w * filled[last], atol=1e-3)
    hand.press("Delete")
    assert not hand.map()[last - 1].any() and hand.map()[last].any()
    hand.press(*["Control+z"] * 10)
    assert not hand.map().any()
    assert hand.page.locator("[data-command=undo]").is_disabled()


def test_everything_by_keyboard(hand: Hand) -> None:
    """Brush to a place, a drawn line, labels, the next snippet and back; no pointer is used."""
    hand.press("w", "w", "a", "ArrowRight")
    hand.page.keyboard.down("f")
    for _ in range(8):
        hand.press("d")
    hand.page.keyboard.up("f")
    start = (WIDTH / 2 - 2, HEIGHT / 2 - 4)
    close(hand.map(), [hand.brush([(start[0] + 2 * k, start[1]) for k in range(9)], frame=1)])
    hand.press("1", "2", "2")
    assert hand.saved().labels == {"attending": 1, "participating": 0}
    assert hand.page.locator("#list button").first.get_attribute("data-state") == "done"
    hand.press("n")
    hand.page.wait_for_selector("#question:has-text('Snippet 2')")
    hand.press("g", "f")
    assert [one.add for one in hand.saved(1).strokes] == [False, True]
    hand.press("p")
    hand.page.wait_for_selector("#question:has-text('Snippet 1')")
    hand.press("Control+z", "Control+z")
    assert len(hand.saved().strokes) == 0
    hand.press("?")
    assert hand.page.locator("#help").is_visible()
    hand.press("Escape")
    assert not hand.page.locator("#help").is_visible()


def test_zoom_and_pan_do_not_move_the_paint(hand: Hand) -> None:
    hand.press("+", "+", "+", "Shift+ArrowRight")
    hand.page.mouse.move(*hand.view(WIDTH / 2, HEIGHT / 2))
    place = hand.page.evaluate(
        """async ([x, y]) => {
            const canvas = document.getElementById("stage"), box = canvas.getBoundingClientRect();
            const scale = 1.25 ** 3 * Math.min(box.width / 112, box.height / 80);
            return [56 + (x - box.x - box.width / 2 + 40) / scale, 40 + (y - box.y - box.height / 2) / scale];
        }""",
        list(hand.view(70, 45)),
    )
    hand.draw([(70, 45)])
    np.testing.assert_allclose(hand.saved().strokes[0].points, [place], atol=0.5)


def test_time_is_counted_on_the_frame_that_is_shown(hand: Hand) -> None:
    hand.press("ArrowRight", "ArrowRight")
    hand.page.wait_for_timeout(1200)
    hand.draw(LINE)
    hand.press("ArrowRight", "1")
    seconds = hand.saved().seconds
    assert len(seconds) == FRAMES and seconds[2] > 1 and max(seconds[1], *seconds[4:]) < 1


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    opened = browser.new_context(viewport={"width": 1280, "height": 860})
    yield opened
    opened.close()


def test_without_a_connection_it_says_so_and_tries_again(context: Any, server: Running) -> None:
    with watched(context, server, ("Failed to load resource",)) as hand:
        context.set_offline(True)
        hand.draw(LINE)
        hand.status("offline")
        assert "Not saved" in hand.page.locator("#saved").inner_text()
        hand.draw(CURVE)
        context.set_offline(False)
        close(hand.map(), [hand.brush(LINE), hand.brush(CURVE)])


def test_reload_recovers_what_the_server_never_got(context: Any, server: Running) -> None:
    with watched(context, server, ("Failed to load resource",)) as hand:
        hand.draw(LINE)
        hand.status()
        lost = "**/api/items/*"
        hand.page.route(lost, lambda route: route.abort() if route.request.method == "PUT" else route.continue_())
        hand.draw(CURVE)
        hand.press("1")
        hand.page.wait_for_timeout(400)  # the journal's turn
        assert len(painting.load(hand.folder()).strokes) == 1
        hand.page.unroute(lost)
        hand.page.reload()
        hand.page.wait_for_selector("#timeline li", timeout=WAIT_MS)
        deadline = time.monotonic() + 20
        while len(painting.load(hand.folder()).strokes) < 2 and time.monotonic() < deadline:
            hand.page.wait_for_timeout(50)
        assert hand.saved().labels["attending"] == 1
        close(hand.map(), [hand.brush(LINE), hand.brush(CURVE)])
        assert hand.page.evaluate("localStorage.length") == 0


@pytest.mark.parametrize("mine", [True, False])
def test_two_windows_are_told_of_each_other(context: Any, server: Running, mine: bool) -> None:
    conflict = ("409",)
    with watched(context, server, conflict) as one, watched(context, server, conflict) as other:
        one.page.bring_to_front()
        one.draw(LINE)
        one.status()
        other.page.bring_to_front()
        other.draw(CURVE)
        other.status("conflict")
        assert other.page.locator("#notice").is_visible()
        other.page.locator("#notice-mine" if mine else "#notice-theirs").click()
        close(other.map(), [other.brush(CURVE if mine else LINE)])
        assert not other.page.locator("#notice").is_visible()
        if mine:  # what the first window had saved is kept
            versions = sorted((other.folder() / "versions").iterdir())
            first, _ = painting.load_version(other.folder(), int(versions[0].stem))
            close(painting.rasterise(first.strokes, SHAPE), [other.brush(LINE)])


def test_fingers_paint_and_two_zoom(browser: Any, server: Running) -> None:
    context = browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True)
    with watched(context, server) as hand:
        session = context.new_cdp_session(hand.page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            places = [dict(zip("xy", hand.view(*point), strict=True), id=k) for k, point in enumerate(points)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        touch("touchStart", LINE[0])
        for point in LINE[1:]:
            touch("touchMove", point)
        touch("touchEnd")
        close(hand.map(), [hand.brush(LINE)])
        touch("touchStart", (40, 40))
        touch("touchStart", (40, 40), (60, 40))
        for k in range(10):
            touch("touchMove", (40 - k, 40), (60 + k, 40))
        touch("touchEnd")
        assert hand.page.locator("#zoom-value").inner_text() != "100 %"
        assert len(hand.saved().strokes) == 1, "two fingers leave no paint"
    context.close()


@contextmanager
def killable(driver: Any, profile: Path) -> Iterator[tuple[Any, Callable[[], None]]]:
    """A browser in a process group of its own, and what kills it at once."""
    command = [str(CHROMIUM), *FLAGS, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [*command, "about:blank"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def kill() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    try:
        port_file, deadline = profile / "DevToolsActivePort", time.monotonic() + 30
        while not (port_file.exists() and port_file.read_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        yield driver.chromium.connect_over_cdp(f"http://127.0.0.1:{port}"), kill
    finally:
        kill()


def test_a_browser_killed_in_a_stroke_loses_at_most_a_second(driver: Any, server: Running, tmp_path: Path) -> None:
    with killable(driver, tmp_path / "profile") as (browser, kill):
        page = browser.contexts[0].new_page()
        page.goto(server.link)
        page.wait_for_selector("#timeline li", timeout=WAIT_MS)
        hand = Hand(page, server)
        drawn: list[tuple[float, float]] = []  # when, x
        page.mouse.move(*hand.view(10, 40))
        page.mouse.down()
        begin = time.monotonic()
        while time.monotonic() - begin < 4:
            x = 10 + 20 * (time.monotonic() - begin)
            page.mouse.move(*hand.view(x, 40))
            drawn.append((time.monotonic(), x))
        killed = time.monotonic()
        kill()
    deadline, versions = time.monotonic() + 10, [-1, -2]
    while versions[-1] != versions[-2] and time.monotonic() < deadline:  # what had arrived is being written
        time.sleep(0.3)
        versions.append(painting.read_info(hand.folder()).version if hand.folder().exists() else 0)
    (stroke,) = painting.load(hand.folder()).strokes
    assert isinstance(stroke, Stroke)
    due = max(x for when, x in drawn if when <= killed - 1)
    assert stroke.points[-1][0] >= due - 0.5
    saved = painting.read_map(hand.folder())
    close(saved, [hand.brush([(10.0, 40.0), (stroke.points[-1][0], 40.0)])])


# --- Time


@pytest.fixture
def timed(context: Any, server: Running) -> Iterator[Hand]:
    """A page whose clock can be moved on."""
    context.clock.install()
    with watched(context, server) as opened:
        yield opened


def hide(hand: Hand, hidden: bool) -> None:
    hand.page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def times(hand: Hand, wanted: Callable[[tuple[float, ...]], bool], number: int = 0) -> tuple[float, ...]:
    """The saved times, once they are as wanted or have not become so in time."""
    deadline = time.monotonic() + 10
    while True:
        found = painting.read_info(hand.folder(number)).seconds
        if wanted(found) or time.monotonic() > deadline:
            return found
        hand.page.wait_for_timeout(50)


@pytest.mark.parametrize("comes_back_by", ["pointer", "key"])
def test_being_away_is_not_looking(timed: Hand, comes_back_by: str) -> None:
    timed.press("ArrowRight")
    timed.page.clock.fast_forward(600_000)
    if comes_back_by == "pointer":
        timed.draw(LINE)
    else:
        timed.press("f")
    assert 29 < timed.saved().seconds[1] < 40


def test_a_save_holds_the_time_up_to_now(timed: Hand) -> None:
    timed.page.clock.fast_forward(8_000)
    timed.draw(LINE)
    assert 8 <= timed.saved().seconds[0] < 20


def test_time_after_the_last_stroke_is_saved_when_the_page_is_hidden(timed: Hand) -> None:
    timed.draw(LINE)
    before = timed.saved().seconds[0]
    timed.page.clock.fast_forward(12_000)
    hide(timed, hidden=True)
    shown = times(timed, lambda seconds: seconds[0] > before + 11)[0]
    assert before + 12 <= shown < before + 20
    timed.page.clock.fast_forward(25_000)
    hide(timed, hidden=False)
    timed.draw(CURVE)
    timed.page.wait_for_timeout(700)
    assert timed.saved().seconds[0] < shown + 10, "while it was hidden"


def test_time_after_the_last_stroke_is_saved_with_the_next_snippet(timed: Hand) -> None:
    timed.draw(LINE)
    before = timed.saved().seconds[0]
    timed.page.clock.fast_forward(12_000)
    timed.press("n")
    timed.page.wait_for_selector("#question:has-text('Snippet 2')")
    assert times(timed, lambda seconds: seconds[0] > before + 11)[0] >= before + 12
    timed.page.clock.fast_forward(12_000)
    timed.press("p")
    timed.page.wait_for_selector("#question:has-text('Snippet 1')")
    timed.page.wait_for_timeout(300)
    assert not timed.folder(1).exists(), "who has only looked leaves nothing"


def test_a_closed_page_has_nothing_to_recover(context: Any, server: Running) -> None:
    with watched(context, server) as hand:
        hand.draw(LINE)
        hand.status()
        hand.page.wait_for_timeout(800)
        before = painting.read_info(hand.folder()).version
        hand.page.reload()
        hand.page.wait_for_selector("#timeline li", timeout=WAIT_MS)
        assert times(hand, lambda seconds: seconds[0] > 0.8)[0] > 0.8
        hand.page.wait_for_timeout(300)
        assert hand.page.locator("#toast").inner_text() == ""
        assert painting.read_info(hand.folder()).version == before + 1
        assert hand.page.evaluate("localStorage.length") == 0


# --- Palm and pen


class Tablet:
    """A pen and fingers on one screen."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.session = hand.page.context.new_cdp_session(hand.page)

    def pen(self, kind: str, x: float, y: float) -> None:
        left, top = self.hand.view(x, y)
        pressed = {"button": "left", "buttons": 1 if kind != "mouseReleased" else 0, "clickCount": 1}
        self.session.send(
            "Input.dispatchMouseEvent", {"type": kind, "x": left, "y": top, "pointerType": "pen", **pressed}
        )

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        places = [dict(zip("xy", self.hand.view(*point), strict=True), id=k) for k, point in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


@pytest.fixture
def tablet(browser: Any, server: Running) -> Iterator[Tablet]:
    context = browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True)
    with watched(context, server) as hand:
        hand.page.evaluate(
            """() => {
                window.kinds = [];
                addEventListener("pointerdown", (event) => kinds.push(event.pointerType), true);
            }"""
        )
        yield Tablet(hand)
    context.close()


@pytest.mark.parametrize("palm_first", [True, False])
def test_a_palm_does_not_disturb_the_pen(tablet: Tablet, palm_first: bool) -> None:
    if palm_first:
        tablet.touch("touchStart", (90, 70))
        tablet.touch("touchMove", (90, 72))
    tablet.pen("mousePressed", *LINE[0])
    for k, point in enumerate(LINE[1:]):
        tablet.pen("mouseMoved", *point)
        if k == 10:
            tablet.touch("touchStart", (90, 70), *([(100, 70)] if palm_first else []))
        if k > 10:
            tablet.touch("touchMove", (90, 70 + k / 5), *([(100, 70)] if palm_first else []))
    tablet.touch("touchEnd")
    tablet.pen("mouseReleased", *LINE[-1])
    assert sorted(set(tablet.hand.page.evaluate("kinds"))) == ["pen", "touch"]
    close(tablet.hand.map(), [tablet.hand.brush(LINE)])
    assert tablet.hand.page.locator("#zoom-value").inner_text() == "100 %"
    tablet.touch("touchStart", CURVE[0])  # a finger paints again once the pen is up
    for point in CURVE[1:]:
        tablet.touch("touchMove", point)
    tablet.touch("touchEnd")
    close(tablet.hand.map(), [tablet.hand.brush(LINE), tablet.hand.brush(CURVE)])


def test_the_side_buttons_of_a_mouse_do_not_paint(hand: Hand) -> None:
    session = hand.page.context.new_cdp_session(hand.page)
    x, y = hand.view(40, 40)
    hand.page.evaluate("addEventListener('pointerdown', (event) => (window.pressed = event.button), true)")
    for name, buttons, number in (("back", 8, 3), ("forward", 16, 4)):
        place = {"x": x, "y": y, "button": name, "clickCount": 1}
        session.send("Input.dispatchMouseEvent", {"type": "mousePressed", "buttons": buttons, **place})
        session.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "buttons": buttons, "x": x + 9, "y": y})
        assert hand.page.evaluate("pressed") == number
        assert hand.page.locator("[data-command=undo]").is_disabled()
        assert hand.page.locator("#saved").get_attribute("data-status") == "saved"


# --- What is said


def test_the_private_file_leads_to_the_page(
    context: Any, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    with cli_paint._open(server.link):
        page = context.new_page()
        page.goto(addresses[0])
        page.wait_for_selector("#timeline li", timeout=WAIT_MS)
        assert page.url == server.link


def test_an_old_refusal_is_forgotten_once_it_is_saved(context: Any, server: Running) -> None:
    with watched(context, server, ("Failed to load resource",)) as hand:
        refusing = "**/api/items/*"
        answer = {"status": 422, "json": {"error": "too much paint"}}
        hand.page.route(
            refusing,
            lambda route: route.fulfill(**answer) if route.request.method == "PUT" else route.continue_(),
        )
        hand.draw(LINE)
        hand.status("refused")
        assert hand.page.locator("#saved-text").inner_text() == "Not saved: too much paint"
        hand.page.unroute(refusing)
        hand.draw(CURVE)
        hand.status()
        assert hand.page.locator("#saved-text").inner_text() == "Saved"


def test_brush_keys_of_other_keyboards(hand: Hand) -> None:
    size, strength = (hand.page.locator(name) for name in ("#size-value", "#strength-value"))
    hand.press("e", "e", "q", "Shift+e")
    assert (size.inner_text(), strength.inner_text()) == ("9 px", "70 %")
    for key in "[[}":  # as Windows tells AltGr, by which a German keyboard has them
        hand.page.evaluate(
            """(key) => document.body.dispatchEvent(new KeyboardEvent("keydown",
                { key, ctrlKey: true, altKey: true, modifierAltGraph: true, bubbles: true, cancelable: true }))""",
            key,
        )
    assert (size.inner_text(), strength.inner_text()) == ("7 px", "80 %")
    hand.press("?")
    assert "Q, [" in hand.page.locator("#keys").inner_text()
