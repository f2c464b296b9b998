#!/usr/bin/env bash
# Installs an rpm package in a root of its own, upgrades and removes it.
#   test-rpm.sh PACKAGE [ROOT]
# Needs root, rpm and, unless ROOT is a directory with a Linux that has useradd, debootstrap and the
# internet. Without --nodeps, rpm would look for packages of that Linux in its own database.
set -euo pipefail
package=$(readlink -f "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=${2:-$scratch/root}
[[ -d $root ]] || debootstrap --variant=minbase bookworm "$root" >"$scratch/debootstrap.log"
fail() { echo "FAILED: $*" >&2; exit 1; }
rpm() { command rpm --root "$root" --nodeps "$@"; }
inside() { chroot "$root" "$@"; }
traces() { (cd "$root" && find . -xdev -path ./proc -prune -o -iname '*oms[_-]exporter*' -print | sort); }
before=$(traces)

echo '== install'
rpm --install "$package"
rpm --verify --nouser --nogroup oms-exporter
inside oms_exporter --version | head -n 1
inside id oms_exporter
[[ $(inside stat -c '%a %U %G' /etc/oms_exporter/credentials) == '700 root root' ]] || fail credentials
[[ $(inside stat -c '%a %U %G' /etc/oms_exporter/oms_exporter.yml) == '640 root oms_exporter' ]] || fail config

echo '== upgrade: changed configuration stays'
echo '# changed' >>"$root/etc/default/oms_exporter"
rpm --upgrade --replacepkgs --force "$package"
grep -q '^# changed' "$root/etc/default/oms_exporter" || fail 'the configuration is overwritten'
inside id oms_exporter >/dev/null || fail 'the upgrade removed the user'

echo '== remove: what was changed stays, and the user'
rpm --erase oms-exporter
[[ ! -e $root/usr/bin/oms_exporter ]] || fail 'the program is still there'
grep -q '^# changed' "$root"/etc/default/oms_exporter.rpmsave || fail 'changed configuration is gone'
left=$(diff <(echo "$before") <(traces) | sed -n 's/^> //p' || true)
echo "left: $left"
[[ $left == ./etc/default/oms_exporter.rpmsave ]] || fail 'traces are left'
rm "$root/etc/default/oms_exporter.rpmsave"
echo OK
