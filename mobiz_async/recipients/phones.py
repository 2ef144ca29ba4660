"""Phone numbers in any spelling to the digits the API takes: country code and number, "27821234567".

South African numbers are read without any library; all others by ``phonenumbers`` (extra ``phones``), which is
imported when the first of them comes. At some 50 µs a number that library is for the rest, not for a million.

The South African rule, which holds wherever the text came from: after the country code there are exactly nine digits.
06, 07 and 081 to 085 are mobile; 080, 086, 087, 090 to 092 and the geographic codes are assigned but not mobile; all
else is unassigned. ``phonenumbers`` differs: it takes ``+27821234`` for a valid mobile, ten digits for some voice
mail, and a few geographic-looking blocks for mobiles.

Letters in a number are never dialled, wherever it belongs: ``phonenumbers`` makes 0828656696 of "082 UNKNOWN", and
drops the letter in "082123456O7". Only what stands before the number ("Cell: 082..."), an extension, and the parameters
of a ``tel:`` address may have letters.

Read as nothing: blanks of any kind, zero-width and direction marks. Read as digits: the decimal digits of any script.
``27821234567.0``, as tables of floats are written, is ``27821234567``; ``2.78E+10`` is ruined, for its digits are gone,
and so is the float that it was read as by somebody else: ``27800000000.0``.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any

from mobiz_async.errors import ConfigurationError, MobizError, Reason
from mobiz_async.recipients import south_african
from mobiz_async.recipients.south_african import ASSIGNED, MOBILE, NATIONAL_LENGTH
from mobiz_async.recipients.stages import Problem, Stage, Staged
from mobiz_async.unseen import hide, unseen

__all__ = [
    "RUINED",
    "PhoneFault",
    "PhoneNumberError",
    "check_region",
    "is_api_column",
    "is_rounded",
    "normalize",
    "normalize_stage",
    "read",
    "text_of",
    "to_text",
]


class PhoneFault(enum.StrEnum):
    """What is wrong with a text that should be a phone number."""

    NOT_A_NUMBER = "not_a_number"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NOT_MOBILE = "not_mobile"
    UNASSIGNED = "unassigned"
    RUINED = "ruined"

    @property
    def reason(self) -> Reason:
        """The same as a reason for holding a record back."""
        return Reason[self.name]


class PhoneNumberError(MobizError):
    """A text that is no phone number the API could take. It names what is wrong, never the text."""

    def __init__(self, kind: PhoneFault) -> None:
        """Take what is wrong."""
        super().__init__(kind.reason.value)
        self.kind = kind


RUINED = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?[eE]\+?[0-9]{1,2}|#+")
_LEADING = re.compile(r"^[^+0-9]+")
_PARAMETERS = re.compile(r";[A-Za-z-]+=")
_NOT_DIALLED = re.compile(r"[\s()\[\]./~-]+")
_REGION = re.compile("[A-Z]{2}")
_DIGIT = re.compile(r"\d")
_NEEDS_LIBRARY = "numbers outside South Africa need: pip install 'mobiz-async[phones]'"
_EXACT_FLOATS = 1e15
"""Whole numbers below it are exact in a float, and longer ones are no phone numbers (E.164: 15 digits at most)."""

_LEAST_ROUNDED = 1e10
_ROUNDED_TO = 1e5


def normalize(text: str, region: str = "ZA", mobile_only: bool = False) -> str:
    """Return ``text`` as digits with the country code, "27821234567".

    ``region`` (ISO 3166, two letters) is where a number without a country code belongs. ``mobile_only`` refuses what
    cannot be a mobile; numbers of regions where mobiles and fixed lines look alike pass.

    Raises:
        PhoneNumberError: it is no number that could be sent to; ``kind`` says why.
        ConfigurationError: there is no such region, or the number is not South African and the extra ``phones`` is not
            installed.

    """
    held = hide(partial(read, text, region, mobile_only))
    del text  # an exception carries this frame, and error trackers print its locals
    return unseen(held)


def read(text: str, region: str = "ZA", mobile_only: bool = False) -> str:
    """Do what ``normalize`` does, with the number in the frames of what it raises."""
    if not isinstance(text, str):  # as a field of JSON may be anything, or null
        raise PhoneNumberError(PhoneFault.NOT_A_NUMBER)
    clean = south_african.fold(text)
    if region == "ZA":
        number = south_african.read(clean, mobile_only=mobile_only)
        if number is not None:
            return number
    if RUINED.fullmatch(clean):
        raise PhoneNumberError(PhoneFault.RUINED)
    dialled = _NOT_DIALLED.sub("", clean)
    plain = dialled.removeprefix("+").isdecimal()
    if plain and (dialled.startswith("+27") or (region == "ZA" and not dialled.startswith(("+", "00")))):
        return "27" + _check_south_african(_national(dialled), mobile_only=mobile_only)
    return _by_library(clean, clean if text.isascii() else _visible(text), region, mobile_only=mobile_only)


def check_region(region: str) -> None:
    """Raise ``ConfigurationError`` where there is no such region, or its numbers need an extra that is not there.

    ``normalize`` says the same when the first number comes that is read by ``phonenumbers``, and that may be late.
    """
    if region == "ZA":
        return
    try:
        import phonenumbers  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        if _REGION.fullmatch(str(region)):
            raise ConfigurationError(_NEEDS_LIBRARY) from None
    else:
        if region in phonenumbers.SUPPORTED_REGIONS:
            return
    # A number may be in its place, where the two were mixed up.
    named = "such region" if _DIGIT.search(str(region)) else f"region {region!r}"
    raise ConfigurationError(f"no {named}: the two capital letters of ISO 3166 are wanted: 'ZA', 'GB'")


def _visible(text: str) -> str:
    """Return ``text`` for the library, which knows scripts and dashes itself, but not all that is invisible."""
    kinds = list(map(unicodedata.category, text))
    if "Cs" in kinds:  # half a surrogate pair, which cannot be written, and which the library passes over
        raise PhoneNumberError(PhoneFault.NOT_A_NUMBER)
    return "".join(" " if char.isspace() else char for char, kind in zip(text, kinds, strict=True) if kind != "Cf")


def _national(dialled: str) -> str:
    """Return the digits after South Africa's country code and trunk prefix, from ``+27…``, ``27…`` or ``0…``."""
    if dialled.startswith("+27"):
        dialled = dialled[3:]
    elif dialled.startswith("27") and len(dialled) > NATIONAL_LENGTH:
        dialled = dialled[2:].removeprefix("0")
    return dialled.removeprefix("0")


