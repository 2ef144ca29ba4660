"""The stages a bulk run's records go through, put together from its options, and what identifies them to a journal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import attrs
import msgspec

from mobiz_async.errors import ConfigurationError
from mobiz_async.recipients import phones
from mobiz_async.recipients.dedupe import dedupe_stage, suppression_stage
from mobiz_async.recipients.definition import definition_stage
from mobiz_async.recipients.phones import normalize_stage
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.stages import Stage, pipeline
from mobiz_async.recipients.writable import told_first, writable_stage

__all__ = ["SUPPRESSION", "Intake"]

SUPPRESSION = "suppression"
"""The name of the fingerprint that says that there is a suppression list, where there is one."""


def _field_name(intake: Intake, field: attrs.Attribute[Any], value: object) -> None:
    del intake
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError("is the name of a field, as text", setting=field.name)


def _field_names(intake: Intake, field: attrs.Attribute[Any], value: object) -> None:
    del intake
    fits = isinstance(value, Mapping) and all(isinstance(name, str) for pair in value.items() for name in pair)
    if value is not None and not fits:
        raise ConfigurationError("is a mapping of names to names, all of them text", setting=field.name)


def _fields(intake: Intake, field: attrs.Attribute[Any], value: object) -> None:
    del intake
    fits = value is None or isinstance(value, Mapping)
    del value  # an exception carries this frame, and error trackers print its locals
    if not fits:
        raise ConfigurationError("is a mapping of fields", setting=field.name)


@attrs.frozen(kw_only=True)
class Intake:
    """What is done to records before they go, in this order.

    Shape (always), numbers of ``region`` to the API's form, the list's ``definition``, the suppression list, duplicates
    in the field ``dedupe``. None leaves a step out.

    Duplicates are compared as they are written by then: without ``region``, ``0821234567`` and ``+27821234567`` are two
    numbers. What is in ``suppress`` is compared in the API's form even so, and as it is where it is no number. A record
    that cannot be written, or is too large for a request, is nobody's first: one that is good takes its place.
    """

    number_field: str = attrs.field(default="Number", validator=_field_name)
    common: Mapping[str, Any] | None = attrs.field(default=None, repr=False, validator=_fields)
    rename: Mapping[str, str] | None = attrs.field(default=None, validator=_field_names)
    region: str | None = None
    mobile_only: bool = False
    definition: Mapping[str, str] | None = None
    suppress: Iterable[str | int | None] | None = attrs.field(default=None, repr=False)
    dedupe: str | None = attrs.field(default=None, validator=_field_name)
    in_place: bool = False
    """The records are nobody else's, and may be changed instead of copied."""

    def __attrs_post_init__(self) -> None:
        """Refuse a check that could never find anything: who asks for it would text those it is to keep out."""
        if self.mobile_only and self.region is None:
            raise ConfigurationError("needs region: other numbers go as they are", setting="mobile_only")
        if self.dedupe is None:
            return
        rename = self.rename or {}
        if self.dedupe in rename and self.dedupe not in {*rename.values(), *(self.common or {})}:
            what = f"is a field as the list has it, and {self.dedupe!r} is renamed to {rename[self.dedupe]!r} before"
            raise ConfigurationError(what, setting="dedupe")
        if self.definition is not None and self.dedupe not in self.definition:
            raise ConfigurationError("is no field of the list", setting="dedupe")
        if self.dedupe != self.number_field and self.dedupe.casefold() == self.number_field.casefold():
            what = f"is {self.dedupe!r}, but the numbers are in {self.number_field!r}: case matters in names of fields"
            raise ConfigurationError(what, setting="dedupe")

    def stage(self, max_bytes: int | None = None, sparing: Callable[[Stage], Stage] | None = None) -> Stage:
        """Return the steps as one stage; it remembers what it has seen, so each run needs its own.

        ``max_bytes`` of a body: a larger record will be refused, and must not be what later ones are duplicates of.
        ``sparing`` may make another stage of that of the suppression list.
        """
        # Numbers of a region and duplicates are looked at in dicts. A suppression list may be added to a run that goes
        # on, so with one records are fitted as without: their fields must have the order in which they went then.
        fitted = self.region is None and self.dedupe is None
        shape = shape_stage(self.number_field, common=self.common, rename=self.rename, fitted=fitted)
        stages: list[Stage] = []
        if self.region is not None:
            stages.append(
                normalize_stage(self.number_field, self.region, mobile_only=self.mobile_only, in_place=self.in_place)
            )
        if self.definition is not None:
            stages.append(definition_stage(self.definition))
        if self.suppress is not None:
            normalize = partial(phones.read, region=self.region or "ZA")
            normalized = self.region is not None
            stage = suppression_stage(self.number_field, self.suppress, normalize=normalize, normalized=normalized)
            stages.append(stage if sparing is None else sparing(stage))
        stages = [shape, *map(told_first, stages)]
        if self.dedupe is not None:
            stages += [writable_stage(max_bytes), dedupe_stage(self.dedupe)]
        return pipeline(stages)

    def fingerprints(self) -> dict[str, str]:
        """Return a digest of each setting: the same source under the same ones falls into the same chunks.

        What is on the suppression list is no part of them, as it may grow from run to run.
        """
        settings = {
            "number field": self.number_field,
            "common fields": dict(self.common or {}),
            "renamed fields": dict(self.rename or {}),
            "region": self.region,
            "mobile only": self.mobile_only,
            "definition": dict(self.definition) if self.definition is not None else None,
            "dedupe": self.dedupe,
        }
        if self.suppress is not None:
            settings[SUPPRESSION] = True
        return {name: _fingerprint(value) for name, value in settings.items()}


def _fingerprint(value: Any) -> str:
    try:
        text = msgspec.json.encode(value, order="sorted")
    except (TypeError, ValueError, msgspec.MsgspecError):
        raise ConfigurationError("common holds a value that cannot be written as JSON") from None
    return hashlib.sha256(text).hexdigest()
