"""Failures in the shared checks are explained as those in tests are."""

import pytest

pytest.register_assert_rewrite("tests.crash.world")
