#!/bin/sh
# dpkg says "remove" and "purge"; rpm 0, and keeps changed configuration and the user.
set -e

case "$1" in
  remove | 0)
    if [ -d /run/systemd/system ]; then
      systemctl daemon-reload
    fi
    ;;
  purge)
    # With the passwords, which no package has put there.
    rm -rf /etc/oms_exporter
    if getent passwd oms_exporter >/dev/null; then
      userdel oms_exporter
    fi
    ;;
esac
