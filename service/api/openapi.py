"""Finishing touches of the OpenAPI document that FastAPI cannot know of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from service.api import examples
from service.api.act_bodies import body_definitions
from service.api.problems import MEDIA_TYPE
from service.api.schemas import Answer

SECURITY = {"bearer": {"type": "http", "scheme": "bearer", "description": "API key"}}
OPEN_PATHS = ("/healthz", "/readyz")


def describe(app: FastAPI, *, asks_for_keys: bool) -> None:
    """Complete the application's OpenAPI document when it is first asked for."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            complete(generate(), asks_for_keys)
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def complete(document: dict[str, Any], asks_for_keys: bool) -> None:
    """Add the models of raw bodies and the key; give problems their own media type only."""
    components = document["components"]
    components["schemas"] |= body_definitions()
    components["securitySchemes"] = SECURITY
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # FastAPI lists its own 422 where a path has parameters; ours replaces or removes it.
            if path not in OPEN_PATHS:
                operation["security"] = [{"bearer": []}] if asks_for_keys else [{"bearer": []}, {}]
            _drop_default_422(operation["responses"])
            _move_problems(operation["responses"])
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    _restore_examples(document)


def list_answers(root: type[Answer] = Answer) -> Iterator[type[Answer]]:
    """Yield every model of an answer that has an example of its own."""
    for model in root.__subclasses__():
        if example_of(model) is not None:
            yield model
        yield from list_answers(model)


def example_of(model: type[Answer]) -> Any:
    """Return the example that a model of an answer was given."""
    extra = model.model_config.get("json_schema_extra")
    return extra.get("example") if isinstance(extra, dict) else None


def _restore_examples(document: dict[str, Any]) -> None:
    """FastAPI drops every null from the document, but in an example a null is a value."""
    for model in list_answers():
        schema = document["components"]["schemas"].get(model.__name__)
        if schema is not None:
            schema["example"] = example_of(model)
    act = document["paths"]["/policy/{id}/act"]["post"]
    act["responses"]["200"]["content"]["application/json"]["examples"] = examples.ANSWERS


def _drop_default_422(responses: dict[str, Any]) -> None:
    if MEDIA_TYPE not in responses.get("422", {}).get("content", {MEDIA_TYPE: {}}):
        del responses["422"]


def _move_problems(responses: dict[str, Any]) -> None:
    """FastAPI puts a model under the route's media type; problems have one of their own."""
    for response in responses.values():
        content = response.get("content", {})
        for media_type in [found for found in content if found != MEDIA_TYPE]:
            if MEDIA_TYPE in content:
                content[MEDIA_TYPE] |= content.pop(media_type)
