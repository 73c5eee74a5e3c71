"""The reviewers and the ethics officer of the demo: claim, look, ask, decide; and what they may not do."""

from __future__ import annotations

from typing import Any

from openclaw_site.demo.clients import Person, told, wait_for
from openclaw_site.demo.steps import Step

QUESTIONNAIRE: dict[str, Any] = {
    "intended_use": "Orders a pathologist's work list. The pathologist looks at every sample and decides; the model "
    "never does. It must not be used to tell a patient anything.",
    "affected_people": "Patients whose samples are looked at later because the model ranked them low.",
    "data": "569 fine-needle aspirates of one hospital in Wisconsin, 1995. Age, origin and sex are not recorded, so "
    "they do not represent other populations or equipment.",
    "accuracy": "See the model card: accuracy, sensitivity and specificity on held-out samples, with the interval of "
    "the sensitivity. It fails on samples from other imaging chains.",
    "human_oversight": "The pathologist sees the model's probability beside the sample, can reorder the list, and "
    "looks at every sample before the end of the day.",
    "risks": "An urgent sample waits some hours because it was ranked low. Every sample is looked at the same day.",
    "no_prohibited_practice": True,
}


def claim_and_look(step: Step, reviewer: Person, submission_id: str) -> None:
    """Take a submission from the queue, read its files, and what has changed since the last approved version."""
    path = f"/api/v1/submissions/{submission_id}"
    queue = reviewer.get("/api/v1/submissions/queue/")
    place = [row["id"] for row in queue].index(submission_id) + 1
    step.saw(f"the queue of {reviewer.label}: {len(queue)} waiting, this one is number {place} by due date")
    reviewer.post(f"{path}/claim/")
    files = reviewer.get(f"{path}/files/")
    step.saw(
        f"{reviewer.label} claims it and reads {len(files)} files: {', '.join(f['path'] for f in files)}"
    )
    diff = reviewer.get(f"{path}/diff/")
    changed = ", ".join(f"{change['path']} ({change['kind']})" for change in diff["files"])
    base = f"the difference to {diff['base']}" if diff["base"] else "no version was approved before"
    step.saw(f"{base}: {changed}")
    asked = ", ".join(diff["permissions_added"]) or "no new right"
    step.note(f"it asks for {asked}; {diff['unchanged']} files are unchanged")


def ask(step: Step, reviewer: Person, submission_id: str, text: str) -> None:
    """Put a question to the publisher."""
    reviewer.post(f"/api/v1/submissions/{submission_id}/ask/", {"message": text})
    step.saw(f"{reviewer.label} asks: “{text}”")


def approve(step: Step, reviewer: Person, submission_id: str, reason: str) -> str:
    """Approve with a reason; returns the state that follows."""
    decided = reviewer.post(
        f"/api/v1/submissions/{submission_id}/decide/", {"approve": True, "reason": reason}
    )
    step.saw(f"{reviewer.label} approves: “{reason}” → {decided['state']}")
    return str(decided["state"])


def cannot_decide_own(step: Step, person: Person, submission_id: str) -> None:
    """A reviewer who uploaded something themselves is refused."""
    answer = person.send("POST", f"/api/v1/submissions/{submission_id}/claim/")
    step.expect(
        answer.status_code in (403, 409),
        f"{person.label} uploaded it and wants to review it: {answer.status_code} {told(answer)}",
        seen=answer.status_code,
    )


def cannot_decide_twice(step: Step, reviewer: Person, submission_id: str) -> None:
    """The second of two reviewers must be somebody else."""
    answer = reviewer.send("POST", f"/api/v1/submissions/{submission_id}/claim/")
    step.expect(
        answer.status_code in (403, 409),
        f"{reviewer.label} wants to be the second reviewer too: {answer.status_code} {told(answer)}",
        seen=answer.status_code,
    )


def answer_questionnaire(step: Step, partner: Person, submission_id: str) -> None:
    """The publisher of a high-risk purpose answers the questionnaire that the site asks."""
    questions = partner.get("/api/v1/ethics-questionnaire/")
    partner.post(
        f"/api/v1/submissions/{submission_id}/questionnaire/",
        {"answers": QUESTIONNAIRE},
    )
    step.saw(f"the partner answers the {len(questions['questions'])} questions of “{questions['version']}”")


def approve_ethics(step: Step, officer: Person, submission_id: str) -> None:
    """The ethics officer decides about exactly these bytes."""

    def probe() -> dict[str, Any] | None:
        waiting = officer.rows("/api/v1/ethics-approvals/", subject_id=submission_id, state="requested")
        return waiting[0] if waiting else None

    approval = wait_for("the request for an ethics approval", probe, timeout_s=20)
    decided = officer.post(
        f"/api/v1/ethics-approvals/{approval['id']}/decide/",
        {
            "approve": True,
            "reason": "A person decides about every sample; the card names what it misses. Look again in a year.",
        },
    )
    step.expect(
        decided["state"] == "approved",
        f"the ethics officer approves {decided['purpose']} for the digest {decided['subject_digest'][:16]}…, "
        f"until {decided['expires_at'][:10]}",
        seen=decided["state"],
    )
