#!/bin/sh
# Answer one HTTP request for /primary or /replica: 200 where the server says that it is that, 503 otherwise.
# libpq's own variables may say which server is asked.
read -r method path version
while IFS= read -r header && [ "${#header}" -gt 1 ]; do :; done # what is not read would cut the answer off

psql=$(ls -d /usr/lib/postgresql/*/bin/psql | sort -V | tail -n 1)
export PGHOST="${PGHOST:-/var/run/postgresql}" PGDATABASE=postgres PGCONNECT_TIMEOUT=2 PGAPPNAME=pgpillar
case $(timeout 2 "$psql" -XqAtc 'select pg_catalog.pg_is_in_recovery()' 2>&1) in
  f) role=primary ;;
  t) role=replica ;;
  *) role=silent ;;
esac

status='503 Service Unavailable'
if [ "$path" = "/$role" ]; then status='200 OK'; fi
said="this server is $role"
printf 'HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %s\r\n\r\n%s\n' "$status" $((${#said} + 1)) "$said"
