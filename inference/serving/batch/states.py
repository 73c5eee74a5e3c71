"""The lives of a batch job and of a shard."""

from governance.states import Rule, StateTable
from inference.serving.models import BatchJob, BatchShard

Job = BatchJob.State
Shard = BatchShard.State

JOB_STATES = StateTable(
    "A batch job",
    {
        # Paused before it was planned, it is resumed to its planning.
        Job.QUEUED: Rule(sources=frozenset({Job.PAUSED})),
        Job.RUNNING: Rule(sources=frozenset({Job.QUEUED, Job.PAUSED})),
        Job.PAUSED: Rule(sources=frozenset({Job.QUEUED, Job.RUNNING})),
        Job.SUCCEEDED: Rule(sources=frozenset({Job.RUNNING})),
        Job.FAILED: Rule(sources=frozenset({Job.QUEUED, Job.RUNNING, Job.PAUSED})),
        Job.CANCELLED: Rule(sources=frozenset({Job.QUEUED, Job.RUNNING, Job.PAUSED})),
    },
    initial=[Job.QUEUED],
)

SHARD_STATES = StateTable(
    "A shard",
    {
        # Back to waiting when the lease ran out: its worker is gone.
        Shard.WAITING: Rule(sources=frozenset({Shard.RUNNING})),
        Shard.RUNNING: Rule(sources=frozenset({Shard.WAITING})),
        Shard.DONE: Rule(sources=frozenset({Shard.RUNNING})),
        Shard.FAILED: Rule(sources=frozenset({Shard.WAITING, Shard.RUNNING})),
        Shard.CANCELLED: Rule(sources=frozenset({Shard.WAITING, Shard.RUNNING})),
    },
    initial=[Shard.WAITING],
)
