{{- define "oms-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Other names append up to 15 characters to it. */}}
{{- define "oms-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains (include "oms-exporter.name" .) .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "oms-exporter.name" .) | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "oms-exporter.selector" -}}
app.kubernetes.io/name: {{ include "oms-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oms-exporter.labels" -}}
{{ include "oms-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "oms-exporter.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "oms-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "oms-exporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
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

{{/* The instance in metrics and alerts: pod names change at each rollout. */}}
{{- define "oms-exporter.instance" -}}
{{- default .Release.Name .Values.serviceMonitor.instance }}
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
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- if not $port }}{{ $port = ternary "443" "80" (eq $url.scheme "https") }}{{ end }}
{{- $ports = append $ports $port }}
{{- end }}
{{- $ports | uniq | sortAlpha | toJson }}
{{- end }}

{{/* Checks that a schema cannot express well. */}}
{{- define "oms-exporter.check" -}}
{{- $values := .Values }}
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
{{- include "oms-exporter.noSecrets" (dict "path" "config" "value" $values.config) }}
{{- range $values.extraEnv }}
{{- $entry := printf "%s=%s" .name (toString .value) }}
{{- if and .value (or (regexMatch "(?i)^\\w*(password|passwd|secret|token|credentials?)=" $entry) (include "oms-exporter.userInfo" $entry)) }}
{{- fail (printf "extraEnv %s: a Deployment is no place for it: put it into a Secret and take it from there, valueFrom: {secretKeyRef: {name: …, key: …}}" .name) }}
{{- end }}
{{- end }}
{{- range $values.extraArgs }}
{{- if include "oms-exporter.userInfo" (trimPrefix "--" .) }}
{{- fail (printf "extraArgs %s: a Deployment is no place for a password in a URL: give oms.username, and the password in secret.files or secret.existing" (splitList "=" . | first)) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Not empty if name=value is a URL, or names one, with user information. */}}
{{- define "oms-exporter.userInfo" -}}
{{- if regexMatch "(?is)^[\\w.-]*(proxy|url)=.*@|://.*@" . }}yes{{ end }}
{{- end }}

{{/* Fails if the configuration, which is a ConfigMap, contains a secret. Says where, never what. */}}
{{- define "oms-exporter.noSecrets" -}}
{{- $path := .path }}
{{- if kindIs "map" .value }}
{{- range $key, $value := .value }}
{{- $place := printf "%s.%s: a ConfigMap is no place for it" $path $key }}
{{- $isMap := kindIs "map" $value }}
{{- if not $value }}
{{- else if and (not $isMap) (has $key (list "password" "credentials" "client_secret" "bearer_token" "key" "client_certificate_key")) }}
{{- fail (printf "%s: put it into secret.files or the Secret of secret.existing and name its file, %s_file: /etc/oms_exporter/secret/…" $place $key) }}
{{- else if and (not $isMap) (has $key (list "secrets" "values")) }}
{{- fail (printf "%s: put it into secret.files or the Secret of secret.existing and name its file, files: [/etc/oms_exporter/secret/…]" $place) }}
{{- else if has $key (list "endpoint_params" "proxy_connect_header") }}
{{- fail (printf "%s, and there is no file for it: %s" $place (include "oms-exporter.wholeFile" .)) }}
{{- else if and (hasSuffix "url" $key) (regexMatch "[@?]" (toString $value)) }}
{{- fail (printf "%s with a user, a password or a query. For a proxy, set proxy_from_environment and give HTTPS_PROXY in extraEnv, with valueFrom; for a token server, name client_secret_file; or %s" $place (include "oms-exporter.wholeFile" .)) }}
{{- end }}
{{- include "oms-exporter.noSecrets" (dict "path" (printf "%s.%s" $path $key) "value" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "oms-exporter.wholeFile" -}}
put the whole configuration into secret.files or the Secret of secret.existing, and in place of config set extraArgs: [--config.file=/etc/oms_exporter/secret/…]
{{- end }}
