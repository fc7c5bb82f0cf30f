# Which role is given which states. Which minion has which roles stands in roles.yaml.
# {% load_yaml as files %}
db-admin: [postgresql.admin]
reporting: [postgresql.client]
shop: [postgresql.client]
wiki: [postgresql.client]
# {% endload %}
# {% include "top.jinja" %}
