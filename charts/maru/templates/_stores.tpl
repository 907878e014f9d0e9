{{- /* Where usage and money are kept: `true` or nothing. */ -}}
{{- define "maru.billing" -}}
{{- if and .Values.metering.enabled .Values.billing.enabled }}true{{ end -}}
{{- end -}}

{{- define "maru.events" -}}
{{- if and .Values.metering.enabled .Values.events.enabled }}true{{ end -}}
{{- end -}}

{{- /* The Prometheus that says what was used, and the secret with the token that it is asked with. */ -}}
{{- define "maru.prometheus" -}}
{{- if .Values.metering.enabled }}{{ .Values.metering.prometheus.url }}{{ end -}}
{{- end -}}

{{- define "maru.prometheusToken" -}}
{{- if include "maru.prometheus" . }}{{ .Values.metering.prometheus.tokenSecret }}{{ end -}}
{{- end -}}

{{- /* Where backups are kept; without a key there are none. */ -}}
{{- define "maru.backups" -}}
{{- with .Values.backups.place -}}
{{- if not $.Values.backups.keySecret -}}
{{- fail "backups.place needs backups.keySecret: a secret with the key that `kubectl maru dataset key` prints" -}}
{{- end -}}
{{ . }}
{{- end -}}
{{- end -}}

{{- /* Whether something is on the volume. */ -}}
{{- define "maru.volume" -}}
{{- if or (and .Values.metering.enabled (not .Values.metering.lake)) (and (include "maru.billing" .) (not .Values.billing.ledgerSecret)) }}true{{ end -}}
{{- end -}}

{{- /* As asked for; else as many as the stores allow. */ -}}
{{- define "maru.replicas" -}}
{{- $volume := include "maru.volume" . -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- ternary 1 2 (eq $volume "true") -}}
{{- else -}}
{{- if and $volume (gt (int .Values.replicas) 1) -}}
{{- fail (printf "replicas is %v, and one operator at a time can use the volume: name stores that several can reach (metering.lake, billing.ledgerSecret), or leave replicas empty" .Values.replicas) -}}
{{- end -}}
{{- .Values.replicas -}}
{{- end -}}
{{- end -}}
