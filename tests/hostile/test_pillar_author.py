"""The author of one role's pillar file reaches for what is not the role's: ``check`` refuses each attempt."""

import shutil

import pytest
import yaml
from pillar_repo import TESTS, Repo


@pytest.fixture
def team(tmp_path):
    """A repo with a file for each role: shop's author attacks wiki and the administrators."""
    shutil.copytree(TESTS / "corpus" / "by_role", tmp_path / "pillar")
    return Repo(tmp_path)


@pytest.fixture
def right(tmp_path):
    """A repo with the pillar that the cases of the corpus are edits of, and one script among its states."""
    shutil.copytree(TESTS / "corpus" / "right", tmp_path / "pillar")
    repo = Repo(tmp_path)
    repo.write("../salt/shop/schema.sql", "CREATE TABLE orders ();")
    return repo


def refusals(repo):
    """What keeps this from being merged: file, path in pillar, and what is wrong."""
    found = [one for one in repo.findings() if one["level"] == "wrong"]
    return {(one["file"].removeprefix("pillar/"), one["path"], one["message"]) for one in found}


# What a database is to run when it is new


def bootstrapping(repo, address):
    repo.replace("postgresql/server.sls", "owner: shop\n", f"owner: shop\n      bootstrap: {address}\n")
    return refusals(repo)


OUT_OF_SALT = {
    ("postgresql/server.sls", "postgresql:databases:shop:bootstrap", "this leads out of salt/"),
}


@pytest.mark.parametrize(
    "way", ["../pillar/roles.yaml", "shop/../../pillar/roles.yaml", "../conf/master/prod.conf"]
)
def test_a_script_above_salt(right, way):
    assert bootstrapping(right, f"salt://{way}") == OUT_OF_SALT


@pytest.mark.parametrize("target", ["pillar/dev/secrets/postgresql-admin.sls", "/etc/hostname"])
def test_a_script_that_is_a_link_to_secrets_or_out_of_the_repo(right, target):
    (right.root / "salt" / "shop" / "mine.sql").symlink_to(right.root / target)
    assert bootstrapping(right, "salt://shop/mine.sql") == OUT_OF_SALT


def test_a_link_to_another_directory_of_the_repo_is_no_attack(right):
    right.write("../sql/orders.sql", "CREATE TABLE orders ();")
    (right.root / "salt" / "shop" / "mine.sql").symlink_to(right.root / "sql" / "orders.sql")
    assert bootstrapping(right, "salt://shop/mine.sql") == set()


# Secrets in files that everybody sees


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_gossip_key_of_consul_in_a_public_file(right, environment):
    right.replace(f"{environment}/top.sls", "[postgresql.*]", "[postgresql.*, consul]")
    right.write(f"{environment}/consul.sls", "consul: {leader: db-1, key: bm8tc2VjcmV0LWluLWRldg==}\n")
    file = f"{environment}/consul.sls"
    message = f"a secret stands in pillar/{file}, which is not for secrets"
    assert refusals(right) == {(file, "consul:key", message)}


# What shop's author writes into shop's own files

SHOP = "postgresql/shop.sls"
SECRETS = "dev/secrets/postgresql-users/shop.sls"
WIKI = "pillar/postgresql/wiki.sls"
OWNERS = "pillar/dev/secrets/postgresql-owners/wiki.sls"
EVERYBODY = "pillar/postgresql/everybody.sls"


def writing(repo, text, file=SHOP):
    """Add to a file of shop's, and see what is refused there: paths below postgresql, and what is wrong."""
    data = yaml.safe_load((repo.root / "pillar" / file).read_text())
    for section, entries in yaml.safe_load(text).items():
        for name, keys in entries.items():
            known = data["postgresql"].setdefault(section, {})
            known[name] = {**known.get(name, {}), **keys} if isinstance(keys, dict) else keys
    repo.write(file, yaml.safe_dump(data))
    found = {
        (path.removeprefix("postgresql:"), message) for at, path, message in refusals(repo) if at == file
    }
    assert found, "nothing was refused"
    return found


