"""Plans: from what is there and what is wanted to the words and the statements, letter by letter."""

import pytest
import worlds

from pgpillar import refusals, sql, text
from pgpillar.plan import impossible_farewells, impossible_leaves, plan
from tests import golden


@pytest.mark.parametrize("case", golden.cases("unit/plans", 3))
def test_the_plan_says_and_sends_what_it_did_when_somebody_last_looked(case, agrees):
    current, wanted = case.given
    agrees(case, outcome(worlds.found(current or {}), worlds.declared(wanted or {})))


@pytest.mark.parametrize("case", golden.cases("unit/plans", 3))
def test_whatever_is_lost_is_counted_by_kind(case):
    current, wanted = case.given
    found = refusals.possible(worlds.found(current or {}), worlds.declared(wanted or {}))
    told = text.losses(plan(found.current, found.wanted))
    assert sum(told["losses"].values()) == text.leaves(told["destructive"])


def test_losses_in_words():
    count = {"roles_dropped": 1, "rights_taken": 2}
    assert text.lost(count) == "2 take rights away and 1 drops a role"
    assert text.lost({**count, "databases_closed": 1}) == (
        "2 take rights away, 1 closes a database and 1 drops a role"
    )


def outcome(current, wanted):
    found = refusals.possible(current, wanted)
    refused = {**found.databases, **found.roles}
    current, wanted = found.current, found.wanted
    changes = plan(current, wanted)
    stuck = {**impossible_farewells(current, wanted), **impossible_leaves(current, wanted)}
    told = {**({"refused": refused} if refused else {}), **({"stuck": stuck} if stuck else {})}
    if not changes:
        return told or "nothing"
    told["changes"] = text.tree(changes)
    if refused or stuck:
        return told
    version = current.server.version if current.server else sql.NOW
    sent = [f"{change.database or '-'}: {line}" for change in changes for line in sql.texts(change, version)]
    return {**told, "sql": sent}
