"""Blue Cherry's customers become Ometria's contacts."""

import hashlib
from collections.abc import Collection, Mapping

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.addresses import address_key
from bc_ometria.mapping.lookup import instants, look_up, utc_texts
from bc_ometria.mapping.merges import MERGED, NOBODY, Merges
from bc_ometria.mapping.phones import international
from bc_ometria.rules import Rules

CONSENT_KEYS = ("marketing_optin", "timestamp_subscribed", "timestamp_unsubscribed")
"""What an order may never carry, and a contact only where Blue Cherry says something (contracts/ometria.md)."""

_GENDERS = {"M": "m", "F": "f", "O": "o"}


def decide(
    customers: pd.DataFrame,
    addresses: pd.DataFrame,
    unsubscribes: pd.DataFrame,
    rules: Rules,
    time_zone: str,
    *,
    merges: Merges = NOBODY,
    absorbed: pd.DataFrame | None = None,
    unchecked: Collection[str] = (),
) -> pd.DataFrame:
    """What is known of each customer; one row per customer, in the order of ``customers``.

    ``customers`` and ``addresses`` have the columns of ``blue_cherry.schemas``; ``unsubscribes`` is when people last
    opted out at Ometria: ``customer``, ``channel`` (``email`` or ``sms``) and ``at`` (UTC). ``absorbed`` are the
    customers who were merged into some of these: an opt-out of one of them, here or at Ometria, is the survivor's
    (truth 5: the stricter of both). Of those who are ``unchecked`` it is not known whether they opted out at Ometria
    since: an opt-in of theirs counts as blank. Columns of the result:

    - ``customer``, ``division``, ``email``, ``written_phone``: as in Blue Cherry
    - ``phone``: the same in E.164, blank where it is missing or cannot be written so; a national number is
      read as one of the customer's country, otherwise of the division's
    - ``country``: the customer's, otherwise that of the default address; blank where neither says
    - ``consent``, ``sms``: ``Y``, ``N`` or blank, of e-mail and text messages; an opt-in without its date counts as
      blank, because Ometria would stamp it *now* and welcome the person
    - ``consent_at``, ``sms_at``: when that was said, the tenant's local time; missing where it is not known
    - ``newer_opt_out``: the channels of which the person opted in in Blue Cherry and, then or later, out at Ometria:
      ``email``, ``sms``, ``email, sms`` or blank
    - ``excluded``: why the contact never goes to Ometria; blank where it may go
    - ``unclear_merge``: why it cannot be told into whom the customer is merged; blank where that is clear
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
    survivors = merges.absorbed_by(customers["customer"])
    opted_out = _opted_out(absorbed, survivors)
    email, email_at = _strictest(customers, "email_ok", opted_out, unchecked)
    sms, sms_at = _strictest(customers, "sms_ok", opted_out, unchecked)
    codes = customers["customer"]
    is_erased = (customers["erased_ok"] == "Y") | codes.isin(merges.erased)
    excluded = [is_erased, codes.isin(merges.survivors)]
    return pd.DataFrame(
        {
            "customer": customers["customer"].to_numpy(),
            "division": customers["division"].to_numpy(),
            "email": customers["email"].to_numpy(),
            "written_phone": customers["phone"].to_numpy(),
            "phone": international(customers["phone"], phone_country, rules.phones),
            "country": country,
            "consent": email.to_numpy(),
            "consent_at": email_at.to_numpy(),
            "sms": sms.to_numpy(),
            "sms_at": sms_at.to_numpy(),
            "newer_opt_out": _newer_opt_outs(
                {"email": (email, email_at), "sms": (sms, sms_at)},
                codes,
                _of_survivors(unsubscribes, survivors),
                time_zone,
            ),
            "excluded": np.select(excluded, ["the customer was erased", MERGED], ""),
            "unclear_merge": look_up(codes, merges.unclear),
            "changed_at": np.fmax(customers["last_mod"].to_numpy(dtype="datetime64[us]"), of_addresses),
        }
    )


def payloads(
    customers: pd.DataFrame, decisions: pd.DataFrame, goes: np.ndarray, rules: Rules, time_zone: str
) -> pd.DataFrame:
    """The payloads of the customers marked in ``goes``: columns ``record_id``, ``payload`` (JSON bytes) and
    ``version`` (32 hex characters of a hash of it), ``standing``: what it says of consent, as ``email:in sms:out``
    (``in``, ``out`` or ``unknown``), and ``address``: the key of its e-mail address, blank for none.

    Id and ``customer_id`` are the customer code, never the e-mail address. Where Blue Cherry says nothing
    about e-mail or text-message consent, no key for it is sent and the record is marked ``@merge``, so that
    it cannot take away an opt-out that Ometria knows; a blank never overwrites a value. So it is where Blue Cherry's
    opt-in is older than an opt-out that Ometria knows (truth 5, contracts/ometria.md). Consent by e-mail is forced over
    what other listings of the person say only where the rules name a reason.
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
    opted_out = decided["newer_opt_out"].str
    force = {"Y": rules.account.force_optin.opt_in, "N": rules.account.force_optin.opt_out}
    records = []
    for values, store, consent, consent_at, sms, sms_at, loyalty in zip(
        zip(*(column.tolist() for column in texts.values()), strict=True),
        stores.tolist(),
        decided["consent"].mask(opted_out.contains("email"), "").tolist(),
        utc_texts(decided["consent_at"], time_zone),
        decided["sms"].mask(opted_out.contains("sms"), "").tolist(),
        utc_texts(decided["sms_at"], time_zone),
        zip(chosen["loyalty_num"].tolist(), chosen["loyalty_tier"].tolist(), strict=True),
        strict=True,
    ):
        contact: dict[str, object] = {
            "@type": "contact",
            "@collection": rules.account.collection,
            "id": values[0],
            **{name: value for name, value in zip(texts, values, strict=True) if value},
            **_email_consent(consent, consent_at),
            **_sms_consent(sms, sms_at),
        }
        if "marketing_optin" in contact and force.get(consent):
            contact["@force_optin"] = True
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
        address = address_key(str(contact.get("email", "")))
        records.append((values[0], payload, version, _standing(consent, sms), address))
    return pd.DataFrame(records, columns=["record_id", "payload", "version", "standing", "address"])


