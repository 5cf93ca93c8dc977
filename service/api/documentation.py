"""The page on which people read and try the API: Swagger UI, without anything from elsewhere.

The page, its files and the OpenAPI document are open: they hold nothing but what the code says.
What the page sends needs a key like any request; its Authorize button takes one.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from service.api.auth import ANYBODY
from service.errors import NotFoundError

PAGE, DOCUMENT = "/docs", "/openapi.json"
FOLDER = Path(str(files("fastapi_offline"))) / "static"
ASSETS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})
OPEN_PATHS = frozenset({PAGE, DOCUMENT, *(f"{PAGE}/{name}" for name in ASSETS)})
router = APIRouter(include_in_schema=False)


@router.get(PAGE, dependencies=[ANYBODY])
async def get_page() -> HTMLResponse:
    """Return the page; its addresses are relative, so that it also works behind a path prefix."""
    folder = PAGE.removeprefix("/")
    return get_swagger_ui_html(
        openapi_url=DOCUMENT.removeprefix("/"),
        title="GRPO",
        swagger_js_url=f"{folder}/swagger-ui-bundle.js",
        swagger_css_url=f"{folder}/swagger-ui.css",
        swagger_favicon_url=f"{folder}/favicon.png",
    )


@router.get(f"{PAGE}/{{name}}", dependencies=[ANYBODY])
async def get_asset(name: Annotated[str, InPath(max_length=64)]) -> FileResponse:
    """Return one of the page's files."""
    if name not in ASSETS:
        raise NotFoundError("no such path")
    return FileResponse(FOLDER / name)
