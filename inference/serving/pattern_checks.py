"""Check digits: whether a string that looks like a number of some kind can be one. Each takes the matched text."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, date, datetime

_CN_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CN_ID_DIGITS = "10X98765432"
_CN_COMPANY_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CN_COMPANY_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
# Length of an account number by country (the IBAN registry of SWIFT), of those that are met most.
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24,
    "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26,
}  # fmt: skip


def china_identity(text: str) -> bool:
    """GB 11643-1999: six digits of a region, a real date of birth that is past, and the check digit (ISO 7064)."""
    digits = text.upper()
    try:
        born = date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(digits[:17], _CN_ID_WEIGHTS, strict=True))
    return date(1900, 1, 1) <= born <= datetime.now(UTC).date() and _CN_ID_DIGITS[total % 11] == digits[17]


def china_company(text: str) -> bool:
    """GB 32100-2015: the unified social credit code with its check character."""
    signs = text.upper()
    if any(sign not in _CN_COMPANY_SIGNS for sign in signs):
        return False
    total = sum(_CN_COMPANY_SIGNS.index(s) * w for s, w in zip(signs[:17], _CN_COMPANY_WEIGHTS, strict=True))
    return _CN_COMPANY_SIGNS[-total % 31] == signs[17]


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1, for 13 to 19 digits that are not all the same."""
    digits = [int(character) for character in text if character.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def bank_card(text: str) -> bool:
    """A number of one of the large issuers, by its first digits and its length, whose check digit holds (`luhn`)."""
    digits = "".join(character for character in text if character.isdigit())
    if not luhn(digits):
        return False
    first, length = int(digits[:4]), len(digits)
    return (
        (first // 1000 == 4 and length in (13, 16, 19))
        or ((5100 <= first <= 5599 or 2221 <= first <= 2720) and length == 16)
        or (first // 100 in (34, 37) and length == 15)
        or (first // 100 == 62 and 16 <= length <= 19)
        or (first // 100 in (35, 60, 64, 65) and length == 16)
        or (first // 100 in (30, 36, 38) and length == 14)
    )


def iban(text: str) -> bool:
    """ISO 13616: the country's length and 97 as the modulus."""
    signs = text.replace(" ", "").upper()
    if len(signs) != _IBAN_LENGTHS.get(signs[:2]):
        return False
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1


def address(text: str) -> bool:
    """An IP address, version 4 or 6, that is not merely a version number."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not found.is_unspecified


def us_social_security(text: str) -> bool:
    """The areas, groups and serials that were never given out."""
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


CHECKS: dict[str, Callable[[str], bool]] = {
    "china_identity": china_identity,
    "china_company": china_company,
    "luhn": luhn,
    "bank_card": bank_card,
    "iban": iban,
    "address": address,
    "us_social_security": us_social_security,
}
