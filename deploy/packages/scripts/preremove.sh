#!/bin/sh
# dpkg passes "remove", rpm passes 0. On an upgrade, the service runs until it is restarted.
set -e

case "$1" in
  remove | 0)
    if [ -d /run/systemd/system ]; then
      systemctl disable --now oms_exporter.socket oms_exporter.service || true
    fi
    ;;
esac
