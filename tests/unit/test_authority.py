"""A change of CA, step by step: what signs, what is trusted, and what has to wait for whom."""

import pytest
import trustme

from pgpillar import certificates
from pgpillar.authority import Authorities, Said
from pgpillar.model import Trouble

NOBODY = Said({}, {})


@pytest.fixture
def made(tmp_path):
    """The keys of two authorities, as tls.ca makes them."""
    keys = {}
    for name in ("ca-1", "ca-2"):
        (tmp_path / name).mkdir()
        pem = trustme.CA(organization_name=name).cert_pem.bytes().decode()
        (tmp_path / name / "ca.crt").write_text(pem)
        keys[name] = certificates.key_of(certificates.in_pem(pem)[0])
    return keys


@pytest.fixture
def step(tmp_path, made):
    """Go to a step, by what the nodes said, with authorities by name; gives the changes."""

    def go(*wanted, said=None):
        here = Authorities(tmp_path, wanted)
        changes = here.changes()
        here.check(said or NOBODY)
        here.run()
        assert here.changes() == {}
        return changes

    return go


def said(made, trusts, served=None):
    trusted = {minion: [made[name] for name in names] for minion, names in trusts.items()}
    return Said(trusted, {minion: made[name] for minion, name in (served or {}).items()})


def trusted(tmp_path):
    return certificates.in_pem(Authorities(tmp_path, ()).announcement()["trusted"])


def test_the_three_steps(tmp_path, made, step):
    assert step("ca-1") == {"signs": "new", "trusted": {"ca-1": "new"}}
    assert step("ca-1", "ca-2") == {"trusted": {"ca-2": "new"}}
    assert Authorities(tmp_path, ()).signs() == "ca-1"
    both = said(made, {"app-1": ["ca-1", "ca-2"]}, {"db-1": "ca-1"})
    assert step("ca-2", "ca-1", said=both) == {"signs": "ca-1 → ca-2"}
    assert len(trusted(tmp_path)) == 2
    served = said(made, {"app-1": ["ca-1", "ca-2"]}, {"db-1": "ca-2"})
    assert step("ca-2", said=served) == {"trusted": {"ca-1": "gone"}}
    assert [certificates.key_of(one) for one in trusted(tmp_path)] == [made["ca-2"]]


def refused(step, *wanted, said):
    with pytest.raises(Trouble) as caught:
        step(*wanted, said=said)
    return str(caught.value)


def test_none_signs_that_a_node_does_not_trust_yet(tmp_path, made, step):
    step("ca-1")
    step("ca-1", "ca-2")
    half = said(made, {"app-1": ["ca-1", "ca-2"], "app-2": ["ca-1"]})
    told = refused(step, "ca-2", "ca-1", said=half)
    assert "- app-2 does not trust ca-2 yet; run: salt app-2 state.highstate" in told
    assert "app-1" not in told
    assert Authorities(tmp_path, ()).signs() == "ca-1"


def test_none_signs_while_no_node_says_whom_it_trusts(step, made):
    step("ca-1")
    assert "nobody has said in the mine whom it trusts" in refused(step, "ca-2", "ca-1", said=NOBODY)


def test_none_goes_that_a_server_has_its_certificate_from(tmp_path, made, step):
    step("ca-1")
    both = {"app-1": ["ca-1", "ca-2"]}
    step("ca-2", "ca-1", said=said(made, both))
    told = refused(step, "ca-2", said=said(made, both, {"db-1": "ca-2", "db-2": "ca-1"}))
    assert "- db-2 has a certificate from ca-1 still; run: salt db-2 state.highstate" in told
    assert len(trusted(tmp_path)) == 2


TRUSTED = {"trusts": {"ca": ["key"]}, "served": None}


@pytest.mark.parametrize(
    "word",
    [
        "nonsense",
        ["trusts"],
        None,
        {"served": None},
        {"trusts": ["ca"], "served": None},
        {"trusts": {"ca": "key"}, "served": None},
        {"trusts": {"ca": [["key"]]}, "served": None},
        {"trusts": {"ca": ["key"]}},
        {"trusts": {"ca": ["key"]}, "served": ["key"]},
    ],
)
def test_a_node_that_says_nonsense_is_not_believed_and_has_to_be_mended_first(made, step, word):
    heard = Said.of("ca", {"app-1": word, "app-2": TRUSTED, "app-3": {"trusts": {}, "served": "other"}})
    assert heard == Said({"app-2": ["key"]}, {"app-2": None, "app-3": "other"}, {"app-1"})
    step("ca-1", said=heard)
    step("ca-1", "ca-2", said=heard)
    for wanted in (["ca-2", "ca-1"], ["ca-1"]):
        told = refused(step, *wanted, said=heard._replace(trusts={"app-2": list(made.values())}))
        assert "- what app-1 said in the mine is of another form; run: salt app-1 state.highstate" in told


def test_all_in_one_step_is_refused_and_leaves_everything(tmp_path, made, step):
    step("ca-1")
    refused(step, "ca-2", said=said(made, {"app-1": ["ca-1"]}, {"db-1": "ca-1"}))
    here = Authorities(tmp_path, ("ca-1",))
    assert (here.signs(), here.changes()) == ("ca-1", {})


def test_one_that_is_not_made_is_neither_trusted_nor_signs(tmp_path, made, step):
    step("ca-1")
    with pytest.raises(Trouble, match="ca-3 has no certificate yet"):
        step("ca-1", "ca-3")
    assert "app-1 does not trust ca-3 yet" in refused(
        step, "ca-3", "ca-1", said=said(made, {"app-1": ["ca-1"]})
    )


def test_a_step_that_was_cut_is_finished(tmp_path, made, step):
    step("ca-1")
    step("ca-1", "ca-2")
    Authorities(tmp_path, ())._let_sign("ca-2")
    both = said(made, {"app-1": ["ca-1", "ca-2"]}, {"db-1": "ca-2"})
    assert step("ca-2", said=both) == {"trusted": {"ca-1": "gone"}}


def test_a_renewed_certificate_of_the_same_name_is_told(tmp_path, made, step):
    step("ca-1")
    (tmp_path / "ca-1" / "ca.crt").write_text(trustme.CA().cert_pem.bytes().decode())
    assert step("ca-1") == {"trusted": {"ca-1": "renewed"}}
