#!/usr/bin/env bash
# Makes what packages and archives have beside the program: the manual page, completions, the
# changelog, the licenses of what is linked into it, and the certificates of the image. Needs Go.
#   share.sh BINARY VERSION DIRECTORY
# With SOURCE_DATE_EPOCH the same input gives the same bytes.
set -euo pipefail
binary=$1 version=$2 out=$3
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%d)
mkdir -p "$out"

# The page of kingpin has all lines of --version in its heading, and no line for apropos.
manual() {
  printf '.TH OMS_EXPORTER 1 "%s" "oms_exporter %s" "User Commands"\n' "$date" "$version"
  printf '.SH NAME\noms_exporter \\- Prometheus exporter for OceanBase Migration Service\n'
  "$binary" --help-man | sed -e '1,/^\.SH "SYNOPSIS"/{/^\.SH "SYNOPSIS"/!d}' -e "s/^\([.']\)\([a-z]\)/\\\\\&\1\2/"
  cat <<'PAGE'
.SH ENVIRONMENT
.TP
.B OMS_URL, OMS_USERNAME, OMS_PASSWORD_FILE
stand for the flags of these names.
.TP
.B OMS_PASSWORD
The account's password. A file is safer.
.SH FILES
.TP
.I /etc/default/oms_exporter
Environment and flags of the service.
.TP
.I /etc/oms_exporter/oms_exporter.yml
Configuration of several OMS, if the flags name it.
.TP
.I /etc/oms_exporter/credentials/
Passwords; each file is a credential of the service.
.TP
.I /usr/share/oms\-exporter/
The configuration file with every key, rules and dashboards.
.SH EXIT STATUS
2 for a mistake in flags, environment or configuration, 1 for any other failure.
PAGE
}

manual | gzip -9n >"$out/oms_exporter.1.gz"
"$binary" --completion-script-bash >"$out/oms_exporter.bash"
"$binary" --completion-script-zsh >"$out/_oms_exporter"
gzip -9nc "$root/CHANGELOG.md" >"$out/CHANGELOG.md.gz"
gzip -9nc >"$out/changelog.gz" <<CHANGELOG
oms-exporter ($version) stable; urgency=medium

  * What is new is in CHANGELOG.md.gz.

 -- The oms_exporter authors <oms-exporter@example.com>  $(LC_ALL=C date -u -d "$date" -R)
CHANGELOG
go run -C "$root/.ci/tools/notices" . "$root" >"$out/THIRD_PARTY_NOTICES"
cp /etc/ssl/certs/ca-certificates.crt "$out/"
