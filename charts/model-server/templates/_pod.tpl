{{/* The pod, the same for a StatefulSet and a Deployment. */}}
{{- define "model-server.pod" -}}
{{- $scheme := include "model-server.scheme" . | upper -}}
metadata:
  labels:
    {{- include "model-server.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # The server reads its settings once: other settings are other pods.
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "model-server.serviceAccountName" . }}
  automountServiceAccountToken: false
  # A service called openclaw-model-server would otherwise overwrite OPENCLAW_MODEL_SERVER_PORT.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- include "model-server.podSecurity" . | nindent 4 }}
  terminationGracePeriodSeconds: {{ add .Values.server.preStopSeconds .Values.server.drainSeconds 10 }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "model-server.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.models.image }}
  {{- if .repository }}
  initContainers:
    - name: models
      image: {{ include "model-server.image" (dict "image" . "default" "") | quote }}
      imagePullPolicy: {{ .pullPolicy }}
      # As a whole, so that a version that is gone from the image is gone from the disk.
      command: [sh, -ec, 'rm -rf "$1" && cp -R "$0" "$1"', {{ .path | quote }}, {{ include "model-server.repository" $ | quote }}]
      securityContext:
        {{- include "model-server.containerSecurity" $ | nindent 8 }}
      resources:
        requests: {cpu: 100m, memory: 64Mi}
        limits: {memory: 256Mi}
      volumeMounts:
        - name: models
          mountPath: /repository
  {{- end }}
  {{- end }}
  containers:
    - name: server
      image: {{ include "model-server.image" (dict "image" .Values.image "default" .Chart.AppVersion) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      envFrom:
        - configMapRef:
            name: {{ include "model-server.fullname" . }}
      ports:
        - name: http
          containerPort: 8080
        {{- if .Values.metrics.enabled }}
        - name: metrics
          containerPort: 9090
        {{- end }}
      # Alive as soon as the process answers. Loading models is readiness's business: a restart would not hasten it.
      startupProbe:
        httpGet: {path: /v2/health/live, port: http, scheme: {{ $scheme }}}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 90
      livenessProbe:
        httpGet: {path: /v2/health/live, port: http, scheme: {{ $scheme }}}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /v2/health/ready, port: http, scheme: {{ $scheme }}}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      lifecycle:
        preStop:
          exec:
            command: [sleep, {{ .Values.server.preStopSeconds | quote }}]
      securityContext:
        {{- include "model-server.containerSecurity" . | nindent 8 }}
      resources:
        {{- include "model-server.resources" . | nindent 8 }}
      volumeMounts:
        - name: models
          mountPath: /repository
          readOnly: true
        {{- if not .Values.auth.anonymous }}
        - name: tokens
          mountPath: /etc/openclaw
          readOnly: true
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /etc/openclaw-tls
          readOnly: true
        {{- end }}
        - name: tmp
          mountPath: /tmp
    {{- if include "model-server.withLoader" . }}
    # Waits, so that `kubectl cp` has a place to write to. What it writes is read by the server beside it.
    - name: loader
      image: {{ include "model-server.image" (dict "image" .Values.image "default" .Chart.AppVersion) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done']
      securityContext:
        {{- include "model-server.containerSecurity" . | nindent 8 }}
      resources:
        requests: {cpu: 10m, memory: 32Mi}
        limits: {memory: 128Mi}
      volumeMounts:
        - name: models
          mountPath: /repository
    {{- end }}
  volumes:
    {{- if not .Values.auth.anonymous }}
    - name: tokens
      secret:
        secretName: {{ include "model-server.tokenSecret" . }}
        defaultMode: 0440
        # The digests alone: a token itself is never in the pod.
        items:
          - key: {{ ternary .Values.auth.secretKey "tokens" (ne .Values.auth.existingSecret "") }}
            path: tokens
    {{- end }}
    {{- with .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: {{ .Values.tmpSizeLimit | quote }}
    {{- if not (include "model-server.ownDisks" .) }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ include "model-server.claim" . }}
        {{- if not (include "model-server.withLoader" .) }}
        readOnly: true
        {{- end }}
    {{- end }}
{{- end -}}
