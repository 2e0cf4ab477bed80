"""Every customer against the contact of that code."""

from collections.abc import Iterable, Mapping
from typing import Any

from bc_ometria.demo.audit.account import Account


def audit_contacts(
    customers: Iterable[Mapping[str, Any]],
    contacts: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, str],
) -> Account:
    """Hold every customer against the contact of that code."""
    account = Account()
    seen = set()
    customers = list(customers)
    survivor_of = survivors(customers)
    opted_out = {survivor_of[each["customer"]] for each in customers if each["email_ok"] == "N"}
    for customer in customers:
        code = customer["customer"]
        seen.add(code)
        account.in_blue_cherry += 1
        if customer["erased_ok"] == "Y":
            account.excluded["the customer was erased"] += 1
            if code in contacts:
                account.differing.append(f"contact {code} was erased and is in Ometria")
            continue
        if survivor_of[code] != code:
            account.excluded["merged into another customer"] += 1
            if code in contacts:
                account.differing.append(f"contact {code} was merged into another one and is in Ometria")
            continue
        account.expected += 1
        contact = contacts.get(code)
        if code in held:
            account.held[held[code]] += 1
        elif contact is None:
            account.unaccounted.append(f"contact {code} is neither in Ometria nor held")
        elif wrong := list(_differences(customer, contact, code in opted_out)):
            account.differing.append(f"contact {code}: {', '.join(wrong)}")
        else:
            account.equal += 1
    account.unaccounted += [f"contact {code} is in Ometria only" for code in contacts if code not in seen]
    return account


def survivors(customers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Into whom each customer was merged in the end; who was not merged is their own survivor."""
    into = {row["customer"]: row["merged_into"] for row in customers if row["erased_ok"] != "Y"}
    found = {row["customer"]: row["customer"] for row in customers}
    for code in into:
        while into.get(found[code]):
            found[code] = into[found[code]]
    return found


def _differences(customer: Mapping[str, Any], contact: Mapping[str, Any], opted_out: bool) -> Iterable[str]:
    plain = {"email": "email", "first_name": "firstname", "last_name": "lastname"}
    for column, key in plain.items():
        if customer[column] and customer[column] != contact.get(key):
            yield key
    dated = bool(customer["consent_date"])
    consents = {"Y": "EXPLICITLY_OPTEDIN" if dated else None, "N": "EXPLICITLY_OPTEDOUT"}
    # An opt-out of anybody who was merged into a customer is theirs.
    if contact.get("marketing_optin") != consents.get("N" if opted_out else customer["email_ok"]):
        yield "marketing_optin"
