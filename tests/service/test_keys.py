"""API keys: what they open, whose records they show, when they end, how much they may queue."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from grpo.errors import InputError
from service.api.auth import Access, list_access, require_declared_access
from service.app import create_app
from service.cli import app as command_line
from service.database import Database
from service.jobs.repository import new_id
from service.keys import ring
from service.keys.records import Caller, Scope, Token, make_token, parse_token
from service.keys.repository import create_key, list_keys, revoke_key
from service.keys.ring import KeyRing
from service.observability import configure_logging
from service.settings import Settings
from tests.backends import Backend
from tests.service.support import CARTPOLE_JOB, Stored, running_api, store_policy

BOOTSTRAP = "correct-horse-battery-staple"
ROOM = 3
USER = (Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.POLICY_ACT)
ACCESS = {f"{m} {p}": access for m, p, access in list_access(create_app(Settings(port=0)))}
WITH_ID = sorted(name for name, access in ACCESS.items() if access is not None and access.record)
ANSWER_OF = {"observation": [0.0, 0.0, 0.0, 0.0]}


@pytest.fixture(scope="module")
def guarded_settings(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("keys")
    key = SecretStr(BOOTSTRAP)
    return backend.settings(home, port=0, api_key=key, max_unfinished_jobs=ROOM)


@pytest.fixture(scope="module")
def guarded(guarded_settings: Settings) -> Iterator[httpx.Client]:
    with running_api(guarded_settings) as client:
        yield client


@pytest.fixture(scope="module")
def keys(guarded_settings: Settings, guarded: httpx.Client) -> Iterator[Database]:
    database = Database(guarded_settings)
    yield database
    database.close()


def make_key(database: Database, owner: str, *scopes: Scope, seconds: float | None = None) -> Token:
    return create_key(database, owner, scopes or USER, lifetime_seconds=seconds)[1]


def bearer(token: Token | str) -> dict[str, str]:
    given = token if isinstance(token, str) else token.text
    return {"Authorization": f"Bearer {given}"}


def ask(client: httpx.Client, name: str, some_id: str, token: Token, **more: Any) -> httpx.Response:
    method, path = name.split(" ")
    path = path.replace("{id}", some_id)
    sent = ANSWER_OF if path.endswith("/act") else {}
    body: dict[str, Any] = {"json": sent} if method == "POST" else {}
    headers = bearer(token) | {"X-Request-Id": "r1"}
    with client.stream(method, path, headers=headers, **body, **more) as response:
        if response.headers["content-type"].startswith("text/event-stream"):
            return response  # it stays open
        response.read()
        return response


def heads(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "date"}


def test_a_key_has_its_form_and_any_single_wrong_digit_is_noticed() -> None:
    token = make_token()
    assert parse_token(token.text) == token
    assert make_token().secret != token.secret
    assert token.secret not in repr(token)
    for place in range(5, len(token.text)):
        if token.text[place] != "_":
            other = "0" if token.text[place] != "0" else "1"
            assert parse_token(token.text[:place] + other + token.text[place + 1 :]) is None
    assert parse_token(token.text.upper()) is None
    assert parse_token(token.text + "\n") is None


def test_the_records_hold_a_digest_and_not_the_secret(keys: Database) -> None:
    token = make_key(keys, "carol")
    with keys.reading() as session:
        rows = session.execute(text("SELECT * FROM api_keys")).all()
    assert token.secret not in str(rows)
    assert hashlib.sha256(token.secret.encode()).hexdigest() in str(rows)


def test_every_route_declares_its_access() -> None:
    assert [name for name, access in ACCESS.items() if access is None] == []
    open_routes = {name for name, access in ACCESS.items() if access and access.scope == "none"}
    assert open_routes == {"GET /healthz", "GET /readyz", "GET /docs", "GET /docs/{name}"}
    for name, access in ACCESS.items():
        assert access is not None
        assert (access.record is not None) == ("{id}" in name), name
        if name.startswith("POST"):
            assert access.scope in {Scope.JOBS_WRITE, Scope.POLICY_ACT}, name


def test_an_application_with_an_undeclared_route_is_refused() -> None:
    app = FastAPI()
    app.get("/open")(lambda: None)
    with pytest.raises(RuntimeError, match="GET /open"):
        require_declared_access(app)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_opens_its_routes_and_no_other(
    guarded: httpx.Client, keys: Database, scope: Scope
) -> None:
    token = make_key(keys, "dora", scope)
    for name, access in ACCESS.items():
        assert access is not None
        response = ask(guarded, name, "unknown", token)
        if access.scope in {"any", "none", scope} or scope is Scope.ADMIN:
            assert response.status_code not in {401, 403}, name
        else:
            assert response.status_code == 403, name
            assert access.scope in response.json()["detail"]


@pytest.fixture(scope="module")
def alices(keys: Database) -> Stored:
    return store_policy(keys, CARTPOLE_JOB, seed=3, owner="alice")


def test_what_belongs_to_another_is_to_the_byte_like_what_is_not_there(
    guarded: httpx.Client, keys: Database, alices: Stored
) -> None:
    alice, mallory = make_key(keys, "alice"), make_key(keys, "mallory")
    assert len(WITH_ID) >= 6
    for name in WITH_ID:
        known = [alices.job_id, alices.policy_id] if "/policy" in name else [alices.job_id]
        for some_id in known:
            own = ask(guarded, name, some_id, alice)
            assert own.status_code in {200, 202, 409}, (name, own.status_code)
            unknown = new_id()
            foreign, absent = (ask(guarded, name, i, mallory) for i in (some_id, unknown))
            assert (foreign.status_code, absent.status_code) == (404, 404), name
            assert foreign.text.replace(some_id, unknown) == absent.text
            assert heads(foreign) == heads(absent)


def test_lists_show_what_is_ones_own_and_an_admin_all(
    guarded: httpx.Client, keys: Database, alices: Stored
) -> None:
    erin = make_key(keys, "erin", Scope.JOBS_READ, Scope.JOBS_WRITE)
    job = guarded.post("/jobs", json=CARTPOLE_JOB, headers=bearer(erin)).json()["id"]

    def listed(path: str, token: Token | str) -> set[str]:
        page = guarded.get(path, params={"limit": 1000}, headers=bearer(token)).json()
        assert not page["has_more"]
        return {entry["id"] for entry in page["data"]}

    assert listed("/jobs", erin) == {job}
    assert listed("/policy", erin) == set()
    alice = make_key(keys, "alice", Scope.JOBS_READ)
    assert listed("/jobs", alice) == {alices.job_id}
    assert listed("/policy", alice) == {alices.policy_id}
    for admin in (BOOTSTRAP, make_key(keys, "root", Scope.ADMIN)):
        assert listed("/jobs", admin) >= {job, alices.job_id}
        assert listed("/policy", admin) >= {alices.policy_id}


def test_a_policy_in_memory_decides_for_its_owner_only(
    guarded: httpx.Client, keys: Database, alices: Stored
) -> None:
    path = f"/policy/{alices.policy_id}/act"
    alice, bob = (make_key(keys, name, Scope.POLICY_ACT) for name in ("alice", "bob"))
    assert guarded.post(path, json=ANSWER_OF, headers=bearer(alice)).status_code == 200
    assert guarded.post(path, json=ANSWER_OF, headers=bearer(bob)).status_code == 404
    assert guarded.post(path, json=ANSWER_OF, headers=bearer(BOOTSTRAP)).status_code == 200


def test_keys_rotate_and_a_revoked_one_ends_within_seconds(
    guarded: httpx.Client, keys: Database
) -> None:
    old, new = make_key(keys, "frank"), make_key(keys, "frank")
    job = guarded.post("/jobs", json=CARTPOLE_JOB, headers=bearer(old)).json()["id"]
    assert guarded.get(f"/jobs/{job}", headers=bearer(new)).status_code == 200
    revoke_key(keys, old.key_id)
    revoked = time.monotonic()
    while guarded.get("/jobs", headers=bearer(old)).status_code != 401:
        assert time.monotonic() - revoked < 4
        time.sleep(0.05)
    assert guarded.get(f"/jobs/{job}", headers=bearer(new)).status_code == 200


def test_a_key_ends_at_its_time_although_it_is_kept_in_memory(
    guarded: httpx.Client, keys: Database
) -> None:
    token = make_key(keys, "grace", seconds=0.7)
    made = time.monotonic()
    assert guarded.get("/jobs", headers=bearer(token)).status_code == 200
    while guarded.get("/jobs", headers=bearer(token)).status_code != 401:
        assert time.monotonic() - made < 1.5
        time.sleep(0.02)
    assert time.monotonic() - made > 0.5


def test_no_refusal_says_what_was_wrong_with_the_key(guarded: httpx.Client, keys: Database) -> None:
    live, ended = make_key(keys, "heidi"), make_key(keys, "heidi")
    revoke_key(keys, ended.key_id)
    wrong: list[Token | str] = [
        ended,
        make_token(),
        Token(live.key_id, make_token().secret),
        live.text[:-1],
        "grpo_",
        BOOTSTRAP + "x",
    ]
    headers = [bearer(token) | {"X-Request-Id": "r1"} for token in wrong]
    answers = [guarded.get("/jobs", headers=each) for each in headers]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert guarded.get(f"/jobs?key={live.text}").status_code == 401


def test_the_last_use_is_noted(guarded: httpx.Client, keys: Database) -> None:
    token = make_key(keys, "ivan")
    assert [k.last_used for k in list_keys(keys) if k.id == token.key_id] == [None]
    guarded.get("/jobs", headers=bearer(token))
    (key,) = [key for key in list_keys(keys) if key.id == token.key_id]
    assert key.last_used is not None
    assert 0 <= (key.last_used - key.created).total_seconds() < 60


def test_the_log_names_the_key_and_not_its_secret(guarded: httpx.Client, keys: Database) -> None:
    token, stream = make_key(keys, "rosa"), io.StringIO()
    configure_logging("info", stream)
    try:
        guarded.get("/jobs", headers=bearer(token))
    finally:
        configure_logging("error")
    (event,) = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (event["event"], event["key"]) == ("request", token.key_id)
    assert token.secret not in stream.getvalue()


def test_a_use_that_cannot_be_noted_keeps_nobody_out(
    guarded_settings: Settings, keys: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Database, __: str) -> None:
        raise OperationalError("UPDATE", {}, Exception("the disk is full"))

    monkeypatch.setattr(ring, "record_use", refuse)
    token = make_key(keys, "judy", Scope.JOBS_READ)
    found = KeyRing(guarded_settings, keys).look_up(token)
    assert found == Caller("judy", frozenset({Scope.JOBS_READ}), token.key_id)


def test_of_many_submissions_at_once_as_many_are_taken_as_there_is_room(
    guarded: httpx.Client, keys: Database
) -> None:
    tokens = [make_key(keys, "kim"), make_key(keys, "kim")]

    def submit(number: int) -> httpx.Response:
        return guarded.post("/jobs", json=CARTPOLE_JOB, headers=bearer(tokens[number % 2]))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(16)))
    taken = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(taken), len(refused)) == (ROOM, 16 - ROOM)
    assert refused[0].json()["code"] == "too_many_jobs"
    assert int(refused[0].headers["retry-after"]) > 0
    path = f"/jobs/{taken[0].json()['id']}"
    assert guarded.post(f"{path}/cancel", headers=bearer(tokens[0])).status_code == 200
    assert submit(0).status_code == 202
    assert guarded.post(f"{path}/resume", headers=bearer(tokens[0])).status_code == 429
    for other in (make_key(keys, "lena"), BOOTSTRAP, BOOTSTRAP, BOOTSTRAP, BOOTSTRAP):
        answer = guarded.post("/jobs", json=CARTPOLE_JOB, headers=bearer(other))
        assert answer.status_code == 202


def test_the_same_idempotency_key_of_two_owners_means_two_jobs(
    guarded: httpx.Client, keys: Database
) -> None:
    again = {"Idempotency-Key": "monday"}
    mia, nick = make_key(keys, "mia"), make_key(keys, "nick")
    ids = [
        guarded.post("/jobs", json=CARTPOLE_JOB, headers=bearer(token) | again).json()["id"]
        for token in (mia, nick, mia)
    ]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("owner", "scopes", "seconds"),
    [
        ("", [Scope.ADMIN], None),
        ("a b", [Scope.ADMIN], None),
        ("x" * 65, [Scope.ADMIN], None),
        ("ok", [], None),
        ("ok", [Scope.ADMIN], 0.0),
        ("ok", [Scope.ADMIN], float("nan")),
        ("ok", [Scope.ADMIN], 1e12),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(
    keys: Database, owner: str, scopes: list[Scope], seconds: float | None
) -> None:
    before = list_keys(keys)
    with pytest.raises(InputError):
        create_key(keys, owner, scopes, lifetime_seconds=seconds)
    assert list_keys(keys) == before


def test_keys_are_asked_for_beyond_loopback_and_wherever_they_are_required() -> None:
    assert not Settings().asks_for_keys
    assert Settings(api_key=SecretStr(BOOTSTRAP)).asks_for_keys
    beyond = Settings(host="0.0.0.0", require_keys=True)  # noqa: S104 - that is the point
    assert beyond.asks_for_keys


def test_the_command_line_shows_a_secret_once(tmp_path: Path) -> None:
    run, home = CliRunner().invoke, ["--home", str(tmp_path)]
    made = run(command_line, ["keys", "create", "olga", "--scope", "jobs:read", *home])
    assert made.exit_code == 0, made.output
    token = parse_token(made.stdout.splitlines()[-1])
    assert token is not None
    listed = run(command_line, ["keys", "list", *home]).stdout
    assert token.key_id in listed
    assert "olga" in listed
    assert token.secret[:8] not in listed
    assert run(command_line, ["keys", "revoke", token.key_id, *home]).exit_code == 0
    assert "revoked" in run(command_line, ["keys", "list", *home]).stdout
    assert run(command_line, ["keys", "revoke", "nobody", *home]).exit_code == 1


def test_access_is_decided_by_scope() -> None:
    assert Access(Scope.JOBS_READ) != Access(Scope.JOBS_WRITE)
    reader = Caller("pia", frozenset({Scope.JOBS_READ}))
    assert (reader.may(Scope.JOBS_READ), reader.may(Scope.JOBS_WRITE)) == (True, False)
    assert (reader.sees("pia"), reader.sees("quinn"), reader.sees(None)) == (True, False, False)
    assert all(Caller(None, frozenset({Scope.ADMIN})).may(scope) for scope in Scope)
