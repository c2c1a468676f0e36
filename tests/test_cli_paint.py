"""The command that serves the painting page: how it opens a browser."""

import time
import urllib.request
import webbrowser
from pathlib import Path
from urllib.parse import urlparse

import pytest

from attune import cli_paint

LINK = "http://127.0.0.1:8765/?token=SECRET"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    return addresses


def test_a_browsers_command_line_does_not_hold_the_token(tmp_path: Path, opened: list[str]) -> None:
    with cli_paint._open(LINK):
        assert "SECRET" not in opened[0]
        door = Path(urllib.request.url2pathname(urlparse(opened[0]).path))
        assert LINK in door.read_text("utf-8")
        assert (door.stat().st_mode & 0o777, door.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("opened")
def test_the_file_goes_while_the_page_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_paint, "OPEN_S", 0.05)
    with cli_paint._open(LINK):
        deadline = time.monotonic() + 10
        while list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(tmp_path.iterdir()) == []