def not_ours(what, where=WIKI):
    return f"the {what} is not declared in this file, but in {where}"


def taken(what, by=WIKI):
    return f"{by} speaks of the {what} as well, and this file may not"


def servers(what):
    return f"the {what} is the server's or its admin's"


# Powers over the whole server


@pytest.mark.parametrize("attribute", ["createrole", "createdb", "replication", "bypassrls"])
def test_an_attribute(team, attribute):
    refused = writing(team, f"users: {{shop: {{attributes: [{attribute}]}}}}")
    assert refused == {("users:shop:attributes", f"only a privileged file may give '{attribute}'")}


def test_superuser(team):
    [(path, message)] = writing(team, "users: {shop: {attributes: [superuser]}}")
    assert path == "users:shop:attributes:0"
    assert message.startswith("a text is not one of createdb")


@pytest.mark.parametrize("group", ["pg_read_all_data", "pg_execute_server_program", "pg_signal_backend"])
@pytest.mark.parametrize(("section", "role"), [("users", "shop"), ("groups", "shop_reports")])
def test_a_group_of_postgresqls_own(team, section, role, group):
    refused = writing(team, f"{section}: {{{role}: {{groups: [{group}]}}}}")
    message = f"only a privileged file may make a role a member of '{group}'"
    assert refused == {(f"{section}:{role}:groups", message)}


OF_SUPERUSERS = (
    "session_preload_libraries: [evil]",
    "log_statement: none",
    "Session_Replication_Role: replica",
    "pgaudit.log: none",
)


@pytest.mark.parametrize("setting", OF_SUPERUSERS)
@pytest.mark.parametrize("entry", ["databases:shop", "users:shop_app", "groups:shop_reports"])
def test_a_setting_that_takes_a_superuser(team, entry, setting):
    section, name = entry.split(":")
    refused = writing(team, f"{section}: {{{name}: {{settings: {{{setting}}}}}}}")
    what = setting.partition(":")[0].lower()
    message = f"a role could not set '{what}' itself, so only a privileged file may say it"
    assert refused == {(f"{entry}:settings:{what}", message)}


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ("clusters", "{main: {hostaddr: 192.0.2.66}}"),
        ("clusters", "{main: {sslmode: disable, sslmode_reason: faster}}"),
        ("clusters", "{main: {admin: {minion: shop-1}}}"),
        ("clusters", "{main: {dumps: /srv/www}}"),
        ("clusters", "{second: {host: mine.example.internal}}"),
        ("server", "{cluster: main, networks: [192.0.2.0/24]}"),
        ("pgbouncer", "{settings: {max_client_conn: 1}}"),
        ("authorities", "[mine]"),
    ],
)
def test_where_the_servers_are_and_how_they_are_set(team, section, keys):
    team.add(SHOP, f"  {section}: {keys}\n")
    assert (SHOP, f"postgresql:{section}", "only a privileged file may say this") in refusals(team)


def test_the_database_that_the_admin_connects_to_first(team):
    refused = writing(team, "databases: {defaultdb: shop}")
    assert refused == {("databases:defaultdb", servers("database 'defaultdb'"))}


@pytest.mark.parametrize("name", ["defaultdb", "postgres"])
def test_the_same_under_another_name(team, name):
    refused = writing(team, f"databases: {{mine: {{owner: shop, name: {name}}}}}")
    assert refused == {("databases:mine:name", servers(f"database '{name}'"))}


@pytest.mark.parametrize("name", ["postgres", "doadmin"])
def test_the_superuser_of_the_server_and_the_admin_of_the_cluster(team, name):
    refused = writing(team, f"users: {{{name}: {{access: {{shop: read}}}}}}")
    assert (f"users:{name}", servers(f"role '{name}'")) in refused


# Names that another file declares


