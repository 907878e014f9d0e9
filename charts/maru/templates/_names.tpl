{{- define "maru.labels" -}}
app.kubernetes.io/name: maru
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "maru.selector" -}}
app.kubernetes.io/name: maru
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Who a policy does not bind: the platform and the operator, which may write agencies, and Kubernetes' own controllers and nodes. */ -}}
{{- define "maru.bindsAgencies" -}}
- name: not-the-platform
  expression: "!authorizer.group('maru.dev').resource('agencies').check('patch').allowed()"
- name: not-kubernetes-itself
  expression: >-
    !(request.userInfo.username.startsWith('system:kube-') || request.userInfo.username == 'system:apiserver' ||
    request.userInfo.?groups.orValue([]).exists(group, group in ['system:serviceaccounts:kube-system', 'system:nodes']))
{{- end -}}

{{- /* Every namespace of an agency. */ -}}
{{- define "maru.inAgencies" -}}
namespaceSelector:
  matchExpressions:
    - { key: maru.dev/agency, operator: Exists }
{{- end -}}
