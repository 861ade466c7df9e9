"""The description of the bank's own interface: OpenAPI, as it is checked in beside this."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bank.api.answers import Problem

# FastAPI's own, of a shape that nothing here has.
_NOT_OURS = ("HTTPValidationError", "ValidationError")


def describing(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Return what makes the description of an application, once."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    return describe


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = found["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    for name in _NOT_OURS:
        schemas.pop(name, None)
    return found
