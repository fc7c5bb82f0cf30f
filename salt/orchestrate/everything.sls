# Every minion made as pillar wants it, in the order in which they need each other:
#   salt-run state.orchestrate orchestrate.everything
{% import_yaml "roles.yaml" as minions %}
{% set done = [] %}

orchestrate.everything knows the newest pillar:
  salt.function:
    - name: saltutil.refresh_pillar
    - tgt: '*'
    - kwarg: {wait: true}

{% for role in ["ca", "db-server", "db-replica", "*"] %}
{% set now = ["*"] if role == "*" else [] %}
{% for minion, roles in minions.items() if role in roles and minion not in done %}
{% do now.append(minion) %}
{% endfor %}
{% if now %}
{{ ("orchestrate.everything " ~ role) | json }}:
  salt.state:
    - tgt: {{ (now | join(" or ") ~ done | map("regex_replace", "^", " and not ") | join) | json }}
    - tgt_type: compound
    - highstate: true
    - failhard: true
{% do done.extend(now) %}
{% endif %}
{% if role == "ca" and now %}

orchestrate.everything knows the CA:
  salt.function:
    - name: mine.update
    - tgt: {{ now | join(" or ") | json }}
    - tgt_type: compound
{% endif %}
{% endfor %}

# The next step of a change of CA goes by this
orchestrate.everything knows whom everybody trusts:
  salt.function:
    - name: mine.update
    - tgt: '*'
