"""The page on this machine alone: one address, a random token in it, and nothing else is answered."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

import fastapi
import gradio
import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from salmonn_mini.course.web.page import CSS, HEAD, MEGABYTES
from salmonn_mini.errors import SalmonnError

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")  # another name that leads here is somebody else's (DNS rebinding)
MB = 2**20
# All that the page asks for. Gradio has many more routes: any file by its path, proxies, an API, a code editor.
ROUTES = re.compile(
    r"|config|theme\.css|(assets|static)/.*|"
    r"gradio_api/(upload|upload_progress|queue/(join|data)|heartbeat/\w+|cancel|reset)"
)
HEADERS = {
    "Content-Security-Policy": "default-src 'self' data: blob:; object-src 'none'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Guard:
    """An ASGI application in front of another: without the token, from another site or name, nothing gets through."""

    app: ASGIApp
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = scope["type"] == "http" and self.refusal(scope["path"], Headers(scope=scope))
        await (refused or self.app)(scope, receive, with_headers)

    def refusal(self, path: str, headers: Headers) -> PlainTextResponse | None:
        """The answer to a request that may not pass; None if it may."""
        host = headers.get("host", "")
        token, _, rest = path.removeprefix("/").partition("/")
        size = headers.get("content-length", "0")
        status, text = 0, ""
        if host.partition(":")[0] not in NAMES:
            status, text = 403, f"host {host!r}: this page is for {' and '.join(NAMES)} alone"
        elif not secrets.compare_digest(token.encode(), self.token.encode()):
            status, text = 403, "no valid token: open the address that `salmonn-mini serve` printed"
        elif headers.get("origin", f"http://{host}") != f"http://{host}":
            status, text = 403, f"origin {headers['origin']!r}: only the page itself may ask"
        elif ".." in rest or not ROUTES.fullmatch(rest):
            status, text = 404, "there is nothing here"
        elif not size.isdigit() or int(size) > (MEGABYTES + 1) * MB:
            status, text = 413, f"more than {MEGABYTES} MB: cut the clip, or store it as FLAC or MP3"
        return PlainTextResponse(text + "\n", status) if status else None


def application(page: gradio.Blocks, token: str) -> Guard:
    """The page at `/token/`, with its limits, behind the guard."""
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page.queue(max_size=20, api_open=False)
    nothing_more = {"footer_links": [], "run_history": False, "ssr_mode": False, "mcp_server": False}
    settings = {"server_name": HOST, "max_file_size": MEGABYTES * MB}
    settings |= {"theme": theme(), "css": CSS, "head": HEAD}
    gradio.mount_gradio_app(app, page, f"/{token}", enable_monitoring=False, **settings, **nothing_more)
    page.has_launched = True  # without it Gradio takes any file's path for an upload's
    return Guard(app, token)


def theme() -> gradio.themes.Base:
    """Gradio's own, with the system's fonts, and colors that can be told from their ground."""
    own = gradio.themes.Default(primary_hue="blue", font="system-ui", font_mono="ui-monospace")
    own.set(block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300")
    return own.set(button_primary_background_fill="*primary_600")


def open_socket(port: int) -> socket.socket:
    """A socket on this machine's own address; port 0 is any free one. Raises SalmonnError if it is taken."""
    try:
        return socket.create_server((HOST, port))
    except OSError as problem:
        raise SalmonnError(f"port {port}: {problem.strerror}; choose another --port") from problem


def make_server(page: gradio.Blocks, token: str) -> uvicorn.Server:
    """The server of a page; `server.run(sockets=[open_socket(port)])` lets it go."""
    settings = {"log_level": "critical", "access_log": False, "server_header": False, "proxy_headers": False}
    settings |= {"timeout_graceful_shutdown": 1, "ws": "none"}
    return uvicorn.Server(uvicorn.Config(application(page, token), **settings))


def serve(page: gradio.Blocks, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; `ready` gets its address. To be called inside `private_folder`."""
    token = secrets.token_urlsafe(24)
    with open_socket(port) as own:
        server = make_server(page, token)
        ready(f"http://{HOST}:{own.getsockname()[1]}/{token}/")
        server.run(sockets=[own])
