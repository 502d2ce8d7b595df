{{/* The reference of an image, "" where it has no repository. Takes role and images. */}}
{{- define "modelward.image" -}}
{{- $image := index .images .role -}}
{{- if and .images.requireDigests $image.repository (not $image.digest) -}}
{{- fail (printf "images.%s.digest is empty, and images.requireDigests is set; write sha256:<64 hex digits>, which pushing the image prints, and `docker buildx imagetools inspect` or `skopeo inspect`" .role) -}}
{{- end -}}
{{- if not $image.repository -}}
{{- else if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag }}
{{- end -}}
{{- end -}}

{{/* A setting as the text of a variable: numbers as they were written, and not as 1e+06. */}}
{{- define "modelward.setting" -}}
{{- if kindIs "string" . -}}{{ . | quote }}{{- else -}}{{ toJson . | quote }}{{- end -}}
{{- end -}}

{{/* What the schema can't say. */}}
{{- define "modelward.checked" -}}
{{- if not (or .Values.cluster.enabled .Values.operator.enabled) -}}
{{- fail "cluster.enabled and operator.enabled are both false: nothing is left to install; set one to true" -}}
{{- end -}}
{{- if and .Values.operator.enabled (not .Values.cluster.enabled) (not .Values.watchNamespaces) -}}
{{- fail "cluster.enabled is false, and watchNamespaces is empty: an operator for every namespace needs a ClusterRole; name the namespaces that it is for, or set cluster.enabled to true" -}}
{{- end -}}
{{- range $name := keys .Values.podLabels -}}
{{- if hasPrefix "app.kubernetes.io/" $name -}}
{{- fail (printf "podLabels: %s is how the operator's pods are found; leave it out, or choose another name" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := keys .Values.podAnnotations -}}
{{- if has $name (list "checksum/settings" "prometheus.io/scrape" "prometheus.io/port") -}}
{{- fail (printf "podAnnotations: %s is the chart's own; leave it out" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
