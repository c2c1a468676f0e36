"""Files within the page: data URIs up to a budget, first come, first served; what did not fit is remembered."""

import base64
from pathlib import Path

MEDIA = {".png": "image/png", ".mp4": "video/mp4"}
MEGABYTE = 1_000_000


class Budget:
    """Room for embedded files.

    Args of the constructor:
        megabytes: of the page (10^6 bytes), as far as embedded files go.

    Attributes:
        used: bytes of the data URIs so far.
        left_out: files that did not fit, in the order in which they were asked for.
    """

    def __init__(self, megabytes: float) -> None:
        self.used = 0
        self.left_out: list[Path] = []
        self._total = int(megabytes * MEGABYTE)

    def embed(self, path: Path, content: bytes | None = None) -> str | None:
        """The data URI of a file, or None if it does not fit.

        Args:
            path: of the file; its ending tells its kind.
            content: of the file, where it was made in memory.
        """
        data = path.read_bytes() if content is None else content
        head = f"data:{MEDIA[path.suffix]};base64,"
        size = len(head) + 4 * -(-len(data) // 3)
        if self.used + size > self._total:
            self.left_out.append(path)
            return None
        self.used += size
        return head + base64.b64encode(data).decode("ascii")
