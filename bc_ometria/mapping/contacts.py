"""Blue Cherry's customers become Ometria's contacts."""

import hashlib

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.lookup import instants, look_up, utc_texts
from bc_ometria.mapping.phones import international
from bc_ometria.rules import Rules

CONSENT_KEYS = ("marketing_optin", "timestamp_subscribed", "timestamp_unsubscribed")
"""What an order may never carry, and a contact only where Blue Cherry says something (contracts/ometria.md)."""

_GENDERS = {"M": "m", "F": "f", "O": "o"}


def decide(
    customers: pd.DataFrame, addresses: pd.DataFrame, unsubscribes: pd.DataFrame, rules: Rules, time_zone: str
) -> pd.DataFrame:
    """What is known of each customer; one row per customer, in the order of ``customers``.

    ``customers`` and ``addresses`` have the columns of ``blue_cherry.schemas``; ``unsubscribes`` is when people last
    opted out at Ometria: ``customer``, ``channel`` (``email`` or ``sms``) and ``at`` (UTC), no two rows of one customer
    and channel. Columns of the result:

    - ``customer``, ``division``, ``email``, ``written_phone``: as in Blue Cherry
    - ``phone``: the same in E.164, blank where it is missing or cannot be written so; a national number is
      read as one of the customer's country, otherwise of the division's
    - ``country``: the customer's, otherwise that of the default address; blank where neither says
    - ``consent``: ``Y``, ``N`` or blank; an opt-in without its date counts as blank, because Ometria would
      stamp it *now* and welcome the person
    - ``newer_opt_out``: the channels of which the person opted in in Blue Cherry and, then or later, out at Ometria:
      ``email``, ``sms``, ``email, sms`` or blank
    - ``excluded``: why the contact never goes to Ometria; blank where it may go
    - ``changed_at``: newest change stamp of the customer and the addresses, the tenant's local time
    """
    default = addresses[(addresses["default_ok"] == "Y") & (addresses["active_ok"] != "N")]
    default = default.sort_values(["last_mod", "pkey"]).drop_duplicates("customer", keep="last")
    of_address = look_up(customers["customer"], dict(zip(default["customer"], default["country"], strict=True)))
    country = customers["country"].where(customers["country"] != "", of_address).to_numpy()
    home = look_up(customers["division"], {code: rule.country for code, rule in rules.divisions.items()})
    phone_country = pd.Series(np.where(country != "", country, home))
    newest = addresses.groupby("customer")["last_mod"].max()
    of_addresses = newest.reindex(customers["customer"]).to_numpy(dtype="datetime64[us]")
    undated = (customers["email_ok"] == "Y") & customers["consent_date"].isna()
    return pd.DataFrame(
        {
            "customer": customers["customer"].to_numpy(),
            "division": customers["division"].to_numpy(),
            "email": customers["email"].to_numpy(),
            "written_phone": customers["phone"].to_numpy(),
            "phone": international(customers["phone"], phone_country, rules.phones),
            "country": country,
            "consent": customers["email_ok"].mask(undated, "").to_numpy(),
            "newer_opt_out": _newer_opt_outs(customers, unsubscribes, time_zone),
            "excluded": np.where(customers["erased_ok"] == "Y", "the customer was erased", ""),
            "changed_at": np.fmax(customers["last_mod"].to_numpy(dtype="datetime64[us]"), of_addresses),
        }
    )


