# syntax=docker/dockerfile:1

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
ARG REVISION=unknown
ARG BRANCH=unknown
ARG BUILD_DATE=unknown
RUN version=github.com/prometheus/common/version && \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w \
        -X $version.Version=$VERSION \
        -X $version.Revision=$REVISION \
        -X $version.Branch=$BRANCH \
        -X $version.BuildDate=$BUILD_DATE \
        -X $version.BuildUser=docker" \
      -o /oms_exporter ./cmd/oms_exporter

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="oms_exporter" \
      org.opencontainers.image.description="Prometheus exporter for the tasks of OceanBase Migration Service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY LICENSE /LICENSE
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /oms_exporter /bin/oms_exporter
USER 65534:65534
EXPOSE 10667
# No CMD: without arguments it serves; "docker run IMAGE demo --web.listen-address=:10667" is the demo.
ENTRYPOINT ["/bin/oms_exporter"]
