"""Settings as PostgreSQL stores them for a role or a database."""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase

# A value of these is a list of names: stored with each name quoted, written with each as a literal.
NAME_LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}
)

# What only a superuser may set, on any major version; extension_destdir is Debian's own.
SUPERUSERS = frozenset(
    name
    for row in (
        "allow_in_place_tablespaces allow_system_table_mods backtrace_functions commit_delay",
        "compute_query_id deadlock_timeout debug_discard_caches dynamic_library_path event_triggers",
        "extension_control_path extension_destdir ignore_checksum_failure jit_debugging_support",
        "jit_dump_bitcode jit_profiling_support lc_messages lo_compat_privileges log_connections",
        "log_disconnections log_duration log_error_verbosity log_executor_stats log_lock_failures",
        "log_lock_waits log_min_duration_sample log_min_duration_statement log_min_error_statement",
        "log_min_messages log_parameter_max_length log_parser_stats log_planner_stats",
        "log_replication_commands log_statement log_statement_sample_rate log_statement_stats",
        "log_temp_files log_transaction_sample_rate max_stack_depth session_preload_libraries",
        "session_replication_role temp_file_limit track_activities track_cost_delay_timing",
        "track_counts track_functions track_io_timing track_wal_io_timing update_process_title",
        "wal_compression wal_consistency_checking wal_init_zero wal_recycle zero_damaged_pages",
    )
    for name in row.split()
)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*\Z")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",\s]+))\s*(?:,(?!\Z)|\Z)', re.ASCII)
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # PostgreSQL folds no other letters


def canonical(name: str, value: object) -> tuple[str, str]:
    """(name, value) in the one form in which two settings can be compared."""
    name = name.lower()
    return name, _join(names_in(value)) if name in NAME_LISTS else _text(value)


def as_stored(setting: str) -> tuple[str, str]:
    """(name, value) of a setting as the catalog holds it: any role can store a list that is not one."""
    name, value = setting.split("=", 1)
    try:
        return canonical(name, value)
    except ValueError:
        return name.lower(), value


def is_everybodys(name: str) -> bool:
    """Whether any role may set it for itself. Of a setting of an extension that is not known."""
    return name.lower() not in SUPERUSERS and "." not in name


def names_in(value: object) -> list[str]:
    """The names in a list setting, from a YAML list or from the text of one."""
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    text, names, at = str(value).strip(" \t\n\r\f\v"), [], 0
    while at < len(text):
        found = _ELEMENT.match(text, at)
        if not found:
            raise ValueError("the text is not a list of names")
        quoted, plain = found.groups()
        names.append(plain.translate(_LOWER) if quoted is None else quoted.replace('""', '"'))
        at = found.end()
    return names


def _join(names: list[str]) -> str:
    """An empty list is stored as one empty name."""
    names = names or [""]
    return ", ".join(name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"' for name in names)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