def payloads(
    customers: pd.DataFrame, decisions: pd.DataFrame, goes: np.ndarray, rules: Rules, time_zone: str
) -> pd.DataFrame:
    """The payloads of the customers marked in ``goes``: columns ``record_id``, ``payload`` (JSON bytes) and
    ``version`` (32 hex characters of a hash of it), and ``standing``: what it says of consent, as ``email:in sms:out``
    (``in``, ``out`` or ``unknown``).

    Id and ``customer_id`` are the customer code, never the e-mail address. Where Blue Cherry says nothing
    about e-mail or text-message consent, no key for it is sent and the record is marked ``@merge``, so that
    it cannot take away an opt-out that Ometria knows; a blank never overwrites a value. So it is where Blue Cherry's
    opt-in is older than an opt-out that Ometria knows (truth 5, contracts/ometria.md).
    """
    chosen, decided = customers[goes], decisions[goes]
    texts = {
        "customer_id": chosen["customer"],
        "email": chosen["email"],
        "phone_number": decided["phone"],
        "firstname": chosen["first_name"],
        "lastname": chosen["last_name"],
        "gender": pd.Series(look_up(chosen["gender"], _GENDERS)),
        "date_of_birth": _dates(chosen["birth_date"]),
        "country_id": decided["country"],
        "timestamp_acquired": pd.Series(utc_texts(chosen["create_date"], time_zone)),
    }
    stores = look_up(chosen["division"], {code: rule.store for code, rule in rules.divisions.items()})
    consent_texts = utc_texts(chosen["consent_date"], time_zone)
    opted_out = decided["newer_opt_out"].str
    records = []
    for values, store, consent, sms, since, loyalty in zip(
        zip(*(column.tolist() for column in texts.values()), strict=True),
        stores.tolist(),
        decided["consent"].mask(opted_out.contains("email"), "").tolist(),
        chosen["sms_ok"].mask(opted_out.contains("sms"), "").tolist(),
        consent_texts,
        zip(chosen["loyalty_num"].tolist(), chosen["loyalty_tier"].tolist(), strict=True),
        strict=True,
    ):
        contact: dict[str, object] = {
            "@type": "contact",
            "@collection": rules.account.collection,
            "id": values[0],
            **{name: value for name, value in zip(texts, values, strict=True) if value},
            **_email_consent(consent, since),
            **_sms_consent(sms, since),
        }
        if not {"marketing_optin", "channels"} <= contact.keys():
            contact["@merge"] = True
        if store:
            contact["store_ids"] = [store]
        properties = {
            name: value for name, value in zip(("loyalty_number", "loyalty_tier"), loyalty, strict=True) if value
        }
        if properties:
            contact["properties"] = properties
        payload = orjson.dumps(contact)
        version = hashlib.blake2b(payload, digest_size=16).hexdigest()
        records.append((values[0], payload, version, _standing(consent, sms, since)))
    return pd.DataFrame(records, columns=["record_id", "payload", "version", "standing"])


def _newer_opt_outs(customers: pd.DataFrame, unsubscribes: pd.DataFrame, time_zone: str) -> pd.Series:
    opted_in_at = instants(customers["consent_date"], time_zone)
    is_newer = {}
    for channel, said in (("email", customers["email_ok"]), ("sms", customers["sms_ok"])):
        of_channel = unsubscribes[unsubscribes["channel"] == channel].set_index("customer")["at"]
        opted_out_at = of_channel.reindex(customers["customer"]).set_axis(customers.index)
        is_newer[channel] = (said == "Y") & (opted_out_at >= opted_in_at)
    email, sms = is_newer["email"], is_newer["sms"]
    return pd.Series(np.select([email & sms, email, sms], ["email, sms", "email", "sms"], ""), dtype="str")


def _email_consent(consent: str, since: str) -> dict[str, str]:
    if consent == "Y":
        return {"marketing_optin": "EXPLICITLY_OPTEDIN", "timestamp_subscribed": since}
    if consent == "N":
        dated = {"timestamp_unsubscribed": since} if since else {}
        return {"marketing_optin": "EXPLICITLY_OPTEDOUT", **dated}
    return {}


def _sms_consent(sms: str, since: str) -> dict[str, dict[str, dict[str, object]]]:
    """A text-message opt-in needs its date like one by e-mail; an opt-out goes with or without."""
    if sms == "N" or (sms == "Y" and since):
        dated = {"dt_updated_marketing": since} if since else {}
        return {"channels": {"sms": {"allow_marketing": sms == "Y", **dated}}}
    return {}


def _standing(consent: str, sms: str, since: str) -> str:
    of_email = {"Y": "in", "N": "out"}.get(consent, "unknown")
    of_sms = {"Y": "in" if since else "unknown", "N": "out"}.get(sms, "unknown")
    return f"email:{of_email} sms:{of_sms}"


def _dates(days: pd.Series) -> pd.Series:
    texts = np.datetime_as_string(days.to_numpy(dtype="datetime64[D]"))
    return pd.Series(np.where(days.isna(), "", texts))
