# Which role is given which states. Which minion has which roles stands in roles.yaml.
# {% load_yaml as files %}
ca: [tls.ca]
consul: [consul.agent]
db-admin: [postgresql.admin]
db-replica: [postgresql.replica, tls.trust, postgresql.admin]
db-server: [postgresql.server, tls.trust, postgresql.admin]
db-in-consul: [postgresql.consul]
reporting: [tls.trust, postgresql.client]
shop: [tls.trust, postgresql.client]
wiki: [tls.trust, postgresql.client]
# {% endload %}
# {% if "postgresql" not in pillar %}{% for role in files %}{% do files.update({role: ["no-pillar"]}) %}{% endfor %}{% endif %}
# {% include "top.jinja" %}
