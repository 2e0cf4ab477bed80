"""How one tenant's Blue Cherry speaks: paths, parameters, field names and formats, all of it data.

CGS publishes none of these, so none of them is code; the defaults in ``rules/tenant.yaml`` are the reference
tenant of ``contracts/blue_cherry.md``.
"""

from datetime import date, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from bc_ometria.blue_cherry.schemas import RESOURCES, served_columns
from bc_ometria.blue_cherry.stamps import overlap_begin
from bc_ometria.rules.loader import load_yaml_model

FieldName = Annotated[str, Field(min_length=1, max_length=128)]
PATH_PARTS = ("base_url", "tenant", "environment", "resource")

_A_DAY = datetime(2026, 11, 23)  # noqa: DTZ001 - Blue Cherry's times are naive local ones
_STEPS = (
    timedelta(microseconds=1),
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
"""The steps that stamps may have."""


class _Profile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Envelope(_Profile):
    """The fields of a reply around its rows."""

    value: FieldName
    page: FieldName
    page_size: FieldName
    total: FieldName


class Parameters(_Profile):
    """The names of the query parameters."""

    modified_since: FieldName
    modified_before: FieldName
    ord_num: FieldName
    customer: FieldName
    ord_date_from: FieldName
    ord_date_to: FieldName
    select: FieldName
    page: FieldName
    page_size: FieldName


class ResourceProfile(_Profile):
    """One resource: its path segment, the columns the tenant calls otherwise, and those it does not have."""

    path: FieldName
    columns: dict[str, FieldName] = {}
    absent: tuple[str, ...] = ()

    def field(self, column: str) -> str:
        """The tenant's name of our ``column``."""
        return self.columns.get(column, column)


def _resource_profile(resource: str) -> Any:
    """A ``ResourceProfile`` that knows the columns of the resource and which of them a tenant may lack."""
    served = served_columns(resource)
    columns = tuple(served)
    optional = tuple(name for name, column in served.items() if column.optional)

    def distinct(profile: ResourceProfile) -> ResourceProfile:
        fields = [profile.field(column) for column in columns if column not in profile.absent]
        if twice := sorted({field for field in fields if fields.count(field) > 1}):
            raise ValueError(f"two columns would be read from the same field: {', '.join(twice)}")
        return profile

    return create_model(
        f"{resource}_profile",
        __base__=ResourceProfile,
        __validators__={"distinct": model_validator(mode="after")(distinct)},  # type: ignore[dict-item]
        columns=(dict[Literal[columns], FieldName], {}),  # type: ignore[valid-type]
        absent=(tuple[Literal[optional], ...], ()),  # type: ignore[valid-type]
    )


_FIELDS: dict[str, Any] = {resource: (_resource_profile(resource), ...) for resource in RESOURCES}
_Resources: Any = create_model("Resources", __base__=_Profile, **_FIELDS)


class TenantProfile(_Profile):
    """All that one tenant may do differently from another.

    ``path`` is a resource's address with ``{base_url}``, ``{tenant}``, ``{environment}`` and ``{resource}``;
    ``stamp_format`` and ``date_format`` are those of ``strptime``; ``page_size`` is what is asked for a page,
    ``max_keys`` how many order numbers or customers one call may name, ``poll_s`` the seconds between two questions of
    the live sensor, ``ask_within_s`` those that such a question takes at most, ``overlap_min`` the minutes behind the
    watermark from which rows are read again, ``first_change_day`` the day of the oldest change stamp, and
    ``catalogue_cron`` when the catalogue is read (UTC).
    """

    time_zone: str
    key_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
    path: str
    stamp_format: str
    date_format: str
    page_size: Annotated[int, Field(ge=1)]
    max_keys: Annotated[int, Field(ge=1)]
    poll_s: Annotated[int, Field(ge=5)] = 30
    ask_within_s: Annotated[int, Field(ge=1, le=45)] = 20
    overlap_min: Annotated[int, Field(ge=1, le=1440)] = 15
    first_change_day: date
    catalogue_cron: str = "*/15 * * * *"
    envelope: Envelope
    parameters: Parameters
    resources: _Resources

    @classmethod
    def load(cls, path: Path) -> "TenantProfile":
        """Read a profile; raises ``RulesError`` with file, line and the allowed values where it is wrong."""
        return load_yaml_model(path, cls)

    def resource(self, name: str) -> ResourceProfile:
        """The profile of one resource, by our name for it; ``KeyError`` where we have no such resource."""
        if name not in RESOURCES:
            raise KeyError(f"no resource {name!r} (allowed: {', '.join(RESOURCES)})")
        profile: ResourceProfile = getattr(self.resources, name)
        return profile

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that the tenant's naive times are meant in."""
        return ZoneInfo(self.time_zone)

    @property
    def stamp_step(self) -> timedelta:
        """The smallest step between two stamps: a day where they are dates only."""
        return next(step for step in _STEPS if self.rounded_down(_A_DAY + step) != _A_DAY)

    @property
    def overlap(self) -> timedelta:
        """How far behind the watermark reading starts again, in real time: rows may be committed late with an older
        stamp. At least one step of the stamps, so a whole day where they are dates only."""
        return max(timedelta(minutes=self.overlap_min), self.stamp_step)

    def stamp(self, moment: datetime) -> str:
        """A local time as Blue Cherry writes it, rounded down to the step of its stamps."""
        # The C library writes the years before 1000 without zeros, and .NET's blank time is in the year 1.
        return moment.strftime(self.stamp_format.replace("%Y", f"{moment.year:04}"))

    def rounded_down(self, moment: datetime) -> datetime:
        """A local time as a stamp can say it."""
        return datetime.strptime(self.stamp(moment), self.stamp_format)  # noqa: DTZ007

    def read_from(self, watermark: datetime) -> datetime:
        """The stamp from which on rows are read again where all up to ``watermark`` have been; see ``stamps``."""
        try:
            begin = overlap_begin(watermark, self.overlap, self.zone)
        except OverflowError:  # at the beginning of time nothing is older
            begin = watermark
        return self.rounded_down(begin)

    def local(self, moment: datetime) -> datetime:
        """A moment with an offset as this tenant's stamps say it."""
        return moment.astimezone(self.zone).replace(tzinfo=None)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{name!r} is not a time zone (allowed: an IANA name as Europe/London)") from None
        return name

    @field_validator("path")
    @classmethod
    def _known_parts(cls, template: str) -> str:
        allowed = ", ".join(f"{{{part}}}" for part in PATH_PARTS)
        try:
            parts = {part for _, part, _, _ in Formatter().parse(template) if part is not None}
        except ValueError:
            parts = {"?"}
        if not {"base_url", "resource"} <= parts <= set(PATH_PARTS):
            raise ValueError(f"{template!r} needs {{base_url}} and {{resource}} (allowed: {allowed})")
        return template

    @field_validator("stamp_format", "date_format")
    @classmethod
    def _survives(cls, pattern: str) -> str:
        try:
            same = datetime.strptime(_A_DAY.strftime(pattern), pattern) == _A_DAY  # noqa: DTZ007
        except ValueError:
            same = False
        if not same or "%z" in pattern:
            raise ValueError(f"{pattern!r} does not give a whole date (allowed: as %Y-%m-%d %H:%M:%S, no offset)")
        return pattern
