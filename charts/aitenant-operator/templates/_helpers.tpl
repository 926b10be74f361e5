{{/* Labels of every object. Those of manifests/base and of the user, and Helm's own. */}}
{{- define "aitenant.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "aitenant-operator"
  "app.kubernetes.io/part-of" "ai-platform"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
}}
{{- mergeOverwrite (dict) .Values.labels $own | toYaml }}
{{- end }}

{{/* Annotations of every object, if any, as a block below `metadata`. */}}
{{- define "aitenant.annotations" -}}
{{- with .Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The objects of one of the files that scripts/chart.ts copies from manifests/, in the namespace of the release.
`root`: the root context; `file`: its name below files/; `labels`: more labels; `annotations`: more annotations; `interval`: of its
endpoints.
*/}}
{{- define "aitenant.objects" -}}
{{- $root := .root }}
{{- $arguments := . }}
{{- $namespace := printf "namespace: %q" $root.Release.Namespace }}
{{- $text := $root.Files.Get .file | required (printf "%s is missing in the chart" .file) | replace "namespace: aitenant-system" $namespace }}
{{- range splitList "\n---\n" $text }}
{{- $object := fromYaml . }}
{{- $labels := mergeOverwrite (dict) ($arguments.labels | default dict) (include "aitenant.labels" $root | fromYaml) ($object.metadata.labels | default dict) }}
{{- $_ := set $object.metadata "labels" $labels }}
{{- $annotations := mergeOverwrite (dict) $root.Values.annotations ($arguments.annotations | default dict) }}
{{- if $annotations }}{{ $_ := set $object.metadata "annotations" $annotations }}{{ end }}
{{- if $arguments.namespaced }}{{ $_ := set $object.metadata "namespace" $root.Release.Namespace }}{{ end }}
{{- if $arguments.interval }}
{{- range $object.spec.endpoints }}{{ $_ := set . "interval" $arguments.interval }}{{ end }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}

{{/* The image with tag and digest, as a quoted string. */}}
{{- define "aitenant.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion }}
{{- $digest := "" }}
{{- with .Values.image.digest }}{{ $digest = printf "@%s" . }}{{ end }}
{{- printf "%s:%s%s" .Values.image.repository $tag $digest | quote }}
{{- end }}

{{/* The port of the proxy: that of its URL, or the one of its scheme. */}}
{{- define "aitenant.proxyPort" -}}
{{- $url := urlParse .Values.proxy.url }}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
