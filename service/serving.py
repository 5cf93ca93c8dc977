"""Uvicorn over the application: one process, which ends its event streams before it stops."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from service.api.dependencies import Parts
from service.app import create_app
from service.observability import configure_logging
from service.settings import Settings

GRACE_SECONDS = 5


class Server(uvicorn.Server):
    """Uvicorn's server; it ends the event streams before it waits for open requests.

    Args:
        app: the application that the configuration serves.
        config: of the server.
    """

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking connections, let the open ones finish, then stop the application."""
        parts: Parts = self._app.state.parts
        parts.streams.close()
        await super().shutdown(sockets)


def make_server(settings: Settings) -> uvicorn.Server:
    """Build the server: one process, no access log of uvicorn's own, quick to stop."""
    app = create_app(settings)
    return Server(
        app,
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        ),
    )


def serve(listener: socket.socket | None) -> None:
    """Serve until SIGTERM or SIGINT, on a socket that listens already or as the settings say."""
    settings = Settings()
    configure_logging(settings.log_level)
    make_server(settings).run(sockets=None if listener is None else [listener])
