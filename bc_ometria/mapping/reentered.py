"""Orders that were deleted and entered again under another number: a suspicion, never a fact."""

from bc_ometria.mapping.assemble import Orders

_OF_HEADER = ["customer", "email", "currency", "ord_total"]
_OF_LINE = ["division", "style", "color_code", "lbl_code", "dimension", "bucket", "quantity", "unit_price"]


def same_orders(first: Orders, others: Orders) -> dict[str, list[str]]:
    """For each of the first orders, the numbers of those of the others that have the same customer, total and lines,
    in whatever order (ours); without those that have none. A guest is known by the e-mail address."""
    numbers: dict[tuple, list[str]] = {}
    for number, content in _contents(others):
        numbers.setdefault(content, []).append(number)
    return {number: numbers[content] for number, content in _contents(first) if content in numbers}


def _contents(orders: Orders) -> list[tuple[str, tuple]]:
    headers, lines = orders.headers, orders.lines.sort_values(_OF_LINE)
    person = headers["email"].str.casefold().where(headers["customer"] == "", "")
    of_lines = {at: tuple(rows.itertuples(index=False, name=None)) for at, rows in lines.groupby("order")[_OF_LINE]}
    of_headers = headers[_OF_HEADER].assign(email=person).itertuples(index=False, name=None)
    return [
        (number, (*header, *of_lines.get(at, ())))
        for at, (number, header) in enumerate(zip(headers["ord_num"].tolist(), of_headers, strict=True))
    ]
