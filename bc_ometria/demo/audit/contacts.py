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
    for customer in customers:
        code = customer["customer"]
        seen.add(code)
        account.in_blue_cherry += 1
        if customer["erased_ok"] == "Y":
            account.excluded["the customer was erased"] += 1
            if code in contacts:
                account.differing.append(f"contact {code} was erased and is in Ometria")
            continue
        account.expected += 1
        contact = contacts.get(code)
        if code in held:
            account.held[held[code]] += 1
        elif contact is None:
            account.unaccounted.append(f"contact {code} is neither in Ometria nor held")
        elif wrong := list(_differences(customer, contact)):
            account.differing.append(f"contact {code}: {', '.join(wrong)}")
        else:
            account.equal += 1
    account.unaccounted += [f"contact {code} is in Ometria only" for code in contacts if code not in seen]
    return account


def _differences(customer: Mapping[str, Any], contact: Mapping[str, Any]) -> Iterable[str]:
    plain = {"email": "email", "first_name": "firstname", "last_name": "lastname"}
    for column, key in plain.items():
        if customer[column] and customer[column] != contact.get(key):
            yield key
    dated = bool(customer["consent_date"])
    consents = {"Y": "EXPLICITLY_OPTEDIN" if dated else None, "N": "EXPLICITLY_OPTEDOUT"}
    if contact.get("marketing_optin") != consents.get(customer["email_ok"]):
        yield "marketing_optin"
