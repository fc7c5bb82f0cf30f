# {% load_yaml as files %}
'*': [postgresql.*]
db-admin: [secrets.postgresql-admin, secrets.postgresql-users.all]
shop: [secrets.postgresql-users.shop]
wiki: [secrets.postgresql-users.wiki]
# {% endload %}
# {% include "top.jinja" %}
