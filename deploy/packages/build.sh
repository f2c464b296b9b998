#!/usr/bin/env bash
# Builds the deb and rpm packages into dist/packages, or into OUT/packages if OUT is set.
#   build.sh VERSION [ARCHITECTURE...]       such as: build.sh 1.2.3 amd64 arm64
# Needs Go. Builds nfpm too, unless NFPM is the path of one. The same tree and SOURCE_DATE_EPOCH,
# which defaults to the time of the last commit, give the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export VERSION=$1 ARCH
shift
(($#)) || set -- "$(go env GOARCH)"
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git -c safe.directory="$PWD" log -1 --format=%ct)}"
revision=$(git -c safe.directory="$PWD" rev-parse HEAD 2>/dev/null || echo unknown)
branch=$(git -c safe.directory="$PWD" rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
readonly package=github.com/prometheus/common/version

build() { # build GOARCH OUTPUT
  CGO_ENABLED=0 GOOS=linux GOARCH=$1 go build -trimpath -buildvcs=false -ldflags "-s -w \
    -X $package.Version=$VERSION -X $package.Revision=$revision -X $package.Branch=$branch \
    -X $package.BuildDate=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d-%H:%M:%S)" \
    -o "$2" ./cmd/oms_exporter
}

if [[ -z ${NFPM:-} ]]; then
  NFPM=$PWD/dist/nfpm
  go build -C .ci/tools/nfpm -trimpath -o "$NFPM" tool
fi

GOOS='' GOARCH='' build "$(go env GOHOSTARCH)" dist/share/oms_exporter
deploy/packages/share.sh dist/share/oms_exporter "$VERSION" dist/share

mkdir -p "${OUT:=dist}/packages"
umask 022
for ARCH in "$@"; do
  build "$ARCH" "dist/linux/$ARCH/oms_exporter"
  for format in deb rpm; do
    "$NFPM" package --config deploy/packages/nfpm.yaml --packager "$format" --target "$OUT/packages/"
  done
done
