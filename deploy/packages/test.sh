#!/usr/bin/env bash
# Installs a deb package, uses it as a user would, upgrades, removes and purges it.
#   test.sh PACKAGE
# Needs root and changes the machine, so it is for disposable ones, such as those of CI. Without
# systemd, it runs the command of the unit as the unit's user, without capabilities and on a
# read-only file system.
set -euo pipefail
package=$(readlink -f "$1")
repository=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
readonly address=127.0.0.1:10667 oms=127.0.0.1:28089
scratch=$(mktemp -d)
pids=()
finish() {
  ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
  dpkg --purge oms-exporter >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
try() { for _ in {1..100}; do ! "$@" || return 0; sleep 0.1; done; fail "$*"; }
systemd() { [[ -d /run/systemd/system ]]; }
traces() {
  find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /home -o -path /root \
    -o -path "$repository" -o -path /var/lib/containers -o -path /var/log \) -prune \
    -o -iname '*oms[_-]exporter*' -print
  grep -l oms_exporter /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/subuid /etc/subgid || true
}
! dpkg-query --status oms-exporter >/dev/null 2>&1 || fail 'the package is installed already'
before=$(traces)

echo '== install'
dpkg --install "$package"
id oms_exporter
[[ $(stat -c '%a %U %G' /etc/oms_exporter/credentials) == '700 root root' ]] || fail credentials
[[ $(stat -c '%a %U %G' /etc/oms_exporter/oms_exporter.yml) == '640 root oms_exporter' ]] || fail config
(cd / && dpkg --verify oms-exporter)
oms_exporter --version | head -n 1
[[ ! -e /usr/bin/man ]] || man --where oms_exporter
bash -c '. /usr/share/bash-completion/completions/oms_exporter && complete -p oms_exporter'
oms_exporter --completion-bash check --oms.u | grep -qx -- --oms.url || fail completion

echo '== settings, as the package says'
printf 'the password' >"$scratch/password"
oms_exporter simulate --web.listen-address="$oms" --sim.username=viewer \
  --sim.password-file="$scratch/password" 2>"$scratch/simulate.log" &
pids+=($!)
sed -i "s|^#OMS_URL=.*|OMS_URL=http://$oms|; s|^#OMS_USERNAME=.*|OMS_USERNAME=viewer|" /etc/default/oms_exporter
install -m 600 "$scratch/password" /etc/oms_exporter/credentials/password

echo '== check, before the first start'
oms_exporter=/usr/libexec/oms-exporter
"$oms_exporter/check" | tee "$scratch/check.log"
grep -q ' account viewer$' "$scratch/check.log" || fail 'check does not use the settings'
[[ ! -e /run/credentials/oms_exporter.service/oms_password ]] || fail 'check leaves the password'

echo '== rules with the address of our runbooks'
"$oms_exporter/rules" "$scratch/shipped" && diff -r /usr/share/oms-exporter/prometheus/rules "$scratch/shipped"
sed -i 's|^#OMS_RUNBOOKS=|OMS_RUNBOOKS=|' /etc/default/oms_exporter
"$oms_exporter/rules" "$scratch/rules" "$scratch/boards"
! grep -h 'runbook_url:' "$scratch"/rules/* | grep -v ' https://wiki.example/oms/runbooks/OMS[A-Za-z]*\.md$' || fail 'links of alerts'
grep -q 'https://wiki.example/oms/runbooks/' "$scratch"/boards/*.json || fail 'links of dashboards'
[[ -e /usr/share/doc/oms-exporter/runbooks/OMSDown.md ]] || fail 'runbooks'

# As in the unit, as far as possible without systemd.
start() { # start [COMMAND...]: what comes before the program
  local unit=/usr/lib/systemd/system/oms_exporter.service credentials=$scratch/credentials file line
  mkdir -p "$credentials"
  for file in /etc/oms_exporter/credentials/*; do
    cp "$file" "$credentials/oms_${file##*/}"
  done
  chown -R oms_exporter "$credentials"
  chmod 755 "$scratch"
  line=$(sed -n 's/^ExecStart=//p' "$unit")
  (
    set -a # what follows is the environment of the program
    # shellcheck disable=SC2034
    OMS_PASSWORD_FILE=$(sed -n "s|^Environment=OMS_PASSWORD_FILE=%d|$credentials|p" "$unit")
    # shellcheck disable=SC1091
    . /etc/default/oms_exporter
    # shellcheck disable=SC2016,SC2086 # the inner shell's; flags are split, as systemd does
    exec unshare --mount bash -c 'mount -o remount,bind,ro / && exec "$@"' - \
      setpriv --reuid="$(sed -n 's/^User=//p' "$unit")" --regid="$(sed -n 's/^Group=//p' "$unit")" \
      --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@" ${line//\$OMS_EXPORTER_OPTS/${OMS_EXPORTER_OPTS:-}}
  ) >"$scratch/exporter.log" 2>&1 &
  exporter=$!
  pids+=("$exporter")
}
scrape() { curl -fsS "http://$address$1" 2>/dev/null; }
up() { scrape /metrics | grep -qx 'oms_up 1'; }
stop() {
  kill "$exporter"
  wait "$exporter" || fail "exit status $?"
}

