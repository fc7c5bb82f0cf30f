"""Clean servers, as tests/functional has them, and how many rights were asked about."""

from tests.functional.conftest import cluster, default_major, server, servers  # noqa: F401
from tests.schemas import rights


def pytest_terminal_summary(terminalreporter):
    for name, asked in sorted(rights.ASKED.items()):
        terminalreporter.line(f"{name}: {asked} rights asked about, after the last change")
