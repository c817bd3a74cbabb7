{{- define "kline-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kline-gateway.fullname" -}}
{{- $name := include "kline-gateway.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What pods are selected by. Called with a list: the root and the component. */}}
{{- define "kline-gateway.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "kline-gateway.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "kline-gateway.labels" -}}
{{- $root := index . 0 -}}
{{ include "kline-gateway.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "kline-gateway.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}{{ else }}{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}{{ end }}
{{- end }}
{{- end }}

{{- define "kline-gateway.operationsPort" -}}
{{- regexFind "[0-9]+$" (dig "operations" "address" "" .Values.config) }}
{{- end }}

{{- define "kline-gateway.secretName" -}}
{{- default (include "kline-gateway.fullname" .) .Values.secret.name }}
{{- end }}

{{/* Settings in force: what is given, and where the archive lies. */}}
{{- define "kline-gateway.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if .Values.archive.enabled }}
{{- $config = mergeOverwrite $config (dict "archive" (dict "path" "/var/lib/kline-gateway/klines.db")) }}
{{- end }}
{{- include "kline-gateway.toml" (dict "path" "" "table" $config) | trim }}
{{- end }}

{{/* A table of TOML: its values first, then the tables inside of it. Texts, numbers and lists of JSON are TOML too. */}}
{{- define "kline-gateway.toml" -}}
{{- $path := .path }}
{{- range $key, $value := .table }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "kline-gateway.tomlKey" $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $inner := printf "%s%s" $path (include "kline-gateway.tomlKey" $key) }}
[{{ $inner }}]
{{- include "kline-gateway.toml" (dict "path" (printf "%s." $inner) "table" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kline-gateway.tomlKey" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* Variables with secrets, which may be missing: each component gets what it reads. Called with a list: the root, the
component, its values. */}}
{{- define "kline-gateway.env" -}}
{{- $root := index . 0 -}}
{{- $unread := ternary "^GATEWAY_COLLECT__" "^GATEWAY_(ACCESS|ARCHIVE|OPERATIONS|TOKENS)__" (eq (index . 1) "gateway") -}}
{{- if $root.Values.archive.enabled }}{{ $unread = printf "%s|^GATEWAY_ARCHIVE__URL$" $unread }}{{ end -}}
{{- range $name, $key := $root.Values.secret.env }}
{{- if and $key (not (regexMatch $unread $name)) }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ include "kline-gateway.secretName" $root }}, key: {{ $key }}, optional: true}
{{- end }}
{{- end }}
{{- with (index . 2).env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the pods of both components have in common. Called with a list: the root, the component, its values. */}}
{{- define "kline-gateway.pod" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
automountServiceAccountToken: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  {{- if and $root.Values.archive.enabled (eq (index . 1) "gateway") }}
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "kline-gateway.selector" . | nindent 8 }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Annotations of a pod. Called with a list: the root, the port that is scraped, the values of the component. */}}
{{- define "kline-gateway.podAnnotations" -}}
{{- $root := index . 0 -}}
# A change of the settings starts new pods.
checksum/config: {{ include "kline-gateway.config" $root | sha256sum }}
{{- if and $root.Values.metrics.annotations (index . 1) }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ index . 1 | quote }}
{{- end }}
{{- with (index . 2).podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "kline-gateway.containerSecurity" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end }}
