# An agent of Consul for the hosts of the Vagrantfile. Teams have their own: nothing else of pgpillar's needs this one.
{% set place = "/var/cache/pgpillar/consul" %}
consul.agent fetched:
  cmd.script:
    - name: fetch.sh {{ place }}
    - source: salt://consul/fetch.sh
    - creates: {{ place }}/consul.deb

consul.agent installed:
  pkg.installed:
    - sources:
      - consul: {{ place }}/consul.deb
    - require:
      - cmd: consul.agent fetched

# It answers over HTTP on the loopback alone; what agents tell one another is encrypted with the key
consul.agent configured:
  file.serialize:
    - name: /etc/consul.d/pgpillar.json
    - serializer: json
    - dataset:
        node_name: {{ grains["id"] | json }}
        bind_addr: {{ grains["fqdn_ip4"] | first }}
        encrypt: {{ pillar["consul"]["key"] }}
        disable_update_check: true
{% if grains["id"] == pillar["consul"]["leader"] %}
        server: true
        bootstrap_expect: 1
{% else %}
        retry_join: [{{ pillar["consul"]["leader"] }}]
        retry_interval: 5s
{% endif %}
    - user: root
    - group: consul
    - mode: '0640'
    - show_changes: false
    - require:
      - pkg: consul.agent installed

# Who needs it comes after it: it is up once it answers
consul.agent up once it answers:
  file.managed:
    - name: /etc/systemd/system/consul.service.d/pgpillar.conf
    - contents: |
        [Service]
        ExecStartPost=/bin/sh -c 'until /usr/bin/consul info > /dev/null 2>&1; do sleep 0.2; done'
    - makedirs: true
    - require:
      - pkg: consul.agent installed

consul.agent running:
  service.running:
    - name: consul
    - enable: true
    - watch:
      - file: consul.agent configured
      - file: consul.agent up once it answers
