"""Files of the console over HTTP: read once, known by their content, under a strict Content-Security-Policy (CSP 3).

Nothing is loaded from elsewhere, no script or style stands inside a page, and nothing that is not a file of the package
is ever served: a path is looked up in a table made at the start, never on the disk.
"""

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from swagger_ui_bundle import swagger_ui_path

_SELF: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
CONSOLE_POLICY: Final = f"{_SELF}; require-trusted-types-for 'script'; trusted-types 'none'"
"""The console makes no markup from text, so it needs no Trusted Types policy, and nobody else may make one."""
DOCUMENTATION_POLICY: Final = _SELF
"""Swagger UI makes markup from the descriptions, after cleaning it: Trusted Types would stop it. No inline script."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-cache",  # kept, and asked about each time: an update is seen at once, and costs a 304
    "Vary": "Accept-Encoding",
}
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""What is served; a file of another kind is not."""
SWAGGER: Final = ("swagger-ui.css", "swagger-ui-bundle.js")


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent."""

    content: bytes
    packed: bytes
    """The same with gzip, or empty where that gains nothing."""
    kind: str
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "File":
        """Make it from its name and bytes."""
        packed = gzip.compress(content, 6, mtime=0)
        return cls(
            content, packed if len(packed) < len(content) else b"", TYPES[Path(name).suffix],
            sha256(content).hexdigest()[:32],
        )  # fmt: skip


def _walk(place: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for each in place.iterdir():
        if each.is_dir():
            yield from _walk(each, f"{prefix}{each.name}/")
        elif Path(each.name).suffix in TYPES:
            yield prefix + each.name, each.read_bytes()


@cache
def table() -> Mapping[str, File]:
    """Everything that can be asked for, by path."""
    found = {f"/static/{name}": File.of(name, content) for name, content in _walk(files(__package__) / "static")}
    found["/"] = found.pop("/static/index.html")
    found["/api/docs"] = found.pop("/static/api/docs.html")
    for name in SWAGGER:
        found[f"/static/swagger/{name}"] = File.of(name, (Path(swagger_ui_path) / name).read_bytes())
    return found


async def serve(request: Request) -> Response:
    """Answer with a file, 304 when the browser has it, or 404."""
    file = table().get(request.url.path)
    documentation = request.url.path == "/api/docs"
    headers = HEADERS | {"Content-Security-Policy": DOCUMENTATION_POLICY if documentation else CONSOLE_POLICY}
    if file is None:
        return PlainTextResponse("There is no such file.\n", 404, headers)
    packed = bool(file.packed) and "gzip" in request.headers.get("accept-encoding", "")
    headers["ETag"] = f'"{file.etag}{"-gz" if packed else ""}"'
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if packed else file.content, 200, headers, file.kind)


def console_routes() -> list[BaseRoute]:
    """Give the routes beside the API's: `/`, `/api/docs` and the files."""
    return [Route(path, serve, methods=["GET"]) for path in ("/", "/api/docs", "/static/{path:path}")]
