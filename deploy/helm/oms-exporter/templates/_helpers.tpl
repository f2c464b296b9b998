{{- define "oms-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Other names append up to 15 characters to it. A release "oms" is not "oms-oms-exporter". */}}
{{- define "oms-exporter.fullname" -}}
{{- $name := include "oms-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else if hasPrefix (printf "%s-" .Release.Name) $name }}
{{- $name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "oms-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "oms-exporter.selector" -}}
app.kubernetes.io/name: {{ include "oms-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oms-exporter.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end }}
{{- include "oms-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
Metadata of an object of root. Optional are name or its suffix, namespace, labels and annotations.
Every object has it, so nothing is rendered from values that are not checked.
*/}}
{{- define "oms-exporter.metadata" -}}
{{- include "oms-exporter.check" .root -}}
name: {{ default (printf "%s%s" (include "oms-exporter.fullname" .root) (default "" .suffix)) .name }}
namespace: {{ default (include "oms-exporter.namespace" .root) .namespace }}
labels:
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "oms-exporter.labels" .root | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The number of pods. */}}
{{- define "oms-exporter.pods" -}}
{{- max (int .Values.shards) (int .Values.replicas) }}
{{- end }}

{{/*
Not empty if there are several pods. These must have names that last, and each is scraped by its
own name: counters of two processes would jump if they were taken for one.
*/}}
{{- define "oms-exporter.several" -}}
{{- if gt (include "oms-exporter.pods" . | int) 1 }}yes{{ end }}
{{- end }}

{{/* The port of the Service. Without a virtual address, it is that of the pods. */}}
{{- define "oms-exporter.port" -}}
{{- if include "oms-exporter.several" . }}10667{{ else }}{{ .Values.service.port }}{{ end }}
{{- end }}

{{- define "oms-exporter.host" -}}
{{ include "oms-exporter.fullname" . }}.{{ include "oms-exporter.namespace" . }}.svc
{{- end }}

{{/* GOMEMLIMIT: four fifths of the memory limit. The rest is for what Go does not count. */}}
{{- define "oms-exporter.goMemory" -}}
{{- with (.Values.resources.limits).memory }}
{{- $number := regexFind "^[0-9.]+(e[+]?[0-9]+)?" (toString .) }}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $unit := get $units (trimPrefix $number (toString .)) }}
{{- if not $unit }}{{ fail "resources.limits.memory: want a number of bytes, such as 320Mi" }}{{ end }}
{{- divf (mulf (float64 $number) $unit 0.8) 1048576 | floor | int64 }}MiB
{{- end }}
{{- end }}

{{- define "oms-exporter.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "oms-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "oms-exporter.image" -}}
{{- with default .Values.image.registry (.Values.global).imageRegistry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- define "oms-exporter.pullSecrets" -}}
{{- with concat .Values.imagePullSecrets (default list (.Values.global).imagePullSecrets) | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The name of the Secret with the files, if any. */}}
{{- define "oms-exporter.secret" -}}
{{- if .Values.secret.existing }}
{{- .Values.secret.existing }}
{{- else if .Values.secret.files }}
{{- include "oms-exporter.fullname" . }}
{{- end }}
{{- end }}

{{- define "oms-exporter.scheme" -}}
{{- if .Values.webConfig.tls_server_config }}https{{ else }}http{{ end }}
{{- end }}

{{/* Not empty if a configuration file names the OMS: that of the chart, or one that a flag names. */}}
{{- define "oms-exporter.configured" -}}
{{- if or .Values.config (regexMatch "(?m)^--config\\.file=" (join "\n" .Values.extraArgs)) }}yes{{ end }}
{{- end }}

{{/* The ports of all OMS URLs, as JSON. */}}
{{- define "oms-exporter.ports" -}}
{{- $urls := list }}
{{- with .Values.oms.url }}{{ $urls = append $urls . }}{{ end }}
{{- range .Values.config.targets }}{{ $urls = append $urls .url }}{{ end }}
{{- $ports := list }}
{{- range $urls }}
{{- $host := regexFind "^https?://[^/]+" . }}
{{- $port := regexFind ":[0-9]+$" $host | trimPrefix ":" }}
{{- if not $port }}{{ $port = ternary "443" "80" (hasPrefix "https:" $host) }}{{ end }}
{{- $ports = append $ports $port }}
{{- end }}
{{- $ports | uniq | sortAlpha | toJson }}
{{- end }}

{{/* Checks that a schema cannot express well. */}}
{{- define "oms-exporter.check" -}}
{{- $values := .Values }}
{{- $shapes := .Files.Get "files/shapes.yaml" | fromYaml }}
{{- range $key, $shape := $shapes.shapes.values }}
{{- $partial := list "serviceMonitor" "scrapeConfig" "prometheusRule" | has $key }}
{{- include "oms-exporter.shaped" (dict "at" $key "value" (index $values $key) "shape" $shape "all" $shapes "partial" $partial) }}
{{- end }}
{{- range $name, $target := $values.config.targets }}
{{- if not (dig "url" "" (default dict $target)) }}{{ fail (printf "config.targets.%s: url is missing" $name) }}{{ end }}
{{- end }}
{{- if and $values.config (not $values.config.targets) }}{{ fail "config.targets: name at least one OMS" }}{{ end }}
{{- $configured := include "oms-exporter.configured" . }}
{{- if and $values.oms.url $configured }}
{{- fail "oms.url and config: give one of them" }}
{{- end }}
{{- if not (or $values.oms.url $configured) }}
{{- fail "no OMS: give oms.url, such as https://oms.example:8089, or config with targets" }}
{{- end }}
{{- if and $values.secret.existing $values.secret.files }}
{{- fail "secret.existing and secret.files: give one of them" }}
{{- end }}
{{- if and $values.oms.username (not (include "oms-exporter.secret" .)) }}
{{- fail (printf "no password for oms.username: give secret.existing, a Secret with the key %s, or secret.files.%s" $values.oms.passwordFile $values.oms.passwordFile) }}
{{- end }}
{{- if and $values.oms.username $values.secret.files (not (hasKey $values.secret.files $values.oms.passwordFile)) }}
{{- fail (printf "no password for oms.username: secret.files has no %s" $values.oms.passwordFile) }}
{{- end }}
{{- if and $values.scrapeConfig.enabled (not $configured) }}
{{- fail "scrapeConfig is for several OMS, in config; for oms.url take serviceMonitor" }}
{{- end }}
{{- if and (gt (int $values.shards) 1) (gt (int $values.replicas) 1) }}
{{- fail "shards and replicas: give one of them. For pairs of shards, install the chart twice, and set scrapeConfig.job of one to oms-b" }}
{{- end }}
{{- if and (gt (int $values.shards) 1) (not $configured) }}
{{- fail "shards share the OMS in config; for oms.url, one is enough" }}
{{- end }}
{{- if and (include "oms-exporter.several" .) (ne $values.service.type "ClusterIP") }}
{{- fail "service.type: several pods are reached by their own names, which needs ClusterIP" }}
{{- end }}
{{- if and $values.serviceMonitor.enabled $values.podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor: enable one of them, or everything is scraped twice" }}
{{- end }}
{{- range $values.extraEnv }}
{{- include "oms-exporter.environment" . }}
{{- end }}
{{- range concat $values.initContainers $values.extraContainers }}
{{- range .env }}
{{- if and .value (or (include "oms-exporter.names a secret" (toString .name | trim)) (regexMatch "://[^/]*@" (toString .value))) }}
{{- fail (printf "env %s of a further container: a pod is no place for it: put it into a Secret and take it from there, valueFrom: {secretKeyRef: {name: …, key: …}}" (toString .name | trim)) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $i, $flag := $values.extraArgs }}
{{- $place := printf "extraArgs[%d]" $i }}
{{- if not (regexMatch "^--[a-z0-9][a-z0-9.-]*(=(?s:.*))?$" $flag) }}
{{- fail (printf "%s: want one flag, such as --log.level=warn" $place) }}
{{- end }}
{{- $name := splitList "=" $flag | first }}
{{- if or (regexMatch "://[^/]*@|@.*://" $flag) (and (contains "=" $flag) (include "oms-exporter.names a secret" $name)) (and (regexMatch "(?i)(proxy|url)$" $name) (contains "@" $flag)) }}
{{- fail (printf "%s, %s: a Deployment is no place for a password: give oms.username, and the password in secret.files or secret.existing" $place $name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Not empty if something of this name, which is not that of a file or a date, is a secret. */}}
{{- define "oms-exporter.names a secret" -}}
{{- if and (regexMatch "(?i)pass|pwd|secret|token|credential|auth|key" .) (not (regexMatch "(?i)[-_](file|changed)$" .)) }}yes{{ end }}
{{- end }}

{{/*
Fails if a variable of the exporter's environment may contain a secret. It reads only these
variables, so everything else can come by valueFrom.
*/}}
{{- define "oms-exporter.environment" -}}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_]*$" (toString .name)) }}
{{- fail "extraEnv: the name of a variable consists of letters, digits and underscores" }}
{{- end }}
{{- $value := toString .value }}
{{- $known := regexMatch "^(OMS_(URL|USERNAME|PASSWORD_FILE)|OMS_EXPORTER_[A-Z0-9_]+|(?i:https?_proxy|no_proxy)|GO(MEMLIMIT|GC|MAXPROCS|DEBUG|TRACEBACK)|SSL_CERT_(FILE|DIR)|TZ)$" .name }}
{{- if and (hasKey . "value") (or (not $known) (include "oms-exporter.names a secret" .name) (and (contains "@" $value) (ne .name "OMS_USERNAME"))) }}
{{- fail (printf "extraEnv %s: a Deployment is no place for it: put it into a Secret and take it from there, valueFrom: {secretKeyRef: {name: …, key: …}}" .name) }}
{{- end }}
{{- end }}

{{/*
Fails unless a value has the shape that it has in files/shapes.yaml. Says where, and never what: it
may be a secret. With `partial`, keys without a shape are left to the schema.
*/}}
{{- define "oms-exporter.shaped" -}}
{{- $shape := .shape }}
{{- if kindIs "string" $shape }}{{ $shape = default $shape (get .all.shapes $shape) }}{{ end }}
{{- if or (kindIs "invalid" .value) (eq "anything" (toString $shape)) }}
{{- else if kindIs "string" $shape }}
{{- $kind := get .all.kinds $shape }}
{{- $scalar := not (or (kindIs "map" .value) (kindIs "slice" .value)) }}
{{- if not (and $scalar (regexMatch (printf "^(%s)$" $kind.match) (toString .value)) (not (and $kind.never (contains $kind.never (toString .value))))) }}
{{- fail (printf "%s: want %s" .at $kind.want) }}
{{- end }}
{{- else if kindIs "slice" $shape }}
{{- if not (kindIs "slice" .value) }}{{ fail (printf "%s: want a list" .at) }}{{ else }}
{{- range $i, $element := .value }}
{{- include "oms-exporter.shaped" (dict "at" (printf "%s[%d]" $.at $i) "value" $element "shape" (first $shape) "all" $.all) }}
{{- end }}
{{- end }}
{{- else }}
{{- $free := "" }}
{{- range $key, $_ := $shape }}{{ if hasPrefix "~" $key }}{{ $free = $key }}{{ end }}{{ end }}
{{- if not (kindIs "map" .value) }}{{ fail (printf "%s: want a mapping%s" .at (ternary "" (printf " with the keys %s" (keys $shape | sortAlpha | join ", ")) (ne $free ""))) }}{{ else }}
{{- range $key, $value := .value }}
{{- $at := printf "%s.%s" $.at $key | trimPrefix "." }}
{{- if hasKey $shape $key }}
{{- include "oms-exporter.shaped" (dict "at" $at "value" $value "shape" (get $shape $key) "all" $.all) }}
{{- else if $free }}
{{- $kind := get $.all.kinds (trimPrefix "~" $free) }}
{{- if not (regexMatch (printf "^(%s)$" $kind.match) $key) }}{{ fail (printf "%s: a key is not %s. Is a space missing after a colon?" $.at $kind.want) }}{{ end }}
{{- include "oms-exporter.shaped" (dict "at" $at "value" $value "shape" (get $shape $free) "all" $.all) }}
{{- else if $.partial }}
{{- else if hasKey $.all.secrets (lower $key) }}
{{- if $value }}{{ fail (printf "%s: a ConfigMap is no place for it: %s" $at (get $.all.secrets (lower $key) | replace "%s" (lower $key))) }}{{ end }}
{{- else }}
{{- fail (printf "%s: an unknown key. Known are %s. Is a space missing after a colon?" $.at (keys $shape | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What ServiceMonitor and PodMonitor have in common: limits, and one endpoint by that name. */}}
{{- define "oms-exporter.monitor" -}}
{{- $root := .root }}
{{- with .root.Values.serviceMonitor -}}
selector:
  matchLabels:
    {{- include "oms-exporter.selector" $root | nindent 4 }}
{{- if .namespace }}
namespaceSelector:
  matchNames: [{{ include "oms-exporter.namespace" $root }}]
{{- end }}
sampleLimit: {{ .sampleLimit | int64 }}
labelValueLengthLimit: 1024
bodySizeLimit: {{ .bodySizeLimit }}
{{ $.endpoints }}:
  - port: http
    scheme: {{ include "oms-exporter.scheme" $root }}
    interval: {{ .interval }}
    scrapeTimeout: {{ .scrapeTimeout }}
    {{- if .honorLabels }}
    honorLabels: true
    {{- end }}
    {{- with .tlsConfig }}
    tlsConfig:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .basicAuth }}
    basicAuth:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    relabelings:
      # The rules find exporters by their job, whose name must begin with oms. Pods of one OMS have
      # the same instance, so that together they make one page, and different jobs.
      - targetLabel: job
      {{- if include "oms-exporter.configured" $root }}
        replacement: oms_exporter
      {{- else if include "oms-exporter.several" $root }}
        sourceLabels: [__meta_kubernetes_pod_name]
        regex: .*-([0-9]+)
        replacement: oms-$1
      {{- else }}
        replacement: oms
      {{- end }}
      - targetLabel: instance
      {{- if and (include "oms-exporter.configured" $root) (include "oms-exporter.several" $root) }}
        sourceLabels: [__meta_kubernetes_pod_name]
      {{- else }}
        # Not the pod's name, which changes at each rollout.
        replacement: {{ default $root.Release.Name .instance }}
      {{- end }}
      {{- with .relabelings }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .metricRelabelings }}
    metricRelabelings:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end }}
