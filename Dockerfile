# check=error=true

# SOURCE says where the program comes from. "build" compiles it here, for any platform, on that of
# the machine. "prebuilt" takes it from the build context, which is then a directory with
#   LICENSE  THIRD_PARTY_NOTICES  ca-certificates.crt  linux/amd64/oms_exporter  linux/arm64/oms_exporter
# and needs no other image: releases are made so, and images where no registry can be reached.
ARG SOURCE=build

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
ARG REVISION=unknown
ARG BRANCH=unknown
ARG BUILD_DATE=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    version=github.com/prometheus/common/version && \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w \
        -X $version.Version=$VERSION \
        -X $version.Revision=$REVISION \
        -X $version.Branch=$BRANCH \
        -X $version.BuildDate=$BUILD_DATE \
        -X $version.BuildUser=docker" \
      -o /oms_exporter ./cmd/oms_exporter && \
    go run -C .ci/tools/notices . /src >/THIRD_PARTY_NOTICES && \
    cp /etc/ssl/certs/ca-certificates.crt /

FROM scratch AS prebuilt
ARG TARGETOS
ARG TARGETARCH
COPY ca-certificates.crt THIRD_PARTY_NOTICES /
COPY $TARGETOS/$TARGETARCH/oms_exporter /

FROM $SOURCE AS files

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
ARG BUILD_DATE=unknown
LABEL org.opencontainers.image.title="oms_exporter" \
      org.opencontainers.image.description="Prometheus exporter for the tasks of OceanBase Migration Service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$BUILD_DATE"
COPY LICENSE /LICENSE
COPY --from=files /THIRD_PARTY_NOTICES /THIRD_PARTY_NOTICES
COPY --from=files /ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=files /oms_exporter /bin/oms_exporter
# A number, so that Kubernetes can tell that it is not root.
USER 65534:65534
EXPOSE 10667
# There is no shell here. With another address or TLS, set OMS_EXPORTER_HEALTH_URL.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/bin/oms_exporter", "health"]
# No CMD: without arguments it serves; "docker run IMAGE demo --web.listen-address=:10667" is the demo.
ENTRYPOINT ["/bin/oms_exporter"]
