"""Which settings take a superuser: the servers say it, of every major version."""

from pgpillar import guc

SETTINGS = "select name, context ~ '^superuser' from pg_settings where context ~ '^(user|backend|superuser)'"


def test_what_takes_a_superuser_is_nobody_elses_on_any_major(every_cluster):
    said = dict(every_cluster.query(SETTINGS))
    wrong = {name for name, takes_superuser in said.items() if guc.is_everybodys(name) == takes_superuser}
    assert wrong == set()
