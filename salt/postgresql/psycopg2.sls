# psycopg2 in Salt's own Python, where the modules can import it
{% if not salt["pg_access.has_driver"]() %}
postgresql.psycopg2 installed:
  pip.installed:
    - name: psycopg2-binary == 2.9.13
    - reload_modules: true
    - order: first
{% endif %}
