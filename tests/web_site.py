"""A web server on this machine that serves one file, well or badly."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, and how."""

    content: bytes
    ranges: bool = True  # whether ranges are served
    breaks: list[int] = field(default_factory=list)  # bytes after which each of the first responses breaks off
    statuses: list[int] = field(default_factory=list)  # of the first responses; 0 for the file
    announced: int | None = None  # what Content-Length says instead of the truth; -1 leaves it out
    content_range: str | None = None  # what Content-Range says instead of the truth
    requested: list[str | None] = field(default_factory=list)  # Range of every request
    url: str = ""

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers["Range"]
        self.requested.append(wanted)
        status = self.statuses.pop(0) if self.statuses else 0
        if status:
            request.send_error(status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.ranges else 0
        if start and start >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            truth = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            request.send_header("Content-Range", self.content_range or truth)
        length = len(self.content) - start if self.announced is None else self.announced
        if length >= 0:
            request.send_header("Content-Length", str(length))
        request.end_headers()
        end = start + self.breaks.pop(0) if self.breaks else len(self.content)
        request.wfile.write(self.content[start:end])


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve on a free port of the loopback address; `site.url` is the file's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.respond(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}/davis.zip"
        try:
            yield site
        finally:
            server.shutdown()
