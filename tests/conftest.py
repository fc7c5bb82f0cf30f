"""What every test may be told."""


def pytest_addoption(parser):
    parser.addoption("--major", type=int, default=None, help="the PostgreSQL to test on, where a test does not choose")