def _check_south_african(national: str, *, mobile_only: bool) -> str:
    """Return ``national`` when it is nine digits of an assigned range."""
    if len(national) < NATIONAL_LENGTH:
        raise PhoneNumberError(PhoneFault.TOO_SHORT)
    if len(national) > NATIONAL_LENGTH:
        raise PhoneNumberError(PhoneFault.TOO_LONG)
    if not ASSIGNED.fullmatch(national):
        raise PhoneNumberError(PhoneFault.UNASSIGNED)
    if mobile_only and not MOBILE.fullmatch(national):
        raise PhoneNumberError(PhoneFault.NOT_MOBILE)
    return national


def _by_library(clean: str, text: str, region: str, *, mobile_only: bool) -> str:
    """Read what is not plainly South African with ``phonenumbers``: ``clean``, which is ``text`` folded."""
    try:
        import phonenumbers  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        return _without_library(text, region, mobile_only=mobile_only)
    if region not in phonenumbers.SUPPORTED_REGIONS:
        check_region(region)
    fault: PhoneFault | None = None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        fault = _PARSE_FAULTS.get(error.error_type, PhoneFault.NOT_A_NUMBER)
    if fault is not None:  # raised out here, so that the library's own exception, which may quote, is not its context
        raise PhoneNumberError(fault)
    extension = number.extension or ""
    if len(extension) >= _SECOND_NUMBER or _has_letters(clean, extended=bool(extension)):
        raise PhoneNumberError(PhoneFault.NOT_A_NUMBER)
    national = phonenumbers.national_significant_number(number)
    if number.country_code == 27:  # noqa: PLR2004  # South Africa
        return "27" + _check_south_african(national, mobile_only=mobile_only)
    if not phonenumbers.is_valid_number(number):
        raise PhoneNumberError(_LENGTH_FAULTS.get(phonenumbers.is_possible_number_with_reason(number), _UNASSIGNED))
    kinds = phonenumbers.PhoneNumberType
    if mobile_only and phonenumbers.number_type(number) not in {kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE}:
        raise PhoneNumberError(PhoneFault.NOT_MOBILE)
    return f"{number.country_code}{national}"


