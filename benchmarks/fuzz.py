"""Look for broken promises of the API for as long as wanted: ``python -m benchmarks.fuzz``.

Starts an API process of its own and lets schemathesis make up requests and sequences of requests
against its OpenAPI document, with ids that exist and ids that do not, as an admin and as a user.
Ends with status 1 at the first run that found something, and prints it.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
from pathlib import Path

from service.settings import Settings
from tests.service.fuzzing import fuzz, fuzzed_service


def main() -> int:
    """Fuzz, print one line per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--database-url", default="", help="an empty database; SQLite by default")
    parser.add_argument("--seed", type=int, default=None, help="of the first run")
    arguments = parser.parse_args()
    first = arguments.seed if arguments.seed is not None else secrets.randbelow(2**31)
    deadline = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(home=folder / "home", port=0, database_url=arguments.database_url)
        with fuzzed_service(settings) as target:
            number = 0
            while number == 0 or time.monotonic() < deadline:
                phases = ("coverage,fuzzing", "fuzzing", "stateful")[number % 3]
                as_admin = number % 2 == 0
                done = fuzz(
                    target,
                    folder,
                    phases,
                    key=target.admin if as_admin else target.user,
                    known_id=number % 3 != 1,
                    examples=200,
                    seed=first + number,
                    seconds=120,
                )
                cases = [line for line in done.stdout.splitlines() if " generated, " in line]
                who = "admin" if as_admin else "user"
                found = " ".join(cases).strip()
                print(f"seed {first + number}  {who:5}  {phases:16}  {found}", flush=True)
                if done.returncode != 0:
                    print(done.stdout)
                    return 1
                number += 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
