# This server in Consul: registered with the local agent, whose checks ask the server itself what it is
{% set port = salt["config.get"]("pgpillar_role_port", 8432) %}
{% set units = "/etc/systemd/system/pgpillar-role" %}
postgresql.consul program:
  file.managed:
    - name: /usr/local/lib/pgpillar/say-role
    - source: salt://postgresql/consul/say-role.sh
    - mode: '0755'
    - makedirs: true

{% for unit in [".socket", "@.service"] %}
postgresql.consul {{ unit }}:
  file.managed:
    - name: {{ units }}{{ unit }}
    - source: salt://postgresql/consul/role{{ unit }}
    - template: jinja
    - context:
        listen: {{ port }}
        port: {{ salt["pg_consul.port"]() }}
    - mode: '0644'
    - require:
      - file: postgresql.consul program
    - watch_in:
      - service: postgresql.consul says its role
{% endfor %}

postgresql.consul says its role:
  service.running:
    - name: pgpillar-role.socket
    - enable: true

postgresql.consul registered:
  pg_consul.registered:
    - check: http://127.0.0.1:{{ port }}
    - require:
      - service: postgresql.consul says its role
