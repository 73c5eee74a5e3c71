"""Using base capabilities over REST, `/v2` and the console, by their real endpoints and tokens."""

from __future__ import annotations

import base64
import io
import json

import httpx
import numpy as np
import pytest
from asgiref.sync import sync_to_async
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import AsyncClient, Client
from PIL import Image
from tritonclient.http import InferenceServerClient, InferInput

from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.capabilities.catalogue import capabilities
from inference.rollouts.models import OutcomeRecord
from tests.factories.governance import bearer_token, make_application, make_member

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def picture(width=28, height=28, *, format="PNG", value=None):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    if value is not None:
        pixels[...] = value
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format)
    return out.getvalue()


def text64(raw):
    return base64.b64encode(raw).decode()


@pytest.fixture
async def serving(added, monkeypatch):
    """The site's inference application, one of this test's own: the process's is started once."""
    from inference.capabilities import using
    from inference.serving.asgi import build_application

    application = build_application()
    monkeypatch.setattr(using, "application", application)
    await application.startup()
    try:
        yield application
    finally:
        await application.shutdown()


@pytest.fixture
async def headers(org):
    """Of a developer's program, which may call every endpoint of its tenant."""

    def make():
        application, secret = make_application(
            org, scopes=["models:infer", "models:read"], role=Role.DEVELOPER
        )
        return {"Authorization": f"Bearer {bearer_token(application, secret)}"}

    return await sync_to_async(make)()


async def use(headers, name, **content):
    return await AsyncClient().post(
        f"/api/v1/capabilities/{name}/", content, content_type="application/json", headers=headers
    )


async def test_every_one_answers_in_one_call(serving, headers, org):
    async def answers(name, **content):
        answer = await use(headers, name, **content)
        assert answer.status_code == 200, answer.content
        found = answer.json()
        assert (found["capability"], found["version"]) == (name, "1.0.0")
        return found["answers"]

    good, bad = await answers("sentiment", texts=["这本书非常好，值得推荐。", "A dull, awful waste of time."])
    assert (good["label"], bad["label"]) == ("positive", "negative")
    assert good["probabilities"]["positive"] == good["confidence"] > 0.5
    (german, chinese) = await answers(
        "language", texts=["Guten Morgen, wie geht es Ihnen?", "今天下午三点开会。"]
    )
    assert (german["label"], chinese["label"]) == ("de", "zh-Hans")
    command, none = await answers("intent", texts=["turn off the lights in the kitchen", "这部电影真好看"])
    assert (command["label"], none["label"]) == ("turn_off", "other")
    (vector,) = await answers("embedding", text="hello")
    assert np.linalg.norm(vector["embedding"]) == pytest.approx(1, abs=1e-3)
    (person,) = await answers("pii", text="电话13812345678")
    assert person["masked"] == "电话[china_mobile]"
    assert person["entities"] == [{"kind": "china_mobile", "start": 2, "end": 13, "verified": False}]
    (garment,) = await answers("garments", image=text64(picture(300, 400, format="JPEG")))
    assert garment["label"] in capabilities()["garments"].classes
    (even,) = await answers("defects", images=[text64(picture(512, 256, value=120))])
    assert set(even) == {"score", "boxes"}

    def outcomes():
        with tenant_context(org.id), transaction.atomic():
            return OutcomeRecord.objects.filter(status=200).count()

    await serving.shutdown()  # writes what it has answered
    assert await sync_to_async(outcomes)() == 7


BAD = [
    ("sentiment", {}, 400, "exactly one"),
    ("sentiment", {"text": ""}, 400, "no text"),
    ("sentiment", {"text": " \n"}, 400, "no text"),
    ("sentiment", {"text": "a\0b"}, 400, "ull"),
    ("sentiment", {"text": "x" * 1_000_000}, 400, "100000"),
    ("sentiment", {"text": "good", "texts": ["good"]}, 400, "exactly one"),
    ("sentiment", {"texts": ["good"] * 101}, 400, "100"),
    ("sentiment", {"image": text64(picture())}, 400, "takes text"),
    ("garments", {"text": "a shirt"}, 400, "takes pictures"),
    ("garments", {"image": "%%%"}, 400, "Base64"),
    ("garments", {"image": text64(b"GIF89a not a picture")}, 400, "no picture"),
    ("garments", {"image": text64(picture()[:60])}, 400, "no picture"),
    ("garments", {"image": text64(picture(5_000, 4_000, value=0))}, 400, "pixels"),
    ("defects", {"images": [text64(b"")]}, 400, ""),
    ("nothing", {"text": "good"}, 404, "nothing"),
]


@pytest.mark.parametrize(("name", "content", "status", "says"), BAD)
async def test_bad_input_is_told(serving, headers, name, content, status, says):
    answer = await use(headers, name, **content)
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert says in json.dumps(answer.json())


