"""What Celery beat sends, and how often. A message that nobody took before the next one is due expires.

Every task looks for what is due itself, so a beat that was missed costs nothing but time.
"""

from __future__ import annotations

from typing import Any

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "batch.resume_stalled": {
        "task": "batch.resume_stalled",
        "schedule": 5.0,
        "options": {"queue": "default", "expires": 5.0},
    },
    "batch.drop_old_jobs": {
        "task": "batch.drop_old_jobs",
        "schedule": 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "capabilities.add": {"task": "capabilities.add", "schedule": 30.0, "options": {"expires": 30.0}},
    "rollouts.control": {
        "task": "rollouts.control",
        "schedule": 2.0,
        "options": {"queue": "default", "expires": 2.0},
    },
    "rollouts.drop_old_outcomes": {
        "task": "rollouts.drop_old_outcomes",
        "schedule": 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "policies.drop_old_records": {
        "task": "policies.drop_old_records",
        "schedule": 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "review.resume_stalled": {
        "task": "review.resume_stalled",
        "schedule": 5.0,
        "options": {"queue": "default", "expires": 5.0},
    },
    "review.seal_earlier": {
        "task": "review.seal_earlier",
        "schedule": 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "distribution.resume_stalled": {
        "task": "distribution.resume_stalled",
        "schedule": 5.0,
        "options": {"queue": "publish", "expires": 5.0},
    },
    "distribution.refresh": {
        "task": "distribution.refresh",
        "schedule": 60.0,
        "options": {"queue": "publish", "expires": 60.0},
    },
    "installs.resume_stalled": {
        "task": "installs.resume_stalled",
        "schedule": 5.0,
        "options": {"queue": "default", "expires": 5.0},
    },
    "oversight.escalate_overdue": {
        "task": "oversight.escalate_overdue",
        "schedule": 60.0,
        "options": {"queue": "default", "expires": 60.0},
    },
    "oversight.lapse_withheld": {
        "task": "oversight.lapse_withheld",
        "schedule": 60.0,
        "options": {"queue": "default", "expires": 60.0},
    },
    "privilege.end_due": {
        "task": "privilege.end_due",
        "schedule": 10.0,
        "options": {"queue": "default", "expires": 10.0},
    },
    "privilege.propose_removals": {
        "task": "privilege.propose_removals",
        "schedule": 6 * 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "audit.sign_heads": {
        "task": "audit.sign_heads",
        "schedule": 300.0,
        "options": {"queue": "default", "expires": 300.0},
    },
    "audit.make_partitions": {
        "task": "audit.make_partitions",
        "schedule": 6 * 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "audit.retain": {
        "task": "audit.retain",
        "schedule": 24 * 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "audit.verify_all": {
        "task": "audit.verify_all",
        "schedule": 24 * 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "identity.end_sessions": {
        "task": "identity.end_sessions",
        "schedule": 30.0,
        "options": {"queue": "default", "expires": 30.0},
    },
    "identity.drop_old_sessions": {
        "task": "identity.drop_old_sessions",
        "schedule": 24 * 3600.0,
        "options": {"queue": "default", "expires": 3600.0},
    },
    "keys.rewrap_all": {"task": "keys.rewrap_all", "schedule": 60.0, "options": {"expires": 60.0}},
    "keys.resume_stalled": {"task": "keys.resume_stalled", "schedule": 10.0, "options": {"expires": 10.0}},
    "keys.erase": {"task": "keys.erase", "schedule": 60.0, "options": {"expires": 60.0}},
    "keys.rotate_due": {"task": "keys.rotate_due", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "data.resume_stalled": {
        "task": "data.resume_stalled",
        "schedule": 30.0,
        "options": {"queue": "default", "expires": 30.0},
    },
    "data.keep_retention": {
        "task": "data.keep_retention",
        "schedule": 86400.0,
        "options": {"queue": "default", "expires": 86400.0},
    },
    "ethics.expire": {
        "task": "ethics.expire",
        "schedule": 60.0,
        "options": {"queue": "default", "expires": 60.0},
    },
}