@pytest.mark.parametrize(
    "keys",
    [
        "{state: absent}",
        "{state: absent, reassign_to: shop}",
        "{groups: [shop_reports]}",
        "{connection_limit: 0}",
        "{run_as: www-data, direct: true}",
        "{settings: {search_path: [shop]}}",
    ],
)
def test_a_user_of_another_role(team, keys):
    assert ("users:wiki_app", taken("role 'wiki_app'")) in writing(team, f"users: {{wiki_app: {keys}}}")


def test_a_user_of_whom_another_role_has_only_the_password(team):
    refused = writing(team, "users: {wiki: {groups: [shop_reports]}}")
    assert refused == {("users:wiki", taken("role 'wiki'", OWNERS))}


def test_a_user_of_the_administrators(team):
    refused = writing(team, "users: {auditor: {run_as: www-data}}")
    assert refused == {("users:auditor", taken("role 'auditor'", EVERYBODY))}


def test_a_user_of_the_name_that_a_group_of_another_role_has(team):
    refused = writing(team, "users: {wiki_readers: {state: absent}}")
    assert ("users:wiki_readers", taken("role 'wiki_readers'")) in refused


def test_more_access_for_a_group_of_another_role(team):
    refused = writing(team, "groups: {wiki_readers: {access: {shop: owner}}}")
    assert refused == {("groups:wiki_readers", taken("role 'wiki_readers'"))}


@pytest.mark.parametrize(
    "keys",
    [
        "{state: absent}",
        "{state: quarantined}",
        "{access: {shop: owner}}",
        "{owner: shop}",
        "{schemas: {public: shop}}",
        "{bootstrap: 'salt://shop/schema.sql'}",
        "{settings: {search_path: [shop]}}",
        "{connection_limit: 0}",
    ],
)
def test_a_database_of_another_role(team, keys):
    refused = writing(team, f"databases: {{wiki: {keys}}}")
    assert ("databases:wiki", taken("database 'wiki'")) in refused


def test_who_has_the_name_is_told_as_well(team):
    writing(team, "databases: {wiki: {access: {shop: owner}}}")
    wikis = ("postgresql/wiki.sls", "postgresql:databases:wiki", taken("database 'wiki'", f"pillar/{SHOP}"))
    assert wikis in refusals(team)


def test_a_new_file_that_a_glob_of_the_top_file_takes_in(team):
    team.write("postgresql/zebra.sls", "postgresql: {users: {wiki_app: {state: absent}}}\n")
    assert ("postgresql/zebra.sls", "postgresql:users:wiki_app", taken("role 'wiki_app'")) in refusals(team)


def test_a_new_file_of_the_name_that_another_roles_has(team):
    """Reviews go by directories: its author may be anybody."""
    team.replace("dev/top.sls", "[postgresql.*]", "[postgresql.*, others.wiki]")
    team.write("others/wiki.sls", "postgresql: {users: {wiki_app: {connection_limit: 0}}}\n")
    assert ("others/wiki.sls", "postgresql:users:wiki_app", taken("role 'wiki_app'")) in refusals(team)


# Names of another file, used in what is one's own


def test_a_group_of_another_role(team):
    refused = writing(team, "users: {shop: {groups: [wiki_readers]}}")
    assert refused == {("users:shop:groups", not_ours("role 'wiki_readers'"))}


@pytest.mark.parametrize("access", ["read", "owner", "{public: write}"])
@pytest.mark.parametrize(("section", "role"), [("users", "shop"), ("groups", "shop_reports")])
def test_access_to_a_database_of_another_role(team, section, role, access):
    refused = writing(team, f"{section}: {{{role}: {{access: {{wiki: {access}}}}}}}")
    assert refused == {(f"{section}:{role}:access:wiki", not_ours("database 'wiki'"))}


def test_access_to_a_database_of_the_administrators(team):
    refused = writing(team, "users: {shop: {access: {billing: write}}}")
    assert refused == {("users:shop:access:billing", not_ours("database 'billing'", EVERYBODY))}


