"""The API process: ``python -m service.server`` runs uvicorn over the application.

``grpo serve`` binds the socket itself and hands it down, so that a port in use is found at once
and connections wait, instead of being refused, while this process starts or is restarted.
"""

from __future__ import annotations

import argparse
import socket

from service.process import die_with_parent, importing


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m service.server")
    parser.add_argument("--fd", type=int, help="listening socket that was handed down")
    parser.add_argument("--parent", type=int, help="process id; exit when it ends")
    arguments = parser.parse_args()
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    with importing():
        from service.serving import serve  # noqa: PLC0415 - after the parent-death signal is set

    serve(None if arguments.fd is None else socket.socket(fileno=arguments.fd))


if __name__ == "__main__":
    main()
