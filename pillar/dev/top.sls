# Which role sees which files; '*' is every role. Which minion has which roles stands in roles.yaml.
# {% load_yaml as files %}
'*': [postgresql.*, own-server.cluster]
ca: [own-server.ca]
consul: [own-server.consul, secrets.consul]
db-in-consul: [own-server.consul]
db-server: [own-server.server, secrets.postgresql-replication, secrets.postgresql-users.all]
db-replica: [own-server.server, secrets.postgresql-replication, secrets.postgresql-users.all]
db-admin: [secrets.postgresql-admin, secrets.postgresql-users.all]
reporting: [secrets.postgresql-users.reporting]
shop: [secrets.postgresql-users.shop]
wiki: [secrets.postgresql-users.wiki]
# {% endload %}
# {% include "top.jinja" %}
