"""Django's settings. What differs between installations comes from `openclaw_site.config`; everything else is here.

There is no debug mode: the site that a developer starts is the site that a bank runs. Plain http is possible on
loopback only (`OPENCLAW_PUBLIC_URL`), which is the one thing that relaxes the cookie and transport settings below.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from csp.constants import NONCE, NONE, SELF
from django.utils.translation import gettext_lazy as _

from openclaw_site.config import CHECKOUT, OWNER_ROLE, load
from openclaw_site.console.look import UNFOLD
from openclaw_site.schedule import BEAT_SCHEDULE

__all__ = ["UNFOLD"]  # how the admin pages look; read by django-unfold

CONFIG = load()

# --- Identity of this installation ---------------------------------------------------------------------------------
DEBUG = False
SECRET_KEY = CONFIG.secret_key
OPENCLAW_VAR = CONFIG.var
PUBLIC_URL = CONFIG.public_url
ALLOWED_HOSTS = list(CONFIG.hosts)
CSRF_TRUSTED_ORIGINS = [CONFIG.public_url]
# Whose X-Forwarded-For is believed: the proxies in front, as addresses or networks. Nobody's where it is empty.
TRUSTED_PROXIES = list(CONFIG.trusted_proxies)
METRICS_TOKEN = CONFIG.metrics_token
# Set by the runner when there are several web processes: where they share their metrics.
PROMETHEUS_MULTIPROC_DIR = CONFIG.prometheus_multiproc_dir

# --- Apps, from the ground up --------------------------------------------------------------------------------------
GOVERNANCE_APPS = [
    "governance.tenants",
    "governance.audit",
    "governance.access",
    "governance.keys",
    "governance.policies",
    "governance.identity",
    "governance.events",
    "governance.privilege",
    "governance.data",
    "governance.ethics",
    "governance.oversight",
]
INFERENCE_APPS = ["inference.registry", "inference.rollouts", "inference.serving", "inference.capabilities"]
SKILLS_APPS = ["skills.library", "skills.runtime"]
MARKETPLACE_APPS = [
    "marketplace.catalog",
    "marketplace.review",
    "marketplace.distribution",
    "marketplace.installs",
]
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # not the default one, which would put its own site in place of ours
    "openclaw_site.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "guardian",
    "oauth2_provider",
    "axes",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    *GOVERNANCE_APPS,
    *INFERENCE_APPS,
    *SKILLS_APPS,
    *MARKETPLACE_APPS,
    "openclaw_site.apps.SiteConfig",
]
# Apps whose every action must be decided about; the generated tests walk them.
PRODUCT_APPS = [*GOVERNANCE_APPS, *INFERENCE_APPS, *SKILLS_APPS, *MARKETPLACE_APPS]

MIDDLEWARE = [
    "governance.access.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "governance.identity.middleware.SessionCareMiddleware",
    # Last: its process_view runs the view inside the principal's transaction.
    "governance.access.middleware.PrincipalMiddleware",
]

ROOT_URLCONF = "openclaw_site.urls"
ASGI_APPLICATION = "openclaw_site.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [CHECKOUT / "openclaw_site" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "csp.context_processors.nonce",
                "openclaw_site.console.context.shell",
            ],
        },
    }
]

# --- PostgreSQL, Valkey --------------------------------------------------------------------------------------------
_database = CONFIG.django_database
_database["OPTIONS"] |= {"pool": {"min_size": 1, "max_size": 12, "timeout": 5}}
DATABASES = {"default": _database}
# True only in the child process that migrates: the check that refuses an owner role lets it pass.
DATABASE_IS_OWNER = CONFIG.database_role == OWNER_ROLE
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = CONFIG.redis_url
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
# The layer waits for messages in reads of five seconds, which is also redis-py's own limit for a read: without a longer
# one, whichever clock is first decides whether a quiet socket stays open.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": 30}]},
    },
}

# --- People and programs -------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SESSION_ENGINE = "governance.identity.sessions"  # rows are found by a digest of the key
SESSION_COOKIE_AGE = 8 * 3600
SESSION_COOKIE_NAME = "openclaw_session"
CSRF_COOKIE_NAME = "openclaw_csrf"

GUARDIAN_RAISE_403 = True
ANONYMOUS_USER_NAME = None
# Object grants are asked for at the decision point alone, so no authentication backend may answer for them.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]

AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "governance.access.network.request_address"
AXES_LOCKOUT_TEMPLATE = "access/locked_out.html"
AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
AXES_VERBOSE = False

# Signing in: passwords, passkeys, authenticator apps, recovery codes, and companies' own providers.
ACCOUNT_ADAPTER = "governance.identity.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_SESSION_REMEMBER = True
# Wrong passwords are counted by django-axes; these count requests, and codes and keys that were not right.
ACCOUNT_RATE_LIMITS = {
    "login": "120/m/ip",
    "login_failed": "60/m/ip,5/300s/key",
    "reauthenticate": "10/m/user",
}
MFA_ADAPTER = "governance.identity.mfa.Adapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "OpenClaw"
MFA_TOTP_TOLERANCE = 1  # steps of half a minute, for slow fingers and clocks; a code still works once
SOCIALACCOUNT_ADAPTER = "governance.identity.oidc.SocialAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = (
    True  # our policy lets no form lead to another site; state and nonce guard the way back
)

OAUTH2_PROVIDER_APPLICATION_MODEL = "access.Application"
# The toolkit's own tables; named because ours refer to them.
OAUTH2_PROVIDER_GRANT_MODEL = "oauth2_provider.Grant"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "oauth2_provider.AccessToken"
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "oauth2_provider.RefreshToken"
OAUTH2_PROVIDER = {
    "SCOPES_BACKEND_CLASS": "governance.access.scopes.ApplicationScopes",
    "OAUTH2_VALIDATOR_CLASS": "governance.access.oauth.BoundTokenValidator",
    "OIDC_ISS_ENDPOINT": CONFIG.public_url,  # the issuer's name in answers and metadata
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 14 * 24 * 3600,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "PKCE_REQUIRED": True,
    "ALLOWED_GRANT_TYPES": ["client_credentials", "authorization_code", "refresh_token"],
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    # RFC 9700, the current best practice, point by point: tokens are kept as digests only, and never taken from a URL.
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_SCHEME": True,
}
# RFC 9449: with nonces every proof is fresh by the server's own clock, at the price of a second request now and then.
DPOP_NONCE_REQUIRED = False
# What was heard of a device longer ago than this counts as unknown.
DEVICE_POSTURE_MAX_AGE_S = 24 * 3600
TOKEN_ENDPOINT_RATE = "60/m"  # per client address and client id
PARTNER_SIGN_UP_RATE = "20/h"  # per client address

# --- Browser security ----------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = CONFIG.https
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if CONFIG.https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = CONFIG.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CONFIG.https else None
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
FILE_UPLOAD_PERMISSIONS = 0o600
PLUGIN_UPLOAD_MAX_BYTES = 256 * 1024 * 1024
# Published packages are fetched back over PUBLIC_URL before they count as published; tests have no web server.
REPOSITORY_ON_DISK = False
BATCH_UPLOAD_MAX_BYTES = 256 * 1024 * 1024
BATCH_MAX_ROWS = 1_000_000
# A shard has at least so many rows; more while it stays below the other two and the job has shards enough.
BATCH_SHARD_ROWS = 1_000
BATCH_SHARD_MOST_ROWS = 10_000
BATCH_SHARD_BYTES = 4 * 1024 * 1024
BATCH_LEASE_S = 15.0  # a worker that does not renew its lease for so long is taken to be dead
BATCH_RENEW_S = 1.0
BATCH_RETENTION_DAYS = 30
OUTCOME_RETENTION_DAYS = 30
ETHICS_APPROVAL_DAYS = CONFIG.ethics_approval_days
DECISION_RETENTION_DAYS = 7

# --- REST API ------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["governance.access.rest_auth.PrincipalAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["governance.access.rest_auth.DecisionPermission"],
    "DEFAULT_PAGINATION_CLASS": "governance.access.rest.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser", "rest_framework.parsers.MultiPartParser"],
    "EXCEPTION_HANDLER": "governance.access.rest.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "OpenClaw",
    "DESCRIPTION": "Plugins, models, endpoints, batch predictions and skills. Errors are RFC 9457 problem details.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "MembershipRole": "governance.access.people_api.GIVEN_ROLES",
        "PersonRole": "governance.identity.models.PEOPLE_ROLES",
        "ApprovalState": "governance.ethics.models.Approval.State",
        "PolicyVersionState": "governance.policies.models.PolicyVersion.State",
        "KeyState": "governance.keys.models.KeyState",
        "ReEncryptionState": "governance.keys.models.ReEncryption.State",
        "DestructionState": "governance.keys.models.Destruction.State",
        "DevicePosture": "governance.access.models.RegisteredDevice.Posture",
        "OversightSubject": "governance.oversight.api.SUBJECTS",
        "RightKind": "governance.privilege.models.RightKind",
        "TenantKind": "governance.tenants.models.Tenant.Kind",
        "IncidentSeverity": "governance.ethics.models.Incident.Severity",
        "EvidenceKind": "governance.ethics.models.Evidence.Kind",
        "DataLabel": "governance.data.models.Label",
        "DatasetKind": "governance.data.models.Dataset.Kind",
        "ComputePoolKind": "governance.data.models.ComputePool.Kind",
        "ErasureKind": "governance.data.models.Erasure.Kind",
        "ErasureState": "governance.data.models.Erasure.State",
        "ErasureOutcome": "governance.data.models.ErasurePlace.Outcome",
        "DeclassificationState": "governance.data.models.Declassification.State",
        "LineageRelation": "governance.data.models.LineageEdge.Relation",
        "TrainingReferenceState": "inference.registry.models.TrainingReference.State",
        "RolloutKind": "inference.rollouts.models.Rollout.Kind",
        "RolloutState": "inference.rollouts.models.Rollout.State",
        "SplitChangeKind": "inference.rollouts.models.SplitChange.Kind",
        "PartnerApplicationState": "marketplace.catalog.models.PartnerApplication.State",
        "PluginVersionState": "marketplace.catalog.models.PluginVersion.State",
        "SubmissionState": "marketplace.review.models.Submission.State",
        "InstallationState": "marketplace.installs.models.Installation.State",
        "CheckRunState": "marketplace.review.models.CheckRun.State",
    },
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
}

# --- Celery --------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = CONFIG.celery_broker_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The database row is the truth about every job, so a message lost with its worker is sent again by `resume_stalled`.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_TASK_QUEUES_NAMES = ("default", "checks", "batch", "publish")
CELERY_BEAT_SCHEDULE = BEAT_SCHEDULE
CELERY_BEAT_SCHEDULER = "openclaw_site.beat:PlacingScheduler"

# --- Keys ----------------------------------------------------------------------------------------------------------
OPENCLAW_KEY_PROVIDER = CONFIG.key_provider
OPENCLAW_PKCS11: dict[str, Any] | None = asdict(CONFIG.pkcs11) if CONFIG.pkcs11 else None

# --- Serving -------------------------------------------------------------------------------------------------------
OPENCLAW_SERVING: dict[str, Any] = asdict(CONFIG.serving)

# --- Files, languages, logs ----------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATICFILES_DIRS = [CHECKOUT / "openclaw_site" / "static"]
STATIC_ROOT = OPENCLAW_VAR / "static"
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": OPENCLAW_VAR / "media"},
    },
    "staticfiles": {"BACKEND": "openclaw_site.static_storage.StaticStorage"},
    # What `governance.keys.storage` seals before it is written.
    "objects": {"BACKEND": "governance.keys.bucket.BucketPlace", "OPTIONS": CONFIG.s3.options}
    if CONFIG.s3
    else {"BACKEND": "governance.keys.places.LocalPlace", "OPTIONS": {"location": OPENCLAW_VAR / "objects"}},
}

# Which buckets datasets may lie in, and whose (`governance.data.outside`); none without configuration.
OPENCLAW_DATA_BUCKETS: tuple[tuple[str, str, str], ...] = CONFIG.data_buckets
OPENCLAW_DATA_S3: dict[str, Any] = CONFIG.data_s3.options if CONFIG.data_s3 else {}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [CHECKOUT / "locale"]
LANGUAGE_COOKIE_NAME = "openclaw_language"
LANGUAGE_COOKIE_SAMESITE = "Lax"
TIME_ZONE = "UTC"
USE_TZ = True

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"django.request": {"level": "ERROR"}, "axes": {"level": "WARNING"}},
}
