"""The reviewers and the ethics officer of the demo: claim, look, ask, decide; and what they may not do."""

from __future__ import annotations

from typing import Any

from openclaw_site.demo.clients import Person, told, wait_for
from openclaw_site.demo.steps import Step

QUESTIONNAIRE: dict[str, Any] = {
    "intended_use": "Orders a pathologist's work list. The pathologist looks at every sample and decides; the model "
    "never does. It must not be used to tell a patient anything.",
    "affected_people": "Patients whose samples are looked at later because the model ranked them low.",
    "people_per_month": 400,
    "prohibited_practices": ["none"],
    "annex_i_product": "yes",
    "annex_iii_areas": ["none"],
    "transparency": ["none"],
    "data": "569 fine-needle aspirates of one hospital in Wisconsin, 1995. Age, origin and sex are not recorded, so "
    "they do not represent other populations or equipment.",
    "data_categories": ["special"],
    "data_basis": "Published without names for research; nothing in a row leads back to a person.",
    "accuracy": "See the model card: accuracy, sensitivity and specificity on held-out samples, with the interval of "
    "the sensitivity. It fails on samples from other imaging chains.",
    "robustness": "Rows of another shape or type are refused by the endpoint's signature; samples unlike the training "
    "data are not noticed, so the pathologist sees every one.",
    "automation": "advises",
    "human_oversight": "The pathologist sees the model's probability beside the sample, can reorder the list, and "
    "looks at every sample before the end of the day.",
    "minutes_to_step_in": 480,
    "risks": "An urgent sample waits some hours because it was ranked low. Every sample is looked at the same day.",
    "monitoring": "Sensitivity every week against the pathologist's findings; below 95 percent the endpoint is stopped "
    "and the head of the laboratory is told.",
    "answers_are_true": True,
}
OVERSIGHT_PLAN: dict[str, Any] = {
    "format": "openclaw-oversight-plan-1",
    "overseers": [
        {"role": "pathologist on duty", "training": "two hours with the model's author, once a year"}
    ],
    "sees": "The sample, the thirty measurements, the probability, and where the model is known to fail.",
    "can": ["correct", "override", "escalate", "stop"],
    "minutes_to_step_in": 480,
    "ask_a_person_below_confidence": 0.8,
    "escalation": {"to": "head of the laboratory", "after_minutes": 120},
    "stop": "The stop button of the endpoint; the list then has the order in which samples arrived.",
    "appeal": "A second pathologist looks at the sample when a patient or physician asks.",
    "reviewed_every_days": 90,
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


def answer_questionnaire(
    step: Step, partner: Person, submission_id: str, *, evaluation: dict[str, Any]
) -> None:
    """The publisher of a high-risk purpose answers the questionnaire, and brings the evidence that its class needs."""
    questions = partner.get("/api/v1/ethics-questionnaire/")
    partner.post(
        f"/api/v1/submissions/{submission_id}/questionnaire/",
        {
            "answers": {
                "version": questions["version"],
                "answers": QUESTIONNAIRE,
                "evidence": {"evaluation": evaluation, "oversight_plan": OVERSIGHT_PLAN},
            }
        },
    )
    step.saw(
        f"the partner answers {len(QUESTIONNAIRE)} of the {len(questions['questions'])} questions of "
        f"“{questions['version']}”: those that apply"
    )
    apart = evaluation["disparities"]["accuracy"]["difference"]
    step.note(
        f"evidence: the model card from the package, an oversight plan, and an evaluation by {evaluation['group']} "
        f"whose accuracy differs by {apart:.1%} at most"
    )


def approve_ethics(step: Step, officer: Person, submission_id: str) -> None:
    """The ethics officer decides about exactly these bytes."""

    def probe() -> dict[str, Any] | None:
        waiting = officer.rows("/api/v1/ethics-approvals/", subject_id=submission_id, state="requested")
        return waiting[0] if waiting else None

    approval = wait_for("the request for an ethics approval", probe, timeout_s=20)
    why = "; ".join(because["because"] for because in approval["because"])
    step.expect(
        approval["risk_class"] == "high" and not approval["missing"],
        f"the answers make it {approval['risk_class']}-risk ({why}); no evidence is missing",
        seen=(approval["risk_class"], approval["missing"]),
    )
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
