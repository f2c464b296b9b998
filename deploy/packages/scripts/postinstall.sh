#!/bin/sh
# dpkg passes "configure" and the previous version; rpm passes the number of installed versions.
set -e

upgrade=
case "$1" in
  configure) [ -z "$2" ] || upgrade=yes ;;
  1) ;;
  [2-9]) upgrade=yes ;;
  *) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  [ -z "$upgrade" ] || systemctl try-restart oms_exporter.service
fi

# It cannot start before an OMS is configured, so it is not started.
if [ -z "$upgrade" ]; then
  cat <<'TEXT'
oms_exporter: name your OMS in /etc/default/oms_exporter and put the password into
/etc/oms_exporter/credentials/password. Then try it with /usr/libexec/oms-exporter/check,
and start it with: systemctl enable --now oms_exporter
TEXT
fi
