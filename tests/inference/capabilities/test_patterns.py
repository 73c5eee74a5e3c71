"""Verified patterns: check digits, what they find, what they leave, and what is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.capabilities.catalogue import capabilities
from inference.serving import pattern_checks as checks
from inference.serving.patterns import FORMAT, PatternRuntime
from inference.serving.runtime import LoadError, PredictError
from inference.serving.signature import Signature

PII = capabilities()["pii"]
SIGNATURE = Signature.declared(PII.inputs, PII.outputs)
RUNTIME = PatternRuntime.load(PII.artifact, sha256=PII.sha256, signature=SIGNATURE)


def found(text):
    return [(entity.kind, text[entity.start : entity.end]) for entity in RUNTIME.find(text)]


# Numbers that others publish as examples, and what is wrong with the second.
@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("china_identity", "11010519491231002X", "110105194912310021"),
        ("china_identity", "11010519491231002x", "440524188001010014"),  # right, and born before 1900
        ("china_identity", "11010519491231002X", "11010519491331002X"),  # no such month
        ("china_company", "91350100M000100Y43", "91350100M000100Y44"),
        ("luhn", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("luhn", "378282246310005", "0000 0000 0000 0000"),
        ("bank_card", "5555-5555-5555-4444", "202411281234567890"),  # Luhn holds, and no issuer begins so
        ("iban", "DE89 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"),
        ("iban", "GB29NWBK60161331926819", "GB29NWBK6016133192681"),
        ("address", "2001:db8::1", "2001:db8:::1"),
        ("address", "192.168.0.1", "192.168.0.256"),
        ("us_social_security", "123-45-6789", "666-45-6789"),
    ],
)
def test_check_digits(check, good, bad):
    assert checks.CHECKS[check](good)
    assert not checks.CHECKS[check](bad)


@pytest.mark.parametrize("check", ["china_identity", "luhn", "iban"])
@given(data=st.data())
def test_a_changed_digit_never_passes(check, data):
    number = {
        "china_identity": "11010519491231002X",
        "luhn": "4111111111111111",
        "iban": "DE89370400440532013000",
    }[check]
    at = data.draw(st.sampled_from([i for i, sign in enumerate(number) if sign.isdigit()]))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != number[at]]))
    assert not checks.CHECKS[check](number[:at] + digit + number[at + 1 :])


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("我的身份证号是11010519491231002X，电话13812345678。", ["china_identity", "china_mobile"]),
        ("请汇到 DE89 3704 0044 0532 0130 00 THEN call", ["iban"]),
        ("Card 4111-1111-1111-1111, mail ann.li+x@mail.example.cn.", ["bank_card", "email"]),
        ("统一社会信用代码91350100M000100Y43", ["china_company"]),
        ("车牌京B12345，护照号码：E12345678", ["china_plate", "china_passport"]),
        ("Ring +44 20 7946 0958 or (415) 555-0132", ["telephone", "telephone"]),
        ("010-62345678 at 10.1.2.3 and 2001:db8::7", ["china_landline", "ip_address", "ip_address"]),
        ("SSN 123-45-6789", ["us_social_security"]),
    ],
)
def test_what_is_found(text, kinds):
    assert [kind for kind, _text in found(text)] == kinds


@pytest.mark.parametrize(
    "text",
    [
        "订单号 202411281234567890 共 3 件", "At 12:30:45 it was version 1.20.300", "1111 1111 1111 1111",
        "1700000000000", "3.14159265358979", "std::vector<int> x;", "See section 10.2.3 of ISO 27001:2022", "@home",
        "王小明住在北京市朝阳区建国路1号",
    ],
)  # fmt: skip
def test_what_is_left(text):
    assert found(text) == []


def test_the_answer_masks_and_repeats_nothing():
    text = np.array(["打13812345678给 ann@example.com".encode(), b"nothing"], dtype=object)
    answer = RUNTIME.predict({"text": text})
    assert [row.decode() for row in answer["masked"]] == ["打[china_mobile]给 [email]", "nothing"]
    assert answer["count"].tolist() == [2, 0]
    first = json.loads(answer["entities"][0])
    assert first[0] == {"kind": "china_mobile", "start": 1, "end": 12, "verified": False}
    assert b"1381" not in answer["entities"][0]


@given(st.text(max_size=300))
def test_spans_are_in_order_within_the_text_and_apart(text):
    end = 0
    for entity in RUNTIME.find(text):
        assert end <= entity.start < entity.end <= len(text)
        end = entity.end


@pytest.mark.parametrize("piece", ["1234 ", "1", "a.", "AB12 ", "+1 1 1 1 1", "a@", ":", "2-", "0:"])
def test_the_longest_text_of_the_worst_kind_is_answered(piece):
    """Expressions that went back over a text again and again would not come to an end here."""
    RUNTIME.find((piece * 100_000)[:100_000])


def test_a_text_too_long_to_be_read_whole_is_refused():
    with pytest.raises(PredictError) as caught:
        RUNTIME.find("a" * 100_001)
    assert caught.value.invalid_input


@pytest.mark.parametrize(
    "document",
    [
        b"no json", b"[]", json.dumps({"format": "other"}).encode(),
        json.dumps({"format": FORMAT, "most_characters": 9, "patterns": [{"kind": "x", "expression": "("}]}).encode(),
        json.dumps(
            {"format": FORMAT, "most_characters": 9, "patterns": [{"kind": "x", "expression": "a", "check": "none"}]}
        ).encode(),
    ],
)  # fmt: skip
def test_what_is_no_set_of_patterns_is_not_loaded(tmp_path, document):
    import hashlib

    path = tmp_path / "patterns.json"
    path.write_bytes(document)
    with pytest.raises(LoadError):
        PatternRuntime.load(path, sha256=hashlib.sha256(document).hexdigest(), signature=SIGNATURE)


def test_another_signature_is_refused():
    other = Signature.declared(PII.inputs, PII.outputs[:1])
    with pytest.raises(LoadError, match="tensors"):
        PatternRuntime.load(PII.artifact, sha256=PII.sha256, signature=other)


def test_every_expression_names_what_it_finds():
    for entry in json.loads(PII.artifact.read_text("utf-8"))["patterns"]:
        assert "it" in re.compile(entry["expression"]).groupindex
