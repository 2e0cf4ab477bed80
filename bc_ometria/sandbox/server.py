"""Serve an ASGI application over real HTTP, on a free port, for as long as a ``with`` block lasts."""

import socket
import threading
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp


class PortTaken(OSError):
    """Something else serves on the port that was asked for."""


class Server:
    """A uvicorn server in a thread of this process.

    ``port=0`` takes a free one. ``url`` is known as soon as the block is entered.
    """

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise PortTaken(f"port {port} of {host} cannot be used: {error.strerror}") from None
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                date_header=False,  # a stand-in has a clock of its own
                lifespan="on",
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True, name=f"serve {self.url}"
        )

    def __enter__(self) -> "Server":
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError(f"the server for {self.url} did not start")
            self._thread.join(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()
