"""Telephone numbers as Ometria takes them: E.164."""

from collections.abc import Mapping

import pandas as pd

from bc_ometria.rules import PhonePlan


def international(phones: pd.Series, countries: pd.Series, plans: Mapping[str, PhonePlan]) -> list[str]:
    """Each number as ``+`` and 8 to 15 digits (ITU-T E.164); blank where that would be a guess.

    ``00`` stands for ``+``; the ``(0)`` that people write into an international number is not dialled. A
    national number is completed with the calling code of its country, where ``plans`` has that country.
    """
    known: dict[tuple[str, str], str] = {}
    result = []
    for written in zip(phones.tolist(), countries.tolist(), strict=True):
        if written not in known:
            known[written] = _international(*written, plans)
        result.append(known[written])
    return result


def _international(phone: str, country: str, plans: Mapping[str, PhonePlan]) -> str:
    number = phone.translate(_PUNCTUATION)
    if number.startswith(("+", "00")):
        number = phone.replace("(0)", "").translate(_PUNCTUATION)
    if number.startswith("00"):
        number = "+" + number[2:]
    elif not number.startswith("+") and country in plans:
        plan = plans[country]
        if not number.startswith(plan.trunk_prefix):
            return ""
        number = f"+{plan.calling_code}{number[len(plan.trunk_prefix) :]}"
    digits = number[1:]
    is_e164 = number[:1] == "+" and digits.isascii() and digits.isdigit()
    return number if is_e164 and 8 <= len(digits) <= 15 and digits[0] != "0" else ""


_PUNCTUATION = str.maketrans("", "", " -./()\t")
