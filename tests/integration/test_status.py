"""What ``salt-run pgpillar`` tells, through a real master."""


def test_a_minion_that_answers_is_not_silent(master, call, minion, tree):
    call("saltutil.sync_all")
    (tree / "salt" / "roles.yaml").write_text(f"{minion.id}: [app]\n")
    told = master.salt_run_cli().run("pgpillar.status")
    assert (told.returncode, told.data["silent"]) == (0, [])
