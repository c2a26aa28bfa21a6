"""Contract tests of a format or a runtime whose packages are not installed are skipped, with the reason."""

import pytest

from tests import plugged


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    params = getattr(getattr(item, "callspec", None), "params", {})
    for name in (params.get("format"), params.get("runtime")):
        reason = plugged.absent(name) if name in plugged.FORMATS else ""
        if reason:
            pytest.skip(reason)