def test_an_owner_of_another_role_as_which_a_script_of_ours_would_run(team):
    refused = writing(team, "databases: {shop: {owner: wiki}}")
    assert ("databases:shop:owner", not_ours("role 'wiki'", OWNERS)) in refused


def test_an_owner_of_a_schema_as_which_functions_of_ours_would_run(team):
    refused = writing(team, "databases: {shop: {schemas: {reporting: wiki_app}}}")
    assert refused == {("databases:shop:schemas:reporting:owner", not_ours("role 'wiki_app'"))}


def test_an_heir_of_another_role_as_which_functions_of_ours_would_run(team):
    refused = writing(team, "users: {gone: {state: absent, reassign_to: wiki_app}}")
    assert refused == {("users:gone:reassign_to", not_ours("role 'wiki_app'"))}


def test_a_copy_of_a_database_of_another_role(team):
    refused = writing(team, "databases: {copied: {owner: shop, template: wiki}}")
    assert refused == {("databases:copied:template", not_ours("database 'wiki'"))}


def test_a_copy_of_a_database_that_no_file_declares(team):
    refused = writing(team, "databases: {copied: {owner: shop, template: legacy}}")
    assert refused == {("databases:copied:template", "the database 'legacy' is not declared in this file")}


def test_the_pool_by_which_others_find_their_database(team):
    refused = writing(team, "pools: {wiki: {database: shop, user: shop_app}}")
    assert refused == {("pools:wiki", f"this is the name of a database, which {WIKI} declares")}


def test_a_pool_that_leads_a_user_of_another_role_to_a_database_of_ours(team):
    refused = writing(team, "pools: {notes: {database: shop, user: wiki_app}}")
    assert refused == {("pools:notes:user", not_ours("role 'wiki_app'"))}


# Passwords, and what few see


def test_the_password_of_a_user_of_another_role(team):
    refused = writing(team, "users: {wiki_app: {password: known-to-shop-26-tea}}", SECRETS)
    assert ("users:wiki_app", taken("role 'wiki_app'")) in refused


def test_the_password_of_a_user_of_the_administrators(team):
    team.add(SECRETS, "    auditor: {password: known-to-shop-26-tea}\n")
    twice = {path for _, path, message in refusals(team) if "Salt takes one of them" in message}
    assert twice == {"postgresql:users:auditor:password"}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("users: {shop_app: {attributes: [createrole]}}", "users:shop_app:attributes"),
        ("users: {shop_app: {groups: [shop_reports]}}", "users:shop_app:groups"),
        ("groups: {unseen: {access: {shop: owner}}}", "groups:unseen"),
        ("databases: {unseen: shop}", "databases:unseen"),
    ],
)
def test_what_few_would_see_in_a_secrets_file(team, text, path):
    refused = writing(team, text, SECRETS)
    assert (path, "a secrets file of a role holds passwords alone") in refused


ROOTS = "only a privileged file may say more than postgresql"


def test_the_passwords_of_all_by_an_include(team):
    team.add(SECRETS, "include: [secrets.postgresql-users.all]\n")
    assert (SECRETS, "include", ROOTS) in refusals(team)


# Code


def test_a_function_of_salt_that_every_minion_would_run(team):
    team.add(SHOP, "mine_functions: {evil: [{mine_function: cmd.run}, id]}\n")
    assert refusals(team) == {(SHOP, "mine_functions", ROOTS)}


PROGRAM = "only a privileged file may hold Jinja or name a renderer: that code runs on the master"


@pytest.mark.parametrize("code", ["# {{ 1 + 1 }}", "# {% set a = 1 %}", "# {# nothing #}"])
def test_a_program_of_jinja(team, code):
    team.add(SHOP, f"{code}\n")
    assert refusals(team) == {(SHOP, "", PROGRAM)}


def test_a_program_of_python(team):
    data = yaml.safe_load((team.root / "pillar" / SHOP).read_text())
    team.write(SHOP, f"#!py\ndef run():\n    return {data!r}\n")
    assert (SHOP, "", PROGRAM) in refusals(team)
