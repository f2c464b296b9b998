#!/bin/sh
# dpkg says "remove", rpm 0. An upgrade goes on running until it is restarted.
set -e

case "$1" in
  remove | 0)
    if [ -d /run/systemd/system ]; then
      systemctl disable --now oms_exporter.socket oms_exporter.service || true
    fi
    ;;
esac
