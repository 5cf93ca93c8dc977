"""The command ``grpo``, also ``python -m service``: no garbage is looked for while it loads."""

from __future__ import annotations

from service.process import importing


def main() -> None:
    """Run the command line."""
    with importing():
        from service.cli import app  # noqa: PLC0415 - this is what takes long

    app(prog_name="grpo")


if __name__ == "__main__":
    main()
