# The CA of each cluster that has one of its own, from the mine, where pillar says that its ca_file is
{% for name, cluster in pillar["postgresql"]["clusters"].items() if cluster.ca_server is defined %}
{{ ("tls.trust " ~ name) | json }}:
{% set said = salt["mine.get"](cluster.ca_server, "pgpillar_ca").get(cluster.ca_server) %}
{% if said %}
  file.managed:
    - name: {{ cluster.ca_file }}
    - contents: {{ said.values() | join("\n") | json }}
    - mode: '0644'
{% else %}
  test.fail_without_changes:
    - comment: {{ cluster.ca_server ~ " has not announced its CA: apply tls.ca there, then mine.update" }}
{% endif %}
{% endfor %}
