{{/* The name of everything in a release. */}}
{{- define "model-server.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a selector asks for: never changed by an upgrade. */}}
{{- define "model-server.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "model-server.labels" -}}
{{ include "model-server.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* The cluster's version, such as v1.20.4. */}}
{{- define "model-server.kubeVersion" -}}
{{- default .Capabilities.KubeVersion.Version .Values.kubeVersionOverride -}}
{{- end -}}

{{/* A value as text. A whole number in a values file is a float to Helm, which would print 20240101 as 2.0240101e+07. */}}
{{- define "model-server.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "model-server.image" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (include "model-server.text" (default .default $image.tag)) -}}
{{- end -}}
{{- end -}}

{{- define "model-server.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "model-server.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "model-server.tokenSecret" -}}
{{- default (printf "%s-tokens" (include "model-server.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "model-server.scheme" -}}
{{- ternary "https" "http" (ne .Values.tls.existingSecret "") -}}
{{- end -}}

{{/* "true" where every replica has a disk of its own, which a StatefulSet gives. */}}
{{- define "model-server.ownDisks" -}}
{{- if and (eq .Values.storage.accessMode "ReadWriteOnce") (not .Values.storage.existingClaim) -}}true{{- end -}}
{{- end -}}

{{- define "model-server.claim" -}}
{{- default (printf "%s-models" (include "model-server.fullname" .)) .Values.storage.existingClaim -}}
{{- end -}}

{{- define "model-server.withLoader" -}}
{{- if and .Values.models.loader.enabled (not .Values.models.image.repository) (not .Values.storage.existingClaim) -}}true{{- end -}}
{{- end -}}

{{/* Where the models lie in the container: below the disk's root where an init container replaces them as a whole. */}}
{{- define "model-server.repository" -}}
{{- if .Values.models.image.repository -}}/repository/models{{- else -}}/repository{{- end -}}
{{- end -}}

{{- define "model-server.claimSpec" -}}
accessModes: [{{ .Values.storage.accessMode }}]
{{- if eq .Values.storage.storageClassName "-" }}
storageClassName: ""
{{- else if .Values.storage.storageClassName }}
storageClassName: {{ .Values.storage.storageClassName | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.storage.size | quote }}
{{- end -}}

{{/* Requests as given; limits as given, and memory limited to its request where nothing else is said. */}}
{{- define "model-server.resources" -}}
requests:
  {{- range $name, $quantity := .Values.resources.requests }}
  {{ $name }}: {{ include "model-server.text" $quantity | quote }}
  {{- end }}
limits:
  {{- range $name, $quantity := merge (dict) .Values.resources.limits (dict "memory" .Values.resources.requests.memory) }}
  {{ $name }}: {{ include "model-server.text" $quantity | quote }}
  {{- end }}
{{- end -}}

{{- define "model-server.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "model-server.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.security.runAsUser }}
runAsUser: {{ . | int64 }}
{{- end }}
{{- with .Values.security.runAsGroup }}
runAsGroup: {{ . | int64 }}
{{- end }}
{{- with .Values.security.fsGroup }}
fsGroup: {{ . | int64 }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Combinations that would install and then not work, refused with what to do instead. */}}
{{- define "model-server.check" -}}
{{- $many := or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled -}}
{{- if and .Values.storage.existingClaim (eq .Values.storage.accessMode "ReadWriteOnce") $many -}}
{{- fail "Several pods cannot share a ReadWriteOnce claim: leave storage.existingClaim empty, so that each gets a disk of its own, or set storage.accessMode to what the claim allows (ReadWriteMany, ReadOnlyMany)." -}}
{{- end -}}
{{- if and (eq .Values.storage.accessMode "ReadOnlyMany") (not .Values.storage.existingClaim) -}}
{{- fail "A new volume that can only be read stays empty: name one that has the models in storage.existingClaim, or use ReadWriteMany." -}}
{{- end -}}
{{- if and .Values.models.image.repository (not (include "model-server.ownDisks" .)) -}}
{{- fail "models.image copies the models to each pod's own disk: use storage.accessMode ReadWriteOnce without storage.existingClaim, or fill the shared volume yourself." -}}
{{- end -}}
{{- if and .Values.models.image.repository (not .Values.models.image.tag) (not .Values.models.image.digest) -}}
{{- fail "models.image needs a tag or a digest: pods would otherwise serve different models under one name." -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (include "model-server.ownDisks" .) (not .Values.models.image.repository) -}}
{{- fail "A pod that autoscaling adds would have an empty disk: set models.image, or share one volume (storage.accessMode ReadWriteMany)." -}}
{{- end -}}
{{- if and .Values.auth.anonymous .Values.auth.existingSecret -}}
{{- fail "auth.anonymous and auth.existingSecret exclude each other." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host must name the host." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.tlsSecret) (not .Values.ingress.plainHttp) -}}
{{- fail "Tokens would travel in plain http: set ingress.tlsSecret, or ingress.plainHttp=true where TLS ends elsewhere." -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas." -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor needs metrics.enabled." -}}
{{- end -}}
{{- end -}}