def _has_letters(clean: str, *, extended: bool) -> bool:
    """Return whether there are letters in a number proper: behind its first digit, and before its extension."""
    proper = _LEADING.sub("", _PARAMETERS.split(clean, maxsplit=1)[0])
    return any(map(str.isalpha, _EXTENSION.sub("", proper) if extended else proper))


_WORDS = r"e?xt(?:ensi(?:o\u0301?|\u00f3))?n?|x|int|anexo|\u0434\u043e\u0431"
"""That announce an extension to the library."""
_EXTENSION = re.compile(rf"(?:{_WORDS})\W*[0-9]+\W*$", re.IGNORECASE)
_SECOND_NUMBER = 7
"""Digits of what the library takes for an extension ("0820000001; 0820000002"), and nobody would dial as one."""
_UNASSIGNED = PhoneFault.UNASSIGNED
# Keyed by the library's own codes: NumberParseException's and ValidationResult's.
_PARSE_FAULTS = {0: _UNASSIGNED, 1: PhoneFault.NOT_A_NUMBER, 2: PhoneFault.TOO_SHORT, 3: PhoneFault.TOO_SHORT}
_PARSE_FAULTS |= {4: PhoneFault.TOO_LONG}
_LENGTH_FAULTS = {2: PhoneFault.TOO_SHORT, 3: PhoneFault.TOO_LONG, 4: PhoneFault.TOO_SHORT, 5: PhoneFault.TOO_SHORT}


def _without_library(clean: str, region: str, *, mobile_only: bool) -> str:
    """Read what the South African rule can, and ask for the extra where a number belongs elsewhere."""
    dialled = _LEADING.sub("", _NOT_DIALLED.sub("", clean))
    if dialled.startswith("00"):
        dialled = "+" + dialled[2:]
    if not dialled.removeprefix("+").isdecimal():
        raise PhoneNumberError(PhoneFault.NOT_A_NUMBER)
    if dialled.startswith("+27") or (region == "ZA" and not dialled.startswith("+")):
        return "27" + _check_south_african(_national(dialled), mobile_only=mobile_only)
    raise ConfigurationError(_NEEDS_LIBRARY)


def is_rounded(value: object) -> bool:
    """Return whether ``value`` is a float that ``2.78212E+10`` was read as: 27821200000.0.

    Spreadsheets write six digits at most of long numbers. Of whole ones one in 100,000 ends with five zeros by itself;
    it is known again as text, or as a whole number that is no float.
    """
    return isinstance(value, float) and _LEAST_ROUNDED <= abs(value) < _EXACT_FLOATS and not value % _ROUNDED_TO


def to_text(value: object) -> str:
    """Return a phone number that came as text or as a whole number (also a float or a ``Decimal``) as text.

    Raises:
        PhoneNumberError: it is no whole number, or one too long for a float to hold exactly.

    """
    held = hide(partial(text_of, value))
    del value  # as in normalize
    return unseen(held)


