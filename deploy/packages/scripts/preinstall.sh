#!/bin/sh
# Before the files are unpacked, because one of them belongs to this group.
set -e

if ! getent passwd oms_exporter >/dev/null; then
  useradd --system --user-group --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin --comment 'Prometheus exporter for OMS' oms_exporter
fi
