"""Every test of this folder runs a real agent CLI."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `make scripted` leaves them out."""
    for item in items:
        if "/tests/real/" in str(item.path):
            item.add_marker(pytest.mark.real)
