"""What Celery beat sends, and how often. A message that nobody took before the next one is due expires.

Every task looks for what is due itself, so a beat that was missed costs nothing but time.
"""

from __future__ import annotations

HOUR, DAY = 3600, 24 * 3600

# By task: every how many seconds, and to which queue.
EVERY = {
    "batch.resume_stalled": (5, "default"),
    "batch.drop_old_jobs": (HOUR, "default"),
    "capabilities.add": (30, "default"),
    "rollouts.control": (2, "default"),
    "rollouts.drop_old_outcomes": (HOUR, "default"),
    "policies.drop_old_records": (HOUR, "default"),
    "review.resume_stalled": (5, "default"),
    "review.seal_earlier": (HOUR, "default"),
    "distribution.resume_stalled": (5, "publish"),
    "distribution.refresh": (60, "publish"),
    "installs.resume_stalled": (5, "default"),
    "oversight.escalate_overdue": (60, "default"),
    "oversight.lapse_withheld": (60, "default"),
    "privilege.end_due": (10, "default"),
    "privilege.propose_removals": (6 * HOUR, "default"),
    "audit.sign_heads": (300, "default"),
    "audit.make_partitions": (6 * HOUR, "default"),
    "audit.retain": (DAY, "default"),
    "audit.verify_all": (DAY, "default"),
    "identity.end_sessions": (30, "default"),
    "identity.drop_old_sessions": (DAY, "default"),
    "keys.rewrap_all": (60, "default"),
    "keys.resume_stalled": (10, "default"),
    "keys.erase": (60, "default"),
    "keys.rotate_due": (HOUR, "default"),
    "data.resume_stalled": (30, "default"),
    "data.keep_retention": (DAY, "default"),
    "ethics.expire": (60, "default"),
}

BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    task: {"task": task, "schedule": float(seconds), "options": {"queue": queue, "expires": float(seconds)}}
    for task, (seconds, queue) in EVERY.items()
}
