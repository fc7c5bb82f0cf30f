"""Plans: from what is there and what is wanted to the words and the statements, letter by letter."""

from contextlib import suppress

import pytest
import worlds

from pgpillar import sql, text
from pgpillar.plan import PlanError, impossible_farewells, plan
from tests import golden


@pytest.mark.parametrize("case", golden.cases("unit/plans", 3))
def test_the_plan_says_and_sends_what_it_did_when_somebody_last_looked(case, agrees):
    current, wanted = case.given
    agrees(case, outcome(worlds.found(current or {}), worlds.declared(wanted or {})))


@pytest.mark.parametrize("case", golden.cases("unit/plans", 3))
def test_whatever_is_lost_is_counted_by_kind(case):
    current, wanted = case.given
    with suppress(PlanError):
        told = text.losses(plan(worlds.found(current or {}), worlds.declared(wanted or {})))
        assert sum(told["losses"].values()) == text.leaves(told["destructive"])


def test_losses_in_words():
    count = {"roles_dropped": 1, "rights_taken": 2}
    assert text.lost(count) == "2 take rights away and 1 drops a role"
    assert text.lost({**count, "databases_closed": 1}) == (
        "2 take rights away, 1 closes a database and 1 drops a role"
    )


def outcome(current, wanted):
    try:
        changes = plan(current, wanted)
    except PlanError as error:
        return {"refused": error.refusals}
    stuck = impossible_farewells(current, wanted)
    if stuck:
        return {"stuck": stuck, **({"changes": text.tree(changes)} if changes else {})}
    version = current.server.version if current.server else sql.NOW
    sent = [f"{change.database or '-'}: {line}" for change in changes for line in sql.texts(change, version)]
    return {"changes": text.tree(changes), "sql": sent} if changes else "nothing"
