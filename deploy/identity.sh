#!/usr/bin/env bash
# Changes where the project is at home, in every file of the repository that names it, such as:
#   identity.sh home=https://git.example/oms_exporter image=registry.example/oms_exporter \
#     runbooks=https://wiki.example/oms/runbooks/
# The keys, with their present values, are in deploy/identity. Commit what it changes. Needs git.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly identity=deploy/identity
value() { sed -n "s|^$1=||p" "$identity"; }
substitutions=() # longest first: some are parts of others
add() { # add OLD NEW
  [[ $1 == "$2" ]] || substitutions+=("$(printf '%05d\ts|%s|%s|g' "${#1}" "${1//./\\.}" "$2")")
}
for argument in "$@"; do
  key=${argument%%=*} new=${argument#*=}
  old=$(value "$key")
  [[ -n $old && $new =~ ^[A-Za-z0-9.:/@_-]+$ ]] || { echo "identity.sh: not a KEY=VALUE of $identity: $argument" >&2; exit 2; }
  add "$old" "$new"
  [[ $key != charts ]] || add "${old#oci://}" "${new#oci://}"
  [[ $key != image ]] || {
    add "registry: ${old%%/*}" "registry: ${new%%/*}" # in the values of the chart
    add "repository: ${old#*/}" "repository: ${new#*/}"
  }
done
((${#substitutions[@]})) || exit 0
script=$(printf '%s\n' "${substitutions[@]}" | sort -r | cut -f2)
git -c safe.directory="$PWD" ls-files -z -- ':!deploy/packages/identity_test.go' |
  xargs -0 grep -lIZ -e '' -- | xargs -0 sed -i "$script"
