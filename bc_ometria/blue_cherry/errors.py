"""What can go wrong at the border to Blue Cherry, in words for the person who has to mend it.

No text carries the key or a value of a row.
"""


class BlueCherryError(Exception):
    """Reading from Blue Cherry failed; the text says what happened and what to do."""


class AccessRefused(BlueCherryError):
    """Blue Cherry refused the key (401, 403)."""


class NotFound(BlueCherryError):
    """Blue Cherry knows no such path (404): base address, tenant, environment or resource."""


class BadRequest(BlueCherryError):
    """Blue Cherry did not accept the parameters (400 and other refusals of a request)."""


class NotJson(BlueCherryError):
    """The answer is not the JSON that the tenant profile describes, for example a web page."""


class MissingColumn(BlueCherryError):
    """No row carries a column that the tenant profile says is there."""

    def __init__(self, resource: str, column: str, field: str, expected: str) -> None:
        self.resource, self.column, self.field = resource, column, field
        super().__init__(
            f"Blue Cherry's {resource} come without the column {field!r} ({expected} was expected). "
            f"If the tenant calls {column} by another name, say so in tenant.yaml under "
            f"resources.{resource}.columns; if it has none and the product can do without, list it under "
            f"resources.{resource}.absent."
        )


class Unavailable(BlueCherryError):
    """Blue Cherry could not be reached, or kept failing after every retry."""
