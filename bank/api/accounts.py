"""Accounts: where they stand, what was booked, what a job would cost."""

from fastapi import APIRouter

router = APIRouter(prefix="/v1", tags=["accounts"])