async def test_a_program_without_the_grant_is_refused(serving, org):
    def make():
        application, secret = make_application(org, scopes=["models:infer"], role=Role.SERVICE)
        return {"Authorization": f"Bearer {bearer_token(application, secret)}"}

    assert (await use(await sync_to_async(make)(), "sentiment", text="good")).status_code == 403
    assert (await use({}, "sentiment", text="good")).status_code in (401, 403)


async def test_another_tenant_has_none_until_it_is_added(serving, other_org):
    def make():
        application, secret = make_application(other_org, scopes=["models:infer"], role=Role.DEVELOPER)
        return {"Authorization": f"Bearer {bearer_token(application, secret)}"}

    assert (await use(await sync_to_async(make)(), "sentiment", text="good")).status_code in (403, 404)


async def test_v2_takes_them_as_a_stock_client_sends_them(serving, headers):
    async def infer(name, *inputs):
        body, length = InferenceServerClient.generate_request_body(list(inputs))
        extra = {"Inference-Header-Content-Length": str(length)} if length else {}
        transport = httpx.ASGITransport(serving)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            return await client.post(f"/v2/models/base-{name}/infer", content=body, headers=headers | extra)

    def text(*values):
        given = InferInput("text", [len(values)], "BYTES")
        given.set_data_from_numpy(np.array(values, dtype=object))
        return given

    def image(*shape):
        given = InferInput("image", list(shape), "UINT8")
        given.set_data_from_numpy(np.zeros(shape, np.uint8))
        return given

    def read(answer, output):
        assert answer.status_code == 200, answer.text
        length = int(answer.headers["Inference-Header-Content-Length"])
        parsed = InferenceServerClient.parse_response_body(answer.content, header_length=length)
        return parsed.as_numpy(output)

    answer = await infer(
        "language", text(b"Je ne comprends pas cette phrase.", "東京駅はどこですか".encode())
    )
    assert read(answer, "label").tolist() == [b"fr", b"ja"]
    assert (await infer("sentiment", text(b"good " * 200_000))).status_code == 200
    assert (await infer("sentiment", text(b""))).status_code == 200
    assert (await infer("sentiment", text(b"\xff\xfe"))).status_code == 400
    assert (await infer("pii", text(b"a" * 100_001))).status_code == 400
    assert (await infer("garments", image(2, 28, 28))).status_code == 200
    assert (await infer("garments", image(1, 32, 32))).status_code == 400
    assert read(await infer("defects", image(1, 128, 128)), "heat").shape == (1, 128, 128)


async def test_the_list_has_cards_and_figures(added, headers):
    answer = await AsyncClient().get("/api/v1/capabilities/", headers=headers)
    assert answer.status_code == 200
    rows = {row["name"]: row for row in answer.json()}
    assert list(rows) == list(capabilities())
    for name, row in rows.items():
        assert row["model_version_id"] == str(added[name].id)
        assert row["answers"] is True
        assert row["figures"] == capabilities()[name].figures
        assert row["card"].startswith("# ")


def test_an_administrator_adds_them_by_a_button(org):
    person = make_member(org, Role.TENANT_ADMIN)
    client = Client()
    client.force_login(person)
    page = client.get("/console/capabilities/").content.decode()
    assert "Add to this organisation" in page
    assert client.post("/console/capabilities/add/").status_code == 302
    page = client.get("/console/capabilities/").content.decode()
    assert "Add to this organisation" not in page
    for found in capabilities().values():
        assert found.model_name in page
        one = client.get(f"/console/capabilities/{found.name}/").content.decode()
        assert "Limitations" in one
        assert found.sha256 in one
    assert client.get("/console/capabilities/none/").status_code == 404


async def test_a_person_tries_one_on_its_page(serving, org):
    def sign_in():
        client = AsyncClient()
        client.force_login(make_member(org, Role.DEVELOPER))
        return client

    client = await sync_to_async(sign_in)()

    async def tried(name, **content):
        return await client.post(f"/console/capabilities/{name}/", content)

    answer = await tried("pii", text="mail ann@example.com")
    assert (answer.status_code, b"mail [email]" in answer.content) == (200, True)
    file = SimpleUploadedFile("part.png", picture(200, 200, value=90), "image/png")
    answer = await tried("defects", image=file)
    assert (answer.status_code, b"&quot;score&quot;" in answer.content) == (200, True)
    assert (await tried("pii", text=" ")).status_code == 400
    assert (await tried("defects")).status_code == 400
    broken = await tried("defects", image=SimpleUploadedFile("part.png", b"no picture", "image/png"))
    assert (broken.status_code, b"no picture that can be read" in broken.content) == (400, True)
