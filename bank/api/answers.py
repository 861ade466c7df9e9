"""What the bank's own routes answer: plain data as JSON, and what may come instead of it."""

from typing import Any

from pydantic import BaseModel, Field

from bank.http.problems import MEDIA_TYPE


class Problem(BaseModel):
    """Why something was refused (RFC 9457)."""

    type: str = Field(description="the code of the error, for programs", examples=["busy"])
    title: str
    status: int
    detail: str = Field(description="what was wrong, what is allowed, what to do")
    problems: list[str] = Field(
        default=[], description="everything that is wrong, where that is more than one thing"
    )


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what a route may be refused with, for its description; all share one shape."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": "refused", "content": content}
        for status in (401, 403, 408, 413, 422, 500, 503, *statuses)
    }
