"""SCRAM verifiers: those of the RFC, those that PostgreSQL made, and what is none."""

import hmac
import pathlib
from base64 import b64decode, b64encode
from hashlib import md5, sha256

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pgpillar import scram

FROM_POSTGRESQL = yaml.safe_load((pathlib.Path(__file__).parent / "verifiers.yaml").read_text())
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
KEPT = FROM_POSTGRESQL[0]["kept"]


@pytest.mark.parametrize("one", FROM_POSTGRESQL, ids=lambda one: one["shows"])
def test_what_postgresql_made_of_a_password_fits_it(one):
    assert scram.is_verifier(one["kept"])
    assert scram.fits(one["password"], one["kept"])
    assert not scram.fits(one["password"] + "x", one["kept"])


def test_the_exchange_of_rfc_7677_comes_out():
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    said = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}".encode()
    keys = scram.verifier("pencil", b64decode(salt), 4096).split("$")[2]
    stored, server = map(b64decode, keys.split(":"))
    assert signed(server, said) == b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    proof = b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client = bytes(a ^ b for a, b in zip(proof, signed(stored, said), strict=True))
    assert sha256(client).digest() == stored


def signed(key, message):
    return hmac.digest(key, message, "sha256")


def test_every_verifier_has_a_salt_of_its_own_and_the_rounds_of_postgresql():
    made = [scram.verifier("pencil") for _ in range(5)]
    assert len(set(made)) == 5
    assert all(one.startswith("SCRAM-SHA-256$4096:") and len(one) == len(KEPT) for one in made)


@given(PASSWORDS, st.binary(min_size=1, max_size=40), st.integers(1, 50))
def test_a_password_fits_its_own_verifier_whatever_salt_and_rounds(password, salt, rounds):
    kept = scram.verifier(password, salt, rounds)
    assert scram.is_verifier(kept)
    assert scram.fits(password, kept)


@given(PASSWORDS, PASSWORDS)
def test_a_password_fits_no_verifier_of_another(one, other):
    same = scram.prepared(one) == scram.prepared(other)
    assert scram.fits(other, scram.verifier(one, b"salt", 1)) == same


def test_a_verifier_in_place_of_the_password_fits_itself_alone():
    assert scram.fits(KEPT, KEPT)
    assert not scram.fits(KEPT, scram.verifier("pencil", b"another salt"))


KEY = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "",
        "pencil",
        "md5" + md5(b"pencilshop").hexdigest(),
        KEPT + " ",
        KEPT + "\n",
        KEPT[:-1],
        KEPT.lower(),
        KEPT.replace("256", "1"),
        KEPT.replace("4096", "0"),
        KEPT.replace("4096", "-1"),
        KEPT.replace("4096", "٤٠٩٦"),
        KEPT.replace("4096", "9" * 30),
        f"SCRAM-SHA-256$4096:a${KEY}:{KEY}",
        f"SCRAM-SHA-256$4096:===={KEY}:{KEY}",
        f"SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY[4:]}",
        f"SCRAM-SHA-256$4096:c2FsdA==${KEY}",
        f"SCRAM-SHA-256$4096:${KEY}:{KEY}",
    ],
)
def test_nothing_fits_what_is_no_verifier(kept):
    assert not scram.fits("pencil", kept)
    assert not scram.is_verifier(kept or "")


@given(
    st.text() | st.from_regex(r"SCRAM-SHA-256\$\d{1,2}:[A-Za-z0-9+/=]*\$[A-Za-z0-9+/=]*:[A-Za-z0-9+/=]*\Z")
)
def test_garbage_fits_nothing_and_raises_nothing(kept):
    assert not scram.fits("pencil", kept)


def test_a_verifier_of_very_many_rounds_fits_nothing_and_is_not_computed():
    kept = scram.verifier("tea", b"salt", 1)
    assert not scram.fits("tea", kept.replace("$1:", "$999999999:"))
    assert scram.fits("tea", scram.verifier("tea", b"salt", scram.MOST_ITERATIONS))
