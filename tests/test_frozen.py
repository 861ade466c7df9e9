import subprocess
import time

import pytest

from tests.frozen import frozen


def test_waiting_goes_on_while_the_date_stands_still() -> None:
    with frozen("2027-01-02T12:00:00"):
        date, began = time.time_ns(), time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["/bin/sleep", "10"], timeout=0.01, check=True)
        assert time.monotonic() > began
        assert time.time_ns() == date == 1_798_891_200 * 10**9
    assert time.time_ns() != date
