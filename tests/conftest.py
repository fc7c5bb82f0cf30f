"""What every test may be told."""


def pytest_addoption(parser):
    parser.addoption(
        "--major", type=int, default=None, help="the PostgreSQL to test on, where a test does not choose"
    )
    parser.addoption("--write-changes", action="store_true", help="write what came out into the golden files")