def text_of(value: object) -> str:
    """Do what ``to_text`` does, with the number in the frames of what it raises."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < _EXACT_FLOATS else _refuse(PhoneFault.TOO_LONG)
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) < _EXACT_FLOATS else _refuse(PhoneFault.TOO_LONG)
    if isinstance(value, Decimal) and value.is_finite():
        if abs(value) >= _EXACT_FLOATS:
            return _refuse(PhoneFault.TOO_LONG)
        if value == (whole := int(value)):
            return str(whole)
    return _refuse(PhoneFault.NOT_A_NUMBER)


def _refuse(kind: PhoneFault) -> str:
    raise PhoneNumberError(kind)


def normalize_stage(
    field: str = "Number", region: str = "ZA", mobile_only: bool = False, *, in_place: bool = False
) -> Stage:
    """Return the stage that brings ``field`` of each record into the API's form.

    Records whose number is in that form already are handed on as they are; the others as copies, or changed
    themselves with ``in_place`` (right for records that nobody else holds, such as those of ``open_recipients``, and
    about 0.1 µs a record faster). ``region`` and ``mobile_only`` as in ``normalize``. A number that needs an extra
    which is not installed is a bad one (``NEEDS_PHONES``). Raises ``ConfigurationError`` as ``check_region`` does.
    """
    check_region(region)
    return _Normalize(field, region, mobile_only=mobile_only, in_place=in_place)


def is_api_column(joined: str) -> bool:
    """Return whether each line of ``joined`` is a South African number in the API's form."""
    return south_african.in_api_form(joined)


class _Normalize:
    def __init__(self, field: str, region: str, *, mobile_only: bool, in_place: bool) -> None:
        self._field = field
        self._region = region
        self._mobile_only = mobile_only
        self._in_place = in_place
        self._column_of = itemgetter(field)

    def __call__(self, records: list[Any], rows: Sequence[int]) -> Staged:
        numbers: list[str] = []
        if self._region == "ZA":
            try:
                column = list(map(self._column_of, records))
                joined = "\n".join(column)
            except (KeyError, TypeError):
                return self._closer(records, rows, [""] * len(records))
            if south_african.in_api_form(joined, mobile_only=self._mobile_only):
                return Staged(records, rows, [])
            numbers = south_african.read_column(joined, len(column), mobile_only=self._mobile_only)
        if len(numbers) != len(records):
            numbers = [""] * len(records)
        if "" in numbers:
            return self._closer(records, rows, numbers)
        return Staged(self._replaced(records, numbers), rows, [])

    def _replaced(self, records: list[Any], numbers: Sequence[str]) -> list[Any]:
        replaced = records if self._in_place else list(map(dict.copy, records))
        field = self._field
        for record, number in zip(replaced, numbers, strict=True):
            record[field] = number
        return replaced

    def _closer(self, records: list[Any], rows: Sequence[int], numbers: list[str]) -> Staged:
        """Look at the records whose number is not known yet ("")."""
        problems: list[Problem] = []
        for place, number in enumerate(numbers):
            if not number:
                read = self._read(records[place])
                if isinstance(read, Reason):
                    problems.append(Problem(rows[place], self._field, read, records[place]))
                else:
                    numbers[place] = read
        if problems:
            records = [record for record, number in zip(records, numbers, strict=True) if number]
            rows = [row for row, number in zip(rows, numbers, strict=True) if number]
            numbers = list(filter(None, numbers))
        return Staged(self._replaced(records, numbers), rows, problems)

    def _read(self, record: dict[str, Any]) -> str | Reason:
        if self._field not in record:
            return Reason.MISSING
        value = record[self._field]
        if value is None or (isinstance(value, str) and not value.strip()):
            return Reason.EMPTY
        if is_rounded(value):
            return Reason.RUINED
        try:
            return read(text_of(value), self._region, self._mobile_only)
        except PhoneNumberError as error:
            return error.kind.reason
        except ConfigurationError:  # of the region nothing is wrong: it was checked
            return Reason.NEEDS_PHONES
