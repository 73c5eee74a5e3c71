"""The catalogue in JSON."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from governance.data.labels import SUBJECTS
from governance.data.models import (
    Asset,
    ComputePool,
    Dataset,
    Declassification,
    Erasure,
    ErasurePlace,
    Label,
    LineageEdge,
    PlacementRecord,
)


class AssetSerializer(serializers.ModelSerializer[Asset]):
    """Something that holds or was made from data."""

    class Meta:
        model = Asset
        fields = [
            "id", "type", "object_id", "digest", "name", "label", "subjects", "owner", "purpose", "retention_days",
            "region", "licence", "created_at", "erased_at", "must_retrain_at",
        ]  # fmt: skip
        read_only_fields = fields


class LabelSerializer(serializers.Serializer[Any]):
    """A label, whom or what the data is about, and why."""

    label = serializers.ChoiceField(choices=Label.choices)  # type: ignore[assignment]
    subjects = serializers.MultipleChoiceField(choices=SUBJECTS, default=set)
    reason = serializers.CharField(max_length=4000)


class LooseningSerializer(serializers.Serializer[Any]):
    """What to loosen, and why. What is left out stays; 0 days are kept without an end."""

    label = serializers.ChoiceField(choices=Label.choices, required=False)  # type: ignore[assignment]
    subjects = serializers.MultipleChoiceField(choices=SUBJECTS, required=False)
    region = serializers.CharField(max_length=60, required=False, allow_blank=True)
    purpose = serializers.CharField(max_length=100, required=False, allow_blank=True)
    retention_days = serializers.IntegerField(min_value=0, max_value=99_999, required=False)
    reason = serializers.CharField(max_length=4000)


class RaisedSerializer(serializers.Serializer[Any]):
    """The asset, and what else was raised because it came of it."""

    asset = AssetSerializer()
    raised = AssetSerializer(many=True)


class LinkSerializer(serializers.Serializer[Any]):
    """`source` is the asset that this one came of."""

    source = serializers.UUIDField()  # type: ignore[assignment]
    relation = serializers.ChoiceField(choices=LineageEdge.Relation.choices)


class DescriptionSerializer(serializers.Serializer[Any]):
    """What is written about an asset; what is left out stays, and what would loosen it is refused."""

    purpose = serializers.CharField(max_length=100, required=False, allow_blank=True)
    region = serializers.CharField(max_length=60, required=False, allow_blank=True)
    licence = serializers.CharField(max_length=100, required=False, allow_blank=True)
    retention_days = serializers.IntegerField(min_value=1, max_value=99_999, required=False)


class DeclassificationSerializer(serializers.ModelSerializer[Declassification]):
    """A request to loosen what holds an asset back."""

    class Meta:
        model = Declassification
        fields = [
            "id", "asset", "from_label", "from_subjects", "from_region", "from_purpose", "from_retention_days",
            "to_label", "to_subjects", "to_region", "to_purpose", "to_retention_days", "reason", "state",
            "requested_at", "decided_at", "decision_reason",
        ]  # fmt: skip
        read_only_fields = fields


class DeclassificationDecisionSerializer(serializers.Serializer[Any]):
    """A decision and why."""

    approve = serializers.BooleanField()
    reason = serializers.CharField(max_length=4000)


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A registered dataset with its entry in the catalogue."""

    asset = AssetSerializer(read_only=True)
    held_at = serializers.CharField(source="held_at.address", default="private", read_only=True)

    class Meta:
        model = Dataset
        fields = [
            "id", "name", "description", "kind", "location", "filename", "digest", "size_bytes", "rows", "schema",
            "held_at", "created_at", "asset",
        ]  # fmt: skip
        read_only_fields = fields


class NewDatasetSerializer(serializers.Serializer[Any]):
    """Either a file, which is kept sealed, or the address of data that stays where it is."""

    name = serializers.CharField(max_length=100)
    file = serializers.FileField(required=False)
    location = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    digest = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)
    description = serializers.CharField(max_length=4000, default="", allow_blank=True)
    label = serializers.ChoiceField(choices=Label.choices, default="internal")  # type: ignore[assignment]
    subjects = serializers.MultipleChoiceField(choices=SUBJECTS, default=set)
    purpose = serializers.CharField(max_length=100, default="", allow_blank=True)
    region = serializers.CharField(max_length=60, default="", allow_blank=True)
    licence = serializers.CharField(max_length=100, default="", allow_blank=True)
    retention_days = serializers.IntegerField(min_value=1, required=False)
    rows = serializers.IntegerField(min_value=0, required=False)
    held_at = serializers.CharField(max_length=104, default="", allow_blank=True)


