"""Whom a node trusts, by its files and by what its pgbouncer reads."""

import pytest
import trustme

from pgpillar import certificates
from pgpillar.model import Trouble
from pgpillar.trust import Trust

OLD, NEW, OTHERS = (
    trustme.CA(organization_name=name).cert_pem.bytes().decode() for name in ("old", "new", "x")
)


def key(pem):
    return certificates.key_of(certificates.in_pem(pem)[0])


@pytest.fixture
def node(tmp_path):
    """What a node trusts whose CA says this, by the file of its cluster and pgbouncer's."""

    def make(word=None, file=None, bundle=None):
        ca_file, pooled = tmp_path / "ca.pem", tmp_path / "bundle.pem"
        for path, text in ((ca_file, file), (pooled, bundle)):
            if text:
                path.write_text(text)
        trust = Trust({"main": {"ca_server": "ca", "ca_file": str(ca_file)}}, lambda _: word or {})
        return trust, pooled

    return make


@pytest.mark.parametrize(
    ("bundle", "trusted"),
    {
        "no pgbouncer": (None, {OLD, NEW}),
        "a pgbouncer that has not read the new one yet": (OLD, {OLD}),
        "one that has": (OLD + NEW + OTHERS, {OLD, NEW}),
        "one of other clusters": (OTHERS, {OLD, NEW}),
    }.values(),
)
def test_a_node_trusts_what_all_of_it_trusts(node, bundle, trusted):
    trust, pooled = node(file=OLD + NEW, bundle=bundle)
    assert trust.keys(pooled) == {"ca": sorted(map(key, trusted))}


def test_a_node_without_a_file_says_nothing_of_it(node):
    trust, pooled = node()
    assert trust.keys(pooled) == {}
    assert trust.missing()


def test_what_a_ca_said_is_kept_and_its_silence_changes_nothing(node):
    trust, _ = node(word={"trusted": OLD + NEW}, file=OLD)
    (told,) = trust.changes().values()
    assert list(told.values()) == ["new"]
    silent, _ = node(file=OLD)
    assert (silent.changes(), silent.unheard(), silent.missing()) == ({}, ["ca"], [])


@pytest.mark.parametrize(
    "word", [{"trusted": "nonsense"}, {"trusted": [OLD]}, {"trusted": None}, {"trusted": 7}, [OLD], OLD, 7]
)
def test_what_is_no_certificate_is_not_believed(node, word):
    trust, _ = node(word=word, file=OLD)
    with pytest.raises(Trouble, match="what ca said of its CA in the mine is no certificate"):
        trust.changes()