def _opted_out(absorbed: pd.DataFrame | None, survivors: Mapping[str, str]) -> pd.DataFrame | None:
    """The absorbed customers by the code of their survivor, those who said something last first."""
    if absorbed is None or absorbed.empty:
        return None
    of_survivor = absorbed.assign(survivor=look_up(absorbed["customer"], survivors))
    return of_survivor.sort_values("consent_date", ascending=False, na_position="last")


def _strictest(
    customers: pd.DataFrame, column: str, absorbed: pd.DataFrame | None, unchecked: Collection[str]
) -> tuple[pd.Series, pd.Series]:
    """What each customer said on a channel, and when: an opt-out of anybody who was merged into them beats their own
    opt-in, whichever is newer. An opt-in that is not
    dated, or not checked, counts for nothing."""
    said, at = customers[column], customers["consent_date"]
    if absorbed is not None:
        out = absorbed[absorbed[column] == "N"].drop_duplicates("survivor").set_index("survivor")["consent_date"]
        is_out = customers["customer"].isin(out.index) & (said != "N")
        of_absorbed = out.reindex(customers["customer"]).set_axis(customers.index)
        said, at = said.mask(is_out, "N"), at.mask(is_out, of_absorbed)
    is_unknown = at.isna() | customers["customer"].isin(list(unchecked))
    return said.mask((said == "Y") & is_unknown, ""), at


def _of_survivors(unsubscribes: pd.DataFrame, survivors: Mapping[str, str]) -> pd.DataFrame:
    """The newest opt-out of each customer and channel, those of merged customers counted as their survivor's."""
    if unsubscribes.empty:
        return unsubscribes
    of = unsubscribes.assign(customer=[survivors.get(code, code) for code in unsubscribes["customer"]])
    return of.sort_values("at").drop_duplicates(["customer", "channel"], keep="last")


def _newer_opt_outs(
    opt_ins: Mapping[str, tuple[pd.Series, pd.Series]], codes: pd.Series, unsubscribes: pd.DataFrame, time_zone: str
) -> pd.Series:
    is_newer = {}
    for channel, (said, at) in opt_ins.items():
        of_channel = unsubscribes[unsubscribes["channel"] == channel].set_index("customer")["at"]
        opted_out_at = of_channel.reindex(codes).set_axis(codes.index)
        is_newer[channel] = (said == "Y") & (opted_out_at >= instants(at, time_zone))
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


def _standing(consent: str, sms: str) -> str:
    said = {"Y": "in", "N": "out"}
    return f"email:{said.get(consent, 'unknown')} sms:{said.get(sms, 'unknown')}"


def _dates(days: pd.Series) -> pd.Series:
    texts = np.datetime_as_string(days.to_numpy(dtype="datetime64[D]"))
    return pd.Series(np.where(days.isna(), "", texts))