class EdgeSerializer(serializers.ModelSerializer[LineageEdge]):
    """`target` came about through `source`."""

    class Meta:
        model = LineageEdge
        fields = ["source", "target", "relation", "at", "by_label"]
        read_only_fields = fields


class NodeSerializer(serializers.Serializer[Any]):
    """An asset and its distance: below 0 where the start came from, above what came of it."""

    depth = serializers.IntegerField()
    asset = AssetSerializer()


class LineageSerializer(serializers.Serializer[Any]):
    """A walk through lineage. `cut` says that there is more than is shown."""

    start = AssetSerializer()
    nodes = NodeSerializer(many=True)
    edges = EdgeSerializer(many=True)
    cut = serializers.BooleanField()
    facts = serializers.DictField(child=serializers.CharField(), default=dict)


class ComputePoolSerializer(serializers.ModelSerializer[ComputePool]):
    """A pool where work may run. Its workers and queues are called by `address`; `shared` ones are the platform's."""

    certified_for = serializers.ListField(child=serializers.CharField(max_length=40), default=list)

    class Meta:
        model = ComputePool
        fields = ["id", "name", "address", "kind", "region", "certified_for", "capacity", "enabled", "shared"]
        read_only_fields = ["address", "shared"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"name": {"validators": []}}


class BurstSerializer(serializers.Serializer[Any]):
    """From `threshold` waiting messages on, work of the workload that may move goes to the public pool `pool`."""

    workload = serializers.CharField(max_length=60)
    threshold = serializers.IntegerField(min_value=0)
    pool = serializers.CharField(max_length=104)
    enabled = serializers.BooleanField(default=True)


class PlacementRecordSerializer(serializers.ModelSerializer[PlacementRecord]):
    """What was decided about pieces of work; without a pool they were refused, by `rule`."""

    class Meta:
        model = PlacementRecord
        fields = [
            "id", "at", "task", "workload", "label", "subjects", "region", "kept_for", "purpose", "pool", "rule",
            "reason", "starting", "burst", "queue_length", "count", "on_data",
        ]  # fmt: skip
        read_only_fields = fields


class TrialSerializer(serializers.Serializer[Any]):
    """Which work to place, without running it."""

    assets = serializers.ListField(child=serializers.UUIDField(), max_length=20)
    workload = serializers.CharField(max_length=60, default="batch")
    region = serializers.CharField(max_length=60, default="", allow_blank=True)
    purpose = serializers.CharField(max_length=100, default="", allow_blank=True)


class StepSerializer(serializers.Serializer[Any]):
    """What the policies say about one pool."""

    pool = serializers.CharField(source="pool.name")
    kind = serializers.CharField(source="pool.kind")
    allowed = serializers.BooleanField()
    rules = serializers.ListField(child=serializers.CharField())
    reason = serializers.CharField()


class VerdictSerializer(serializers.Serializer[Any]):
    """Where the work would go; no pool means that it would be refused."""

    pool = serializers.CharField()
    queue = serializers.CharField()
    trail = StepSerializer(many=True)


class ErasurePlaceSerializer(serializers.ModelSerializer[ErasurePlace]):
    """One place, and what became of it."""

    class Meta:
        model = ErasurePlace
        fields = ["id", "type", "object_id", "name", "depth", "outcome", "reason", "at", "confirmed_by_label"]
        read_only_fields = fields


class ErasureSerializer(serializers.ModelSerializer[Erasure]):
    """An erasure with its progress; the receipt is signed when it ends."""

    places = ErasurePlaceSerializer(many=True, read_only=True)

    class Meta:
        model = Erasure
        fields = [
            "id", "kind", "reference", "reason", "state", "requested_by_label", "requested_at", "finished_at",
            "places", "receipt", "receipt_digest", "signature",
        ]  # fmt: skip
        read_only_fields = fields


class NewErasureSerializer(serializers.Serializer[Any]):
    """What to erase: an asset by its id, or everything about a data subject by their key."""

    kind = serializers.ChoiceField(choices=Erasure.Kind.choices)
    reference = serializers.CharField(max_length=200)
    reason = serializers.CharField(max_length=4000)


class ConfirmationSerializer(serializers.Serializer[Any]):
    """A place that a person has erased by hand, and how."""

    place = serializers.UUIDField()
    note = serializers.CharField(max_length=500)


class StoppingSerializer(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=4000)
