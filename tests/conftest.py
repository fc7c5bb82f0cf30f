"""What every test may be told."""

import logging
import signal

import pytest
from saltfactories.plugins.event_listener import EventListener

from devtools import debian, postgres
from tests import golden


def pytest_addoption(parser):
    parser.addoption(
        "--major",
        type=int,
        choices=postgres.majors(),
        default=None,
        help="the PostgreSQL to test on, where a test does not choose",
    )
    parser.addoption(
        "--every-major", action="store_true", help="run each attack of tests/hostile on each PostgreSQL"
    )
    parser.addoption(
        "--pgbouncer",
        choices=debian.SUITES,
        default=None,
        help="the Debian whose pgbouncer every node of functional/node has, in place of the installed one",
    )
    parser.addoption("--write-changes", action="store_true", help="write what came out into the golden files")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Salt's test servers listen on this machine alone; by themselves they would on every address.

    And interrupts arrive: what a shell starts in the background ignores them, and so does all that it starts.
    """
    config.pluginmanager.get_plugin("saltfactories-log-server").log_host = "127.0.0.1"
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def agrees(request):
    """``agrees(case, came_out)``: that it is what the golden file says, or, where asked for, now says."""

    def check(case: golden.Case, came_out: object) -> None:
        if request.config.getoption("--write-changes") and came_out != case.expected:
            golden.rewrite(case, came_out)
        else:
            assert came_out == case.expected

    return check


@pytest.fixture(scope="session")
def event_listener():
    listener = EventListener()
    listener.host = "127.0.0.1"
    with listener:
        yield listener


def pytest_unconfigure():
    """Salt's daemons go on logging to a stream that is closed: pytest's last line is to stay the last."""
    logging.raiseExceptions = False
