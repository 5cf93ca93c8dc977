"""The API process: ``python -m service.server`` runs uvicorn over the application.

``grpo serve`` binds the socket itself and hands it down, so that a port in use is found at once
and connections wait, instead of being refused, while this process starts or is restarted.
"""

from __future__ import annotations

import argparse
import socket

import uvicorn
from fastapi import FastAPI

from service.api.dependencies import Parts
from service.app import create_app
from service.observability import configure_logging
from service.process import die_with_parent
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


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m service.server")
    parser.add_argument("--fd", type=int, help="listening socket that was handed down")
    parser.add_argument("--parent", type=int, help="process id; exit when it ends")
    arguments = parser.parse_args()
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    settings = Settings()
    configure_logging(settings.log_level)
    server = make_server(settings)
    server.run(sockets=None if arguments.fd is None else [socket.socket(fileno=arguments.fd)])


if __name__ == "__main__":
    main()
