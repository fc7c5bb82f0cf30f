"""What else in a database has an owner, beside schemas, tables, sequences, routines and types."""

from __future__ import annotations

from typing import NamedTuple

ALWAYS, NEVER = 0, 10**9
ANEW = "drop it and create it again as another role, or run REASSIGN OWNED in that database"
A_SUPERUSER = "have a superuser take it over by ALTER … OWNER TO, or drop it"


class Kind(NamedTuple):
    """How another owner is given to a thing of one kind."""

    catalog: str
    word: str  # in ALTER … OWNER TO
    since: int = ALWAYS  # the first version in which the owner may be any role
    remedy: str = ""  # what to do where it may not


# By the names that pg_identify_object has for them. Text search parsers and templates, casts, transforms and
# access methods have no owner. An event trigger and a foreign data wrapper must belong to a superuser.
KINDS = {
    "collation": Kind("pg_collation", "COLLATION"),
    "conversion": Kind("pg_conversion", "CONVERSION"),
    "text search configuration": Kind("pg_ts_config", "TEXT SEARCH CONFIGURATION"),
    "text search dictionary": Kind("pg_ts_dict", "TEXT SEARCH DICTIONARY"),
    "operator": Kind("pg_operator", "OPERATOR"),
    "operator class": Kind("pg_opclass", "OPERATOR CLASS"),
    "operator family": Kind("pg_opfamily", "OPERATOR FAMILY"),
    "statistics object": Kind("pg_statistic_ext", "STATISTICS"),
    "publication": Kind("pg_publication", "PUBLICATION"),
    "subscription": Kind("pg_subscription", "SUBSCRIPTION", 160000, A_SUPERUSER),
    "server": Kind("pg_foreign_server", "SERVER"),
    "language": Kind("pg_language", "LANGUAGE"),
    "large object": Kind("pg_largeobject", "LARGE OBJECT"),
    "extension": Kind("pg_extension", "EXTENSION", NEVER, ANEW),
    "event trigger": Kind("pg_event_trigger", "EVENT TRIGGER", NEVER, A_SUPERUSER),
    "foreign-data wrapper": Kind("pg_foreign_data_wrapper", "FOREIGN DATA WRAPPER", NEVER, A_SUPERUSER),
}


def can_move(kind: str, version: int) -> bool:
    """Whether a thing of this kind can be given to any role. A kind that is not listed here can."""
    return kind not in KINDS or version >= KINDS[kind].since
