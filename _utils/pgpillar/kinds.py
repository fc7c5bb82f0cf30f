"""What else in a database has an owner, beside schemas, tables, sequences, routines and types."""

from __future__ import annotations

from typing import NamedTuple

ALWAYS, NEVER = 0, 10**9
LARGE_OBJECTS = "pg_largeobject"  # by which the catalogs refer to those of pg_largeobject_metadata
ANEW = "drop it and create it again as another role, or run REASSIGN OWNED in that database"
A_SUPERUSER = "have a superuser take it over by ALTER … OWNER TO, or drop it"


class Kind(NamedTuple):
    """How another owner is given to a thing of one kind."""

    catalog: str
    owner: str  # the column that says who it belongs to
    word: str  # in ALTER … OWNER TO
    since: int = ALWAYS  # the first version in which the owner may be any role
    remedy: str = ""  # what to do where it may not


# By the names that pg_identify_object has for them. Text search parsers and templates, casts, transforms and
# access methods have no owner. An event trigger and a foreign data wrapper must belong to a superuser.
KINDS = {
    "collation": Kind("pg_collation", "collowner", "COLLATION"),
    "conversion": Kind("pg_conversion", "conowner", "CONVERSION"),
    "text search configuration": Kind("pg_ts_config", "cfgowner", "TEXT SEARCH CONFIGURATION"),
    "text search dictionary": Kind("pg_ts_dict", "dictowner", "TEXT SEARCH DICTIONARY"),
    "operator": Kind("pg_operator", "oprowner", "OPERATOR"),
    "operator class": Kind("pg_opclass", "opcowner", "OPERATOR CLASS"),
    "operator family": Kind("pg_opfamily", "opfowner", "OPERATOR FAMILY"),
    "statistics object": Kind("pg_statistic_ext", "stxowner", "STATISTICS"),
    "publication": Kind("pg_publication", "pubowner", "PUBLICATION"),
    "subscription": Kind("pg_subscription", "subowner", "SUBSCRIPTION", 160000, A_SUPERUSER),
    "server": Kind("pg_foreign_server", "srvowner", "SERVER"),
    "language": Kind("pg_language", "lanowner", "LANGUAGE"),
    "large object": Kind(LARGE_OBJECTS, "lomowner", "LARGE OBJECT"),
    "extension": Kind("pg_extension", "extowner", "EXTENSION", NEVER, ANEW),
    "event trigger": Kind("pg_event_trigger", "evtowner", "EVENT TRIGGER", NEVER, A_SUPERUSER),
    "foreign-data wrapper": Kind(
        "pg_foreign_data_wrapper", "fdwowner", "FOREIGN DATA WRAPPER", NEVER, A_SUPERUSER
    ),
}


def can_move(kind: str, version: int) -> bool:
    """Whether a thing of this kind can be given to any role. A kind that is not listed here can."""
    return kind not in KINDS or version >= KINDS[kind].since