echo '== start, scrape'
if systemd; then
  systemctl enable --now oms_exporter
  systemctl show --property=User,MainPID oms_exporter
else
  start
fi
try up
scrape /metrics | grep -c '^oms_task_status'
if ! systemd; then
  grep -E '^(Uid|CapBnd|NoNewPrivs):' "/proc/$exporter/status"
  stop
fi

echo '== several OMS, and a reload'
sed -i 's|^#OMS_EXPORTER_OPTS|OMS_EXPORTER_OPTS|; /^OMS_EXPORTER_OPTS=""$/d; s|^OMS_URL|#&|' /etc/default/oms_exporter
install -m 600 "$scratch/password" /etc/oms_exporter/credentials/hangzhou
sed -i -e '/^# targets:/,$s/^# //' -e "s|https://oms.hangzhou.*|http://$oms|" /etc/oms_exporter/oms_exporter.yml
"$oms_exporter/check" >"$scratch/check.log" || fail "$(cat "$scratch/check.log")"
grep -q '^hangzhou .*usable' "$scratch/check.log" || fail 'check does not read the configuration'
if ! systemd; then
  rm -r "$scratch/credentials"
  sed -i "s|/run/credentials/oms_exporter.service|$scratch/credentials|" /etc/oms_exporter/oms_exporter.yml
fi
if systemd; then systemctl restart oms_exporter; else start; fi
probe() { scrape "/probe?target=$1" | grep -qx 'oms_up 1'; }
try probe hangzhou
sed -i 's/^  hangzhou:/  beijing:/' /etc/oms_exporter/oms_exporter.yml
if systemd; then systemctl reload oms_exporter; else kill -HUP "$exporter"; fi
try probe beijing
if systemd; then
  echo '== mistakes are seen by systemctl'
  sed -i 's/^targets:/target:/' /etc/oms_exporter/oms_exporter.yml
  ! systemctl reload oms_exporter || fail 'a reload with a mistake succeeds'
  probe beijing || fail 'a reload with a mistake does harm'
  ! systemctl restart oms_exporter || fail 'a start with a mistake succeeds'
  sed -i 's/^target:/targets:/' /etc/oms_exporter/oms_exporter.yml
  oms_exporter simulate --web.listen-address="$address" 2>/dev/null &
  intruder=$!
  sleep 1
  ! systemctl restart oms_exporter || fail 'a start without a port succeeds'
  kill "$intruder"
  wait "$intruder" || true
  systemctl reset-failed oms_exporter
  systemctl restart oms_exporter
  try probe beijing
fi
if ! systemd; then stop; fi

echo '== the port from systemd'
sed -i 's|^OMS_EXPORTER_OPTS="|&--web.systemd-socket |' /etc/default/oms_exporter
if systemd; then
  systemctl stop oms_exporter
  systemctl enable --now oms_exporter.socket
else
  start systemd-socket-activate --listen="$address"
fi
try probe beijing
if systemd; then systemctl is-active oms_exporter; else stop; fi

echo '== upgrade: changed configuration stays'
dpkg --install "$package" >/dev/null
grep -q '^  beijing:' /etc/oms_exporter/oms_exporter.yml || fail 'the configuration is overwritten'
if systemd; then try probe beijing; fi

echo '== remove: configuration stays'
dpkg --remove oms-exporter
[[ ! -e /usr/bin/oms_exporter ]] || fail 'the program is still there'
[[ -e /etc/default/oms_exporter && -e /etc/oms_exporter/credentials/password ]] || fail 'configuration is gone'
! curl -fsS "http://$address/" 2>/dev/null || fail 'the service still runs'

echo '== purge: nothing stays'
dpkg --purge oms-exporter
after=$(traces)
diff <(echo "$before") <(echo "$after") || fail 'traces are left'
! getent passwd oms_exporter || fail 'the user is left'
! getent group oms_exporter || fail 'the group is left'
echo OK
