"""A pytest plugin: say at the end, loudly and with a number, which tests could not run here, and why."""

from collections import Counter


def pytest_terminal_summary(terminalreporter):
    reasons = Counter(reason(report) for report in terminalreporter.stats.get("skipped", ()))
    if not reasons:
        return
    terminalreporter.section(f"COULD NOT RUN: {reasons.total()} tests", sep="!", red=True, bold=True)
    for text, count in reasons.most_common():
        terminalreporter.line(f"{count:4} × {text}", red=True)


def reason(report) -> str:
    """Return why the test was skipped; pytest keeps it as (path, line, reason)."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
