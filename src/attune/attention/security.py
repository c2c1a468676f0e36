"""What stands between the network and the painting page: every request passes :class:`Guard` or is refused.

The page shows video of children, so it answers whoever has the link and nobody else:

- The link carries a random token. The page reads it from its own address and sends it with every call as the header
  :data:`HEADER`. There is no cookie: a cookie would go to every other server on this machine's address, and would let
  other pages act in the painter's name.
- The ``Host`` must be one by which the painter can have reached this server, which stops another site's name from
  being pointed at it (DNS rebinding); ``Origin`` and ``Sec-Fetch-Site`` must be the page's own.
- Paths are plain letters without an encoded or relative part, methods are those in use, and a body is JSON of a known
  type that is refused as soon as it grows too long, whatever its header promised.
"""

import asyncio
import hmac
import ipaddress
import json
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-attune-token"
API = "/api/"
METHODS = ("GET", "PUT")
PLAIN_PATH = re.compile(rb"/(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)?")
MAX_BODY = 8 * 1024 * 1024
BODY_SECONDS = 30.0

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), display-capture=()",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """A token that cannot be guessed: 256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Place:
    """Where the server listens.

    Attributes:
        host: the address it was told to listen on.
        port: its port.
    """

    host: str
    port: int

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def accepts(self, host: str) -> bool:
        """Whether a ``Host`` header (or what follows ``http://`` in an ``Origin``) means this server.

        A name must be this machine's. A numeric address is always accepted beyond the loopback: another site's page
        cannot send one, since a browser puts that site's name there.
        """
        name, separator, port = host.rpartition(":")
        if not separator or name.endswith(":"):  # no port, or the middle of an IPv6 address
            name, port = host, "80"
        if port != str(self.port):
            return False
        if self.is_private:
            return name in {"127.0.0.1", "localhost", "[::1]", self.host, f"[{self.host}]"}
        return name.lower() in {self.host.lower(), "localhost", socket.gethostname().lower()} or _is_numeric(name)


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_numeric(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class RefusedError(Exception):
    """A request that is not answered; the reason goes to the client and names nothing of the data."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Guard:
    """ASGI middleware that refuses what the page itself would never send, and sets every response's headers."""

    def __init__(self, app: ASGIApp, place: Place, token: str, max_body: int = MAX_BODY) -> None:
        self.app = app
        self.place = place
        self.token = token.encode()
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                replaced = {name.lower().encode() for name in HEADERS} | {b"server"}
                kept = [pair for pair in message["headers"] if pair[0] not in replaced]
                message["headers"] = kept + [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except RefusedError as refusal:
            # Whatever of the body is still under way is not read, so the connection cannot be used again.
            answer = JSONResponse({"error": refusal.reason}, refusal.status, {"Connection": "close"})
            await answer(scope, receive, send_safely)
            return
        await self.app(scope, _replay(body, receive), send_safely)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        path = scope.get("raw_path") or scope["path"].encode()
        if not PLAIN_PATH.fullmatch(path) or path != scope["path"].encode() or b".." in path:
            raise RefusedError(400, "no such path")
        if scope["method"] not in METHODS:
            raise RefusedError(405, "method not allowed")
        self._check_origin(scope, headers)
        self._check_token(scope, headers)
        if scope["method"] == "PUT":
            _check_kind(headers)

    def _check_host(self, headers: Headers) -> None:
        if not self.place.accepts(_single(headers, "host") or ""):
            raise RefusedError(421, "this server does not go by that name")

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin = _single(headers, "origin")
        if origin is None and scope["method"] != "GET":
            raise RefusedError(403, "a request from elsewhere")
        if origin is not None and not (origin.startswith("http://") and self.place.accepts(origin[len("http://") :])):
            raise RefusedError(403, "a request from elsewhere")
        site = _single(headers, "sec-fetch-site")
        opening = scope["path"] == "/" and headers.get("sec-fetch-mode", "navigate") == "navigate"
        if site not in {None, "same-origin", "none"} and not opening:  # the link itself may stand on another page
            raise RefusedError(403, "a request from elsewhere")

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        if scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("token", [])
        elif scope["path"].startswith(API):
            given = headers.getlist(HEADER)
        else:
            return  # the page's scripts and styles, which hold nothing of anybody's
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self.token):
            raise RefusedError(403, "open the page by the link that `attune paint` printed")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limit = self.max_body if scope["method"] == "PUT" else 0
        declared = _single(Headers(scope=scope), "content-length")
        if declared is not None and (not declared.isascii() or not declared.isdigit() or int(declared[:20]) > limit):
            raise RefusedError(413, "too long")
        try:
            return await asyncio.wait_for(_read(receive, limit), BODY_SECONDS)
        except TimeoutError:
            raise RefusedError(408, "too slow") from None


def _check_kind(headers: Headers) -> None:
    kind, _, parameter = (_single(headers, "content-type") or "").lower().replace(" ", "").partition(";")
    if kind != "application/json" or parameter not in {"", "charset=utf-8"}:
        raise RefusedError(415, "not JSON")
    if headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(415, "encoded")
    if "content-length" in headers and "transfer-encoding" in headers:
        raise RefusedError(400, "two lengths")


def _single(headers: Headers, name: str) -> str | None:
    found = headers.getlist(name)
    if len(found) > 1:
        raise RefusedError(400, f"{name} twice")
    return found[0] if found else None


async def _read(receive: Receive, limit: int) -> bytes:
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "cut off")
        part = message.get("body", b"")
        length += len(part)
        if length > limit:
            raise RefusedError(413, "too long")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed


def read_json(body: bytes) -> Any:
    """Read JSON strictly: UTF-8, every key once, no NaN, no infinity, no unreasonable depth.

    Raises:
        RefusedError: it is something else.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant)
    except (ValueError, RecursionError):  # a UnicodeDecodeError is a ValueError too
        raise RefusedError(400, "not JSON as it should be") from None


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _constant(name: str) -> None:
    raise ValueError(name)
