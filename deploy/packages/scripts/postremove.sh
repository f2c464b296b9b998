#!/bin/sh
# dpkg passes "remove" or "purge"; rpm passes 0, and keeps changed configuration and the user.
set -e

case "$1" in
  remove | 0)
    if [ -d /run/systemd/system ]; then
      systemctl daemon-reload
    fi
    ;;
  purge)
    # Including the passwords, which are not part of the package.
    rm -rf /etc/oms_exporter
    if getent passwd oms_exporter >/dev/null; then
      userdel oms_exporter
    fi
    ;;
esac
