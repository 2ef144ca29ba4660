"""Phone numbers in any spelling to the digits the API takes: country code and number, "27821234567".

South African numbers are read here, without any library; all others by ``phonenumbers`` (extra ``phones``), which is
imported when the first of them comes. At some 55 µs a number that library is for the rest, not for a million.

The South African rule, which holds wherever the text came from: after the country code there are exactly nine digits.
06, 07 and 081 to 085 are mobile; 080, 086, 087, 090 to 092 and the geographic codes are assigned but not mobile; all
else is unassigned. ``phonenumbers`` differs: it takes ``+27821234`` for a valid mobile, ten digits for some voice
mail, and a few geographic-looking blocks for mobiles.

Read as nothing: blanks of any kind, zero-width and direction marks. Read as digits: the decimal digits of any script.
``27821234567.0``, as tables of floats are written, is ``27821234567``; ``2.78E+10`` is ruined, for its digits are gone.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from mobiz_async.errors import ConfigurationError, MobizError, Reason
from mobiz_async.recipients.stages import Problem, Stage, Staged

__all__ = [
    "RUINED",
    "PhoneFault",
    "PhoneNumberError",
    "check_region",
    "is_api_column",
    "normalize",
    "normalize_stage",
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


_MOBILE = r"(?:[67][0-9]|8[1-5])[0-9]{7}"
_CELLULAR_OR_SERVICE = r"(?:[67][0-9]|8[0-7])[0-9]{7}"
_ASSIGNED = re.compile(r"(?:1[0-8]|2[1-378]|3[1-69]|4[0-9]|5[1346-8]|[67][0-9]|8[0-7]|9[0-2])[0-9]{7}")
_NATIONAL_LENGTH = 9

# Two patterns each, by mobile_only: a whole column that is in the API's form, and one line of a cleaned column.
_API_COLUMN = tuple(re.compile(rf"(?:27{number}\n)*+") for number in (_CELLULAR_OR_SERVICE, _MOBILE))
_LINE = tuple(rf"(?:\+27|0027|27)?0?({number})" for number in (_CELLULAR_OR_SERVICE, _MOBILE))
_LINES = tuple(re.compile(f"^(?:{line}|.*)$", re.MULTILINE) for line in _LINE)
_ONE_LINE = tuple(re.compile(line) for line in _LINE)

_PUNCTUATION = b" -().\t\r/"
_FLOAT = re.compile(r"(\+?[0-9]{6,15})\.0+")
RUINED = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?[eE]\+?[0-9]{1,2}|#+")
_LEADING = re.compile(r"^[^+0-9]+")
_NOT_DIALLED = re.compile(r"[\s()\[\]./~-]+")
_REGION = re.compile("[A-Z]{2}")
_NEEDS_LIBRARY = "numbers outside South Africa need: pip install 'mobiz-async[phones]'"
_EXACT_FLOATS = 1e15
"""Whole numbers below it are exact in a float, and longer ones are no phone numbers (E.164: 15 digits at most)."""


class _Fold(dict[int, str | int]):
    """``str.translate`` table from what spreadsheets and address books hold to ASCII, filled as it is asked."""

    def __missing__(self, code: int) -> str | int:
        char = chr(code)
        kind = unicodedata.category(char)
        folded: str | int = code
        if kind == "Nd":
            folded = str(unicodedata.decimal(char))
        elif kind == "Cf":
            folded = ""
        elif char.isspace():
            folded = " "
        elif kind == "Pd" or char in "\u2212\u30fc\u2053\u223c\uff5e":  # minus, prolonged sound, and kinds of tilde
            folded = "-"
        elif 0xFF01 <= code <= 0xFF5E:  # noqa: PLR2004  # the block of full-width forms of ASCII
            folded = chr(code - 0xFEE0)
        self[code] = folded
        return folded


_FOLD = _Fold()


def normalize(text: str, region: str = "ZA", mobile_only: bool = False) -> str:
    """Return ``text`` as digits with the country code, "27821234567".

    ``region`` (ISO 3166, two letters) is where a number without a country code belongs. ``mobile_only`` refuses what
    cannot be a mobile; numbers of regions where mobiles and fixed lines look alike pass.

    Raises:
        PhoneNumberError: it is no number that could be sent to; ``kind`` says why.
        ConfigurationError: the number is not South African and the extra ``phones`` is not installed.

    """
    clean = _fold(text)
    if region == "ZA":
        digits = clean.encode("ascii", "replace").translate(None, _PUNCTUATION).decode()
        if (match := _ONE_LINE[mobile_only].fullmatch(digits)) is not None:
            return "27" + match[1]
    if RUINED.fullmatch(clean):
        raise PhoneNumberError(PhoneFault.RUINED)
    dialled = _NOT_DIALLED.sub("", clean)
    plain = dialled.removeprefix("+").isdecimal()
    if plain and (dialled.startswith("+27") or (region == "ZA" and not dialled.startswith(("+", "00")))):
        return "27" + _check_south_african(_national(dialled), mobile_only=mobile_only)
    return _by_library(clean if text.isascii() else _visible(text), region, mobile_only=mobile_only)


def check_region(region: str) -> None:
    """Raise ``ConfigurationError`` where there is no such region, or its numbers need an extra that is not there.

    ``normalize`` says the same when the first number comes that is read by ``phonenumbers``, and that may be late.
    """
    if region == "ZA":
        return
    try:
        import phonenumbers  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        if _REGION.fullmatch(region):
            raise ConfigurationError(_NEEDS_LIBRARY) from None
    else:
        if region in phonenumbers.SUPPORTED_REGIONS:
            return
    raise ConfigurationError(f"no region {region!r}: two capital letters are wanted, such as 'ZA'")


def _visible(text: str) -> str:
    """Return ``text`` for the library, which knows scripts and dashes itself, but not all that is invisible."""
    return "".join(" " if char.isspace() else char for char in text if unicodedata.category(char) != "Cf")


def _fold(text: str) -> str:
    """Return ``text`` in ASCII where it has a meaning there, without blanks around, ``tel:``, or a float's ``.0``."""
    clean = (text if text.isascii() else text.translate(_FOLD)).strip()
    if clean[:4].lower() == "tel:":
        clean = clean[4:]
    if any(map(clean.__contains__, "\t\r\n\v\f")):
        clean = " ".join(clean.split())
    match = _FLOAT.fullmatch(clean)
    return match[1] if match is not None else clean


def _national(dialled: str) -> str:
    """Return the digits after South Africa's country code and trunk prefix, from ``+27…``, ``27…`` or ``0…``."""
    if dialled.startswith("+27"):
        dialled = dialled[3:]
    elif dialled.startswith("27") and len(dialled) > _NATIONAL_LENGTH:
        dialled = dialled[2:].removeprefix("0")
    return dialled.removeprefix("0")


def _check_south_african(national: str, *, mobile_only: bool) -> str:
    """Return ``national`` when it is nine digits of an assigned range."""
    if len(national) < _NATIONAL_LENGTH:
        raise PhoneNumberError(PhoneFault.TOO_SHORT)
    if len(national) > _NATIONAL_LENGTH:
        raise PhoneNumberError(PhoneFault.TOO_LONG)
    if not _ASSIGNED.fullmatch(national):
        raise PhoneNumberError(PhoneFault.UNASSIGNED)
    if mobile_only and not re.fullmatch(_MOBILE, national):
        raise PhoneNumberError(PhoneFault.NOT_MOBILE)
    return national


def _by_library(clean: str, region: str, *, mobile_only: bool) -> str:
    """Read what is not plainly South African with ``phonenumbers``."""
    try:
        import phonenumbers  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        return _without_library(clean, region, mobile_only=mobile_only)
    if region not in phonenumbers.SUPPORTED_REGIONS:
        check_region(region)
    fault: PhoneFault | None = None
    try:
        number = phonenumbers.parse(clean, region)
    except phonenumbers.NumberParseException as error:
        fault = _PARSE_FAULTS.get(error.error_type, PhoneFault.NOT_A_NUMBER)
    if fault is not None:  # raised out here, so that the library's own exception, which may quote, is not its context
        raise PhoneNumberError(fault)
    if len(number.extension or "") >= _SECOND_NUMBER:
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


def to_text(value: object) -> str:
    """Return a phone number that came as text, a whole number, or a float that is a whole number, as text.

    Raises:
        PhoneNumberError: it is no whole number, or one too long for a float to hold exactly.

    """
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < _EXACT_FLOATS else _refuse(PhoneFault.TOO_LONG)
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) < _EXACT_FLOATS else _refuse(PhoneFault.TOO_LONG)
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
    return _API_COLUMN[False].fullmatch(joined + "\n") is not None


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
            if _API_COLUMN[self._mobile_only].fullmatch(joined + "\n"):
                return Staged(records, rows, [])
            numbers = _read_column(joined, len(column), mobile_only=self._mobile_only)
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
        try:
            return normalize(to_text(value), self._region, self._mobile_only)
        except PhoneNumberError as error:
            return error.kind.reason
        except ConfigurationError:  # of the region nothing is wrong: it was checked
            return Reason.NEEDS_PHONES


def _read_column(joined: str, count: int, *, mobile_only: bool) -> list[str]:
    """Return the number on each of ``count`` lines of South African numbers, "" for one that needs a closer look.

    None at all when the lines cannot be told apart. Everything is done on the whole column at once: a translation of
    bytes and one search, about 0.3 µs a number.
    """
    joined = _fold_column(joined)
    if ":" in joined:
        joined = f"\n{joined}".replace("\ntel:", "\n")[1:]
    if joined.count("\n") != count - 1:
        return []
    if "." in joined and (".0\n" in joined or joined.endswith(".0")):
        joined = "\n".join(map(_fold, joined.split("\n")))
    cleaned = joined.encode("ascii", "replace").translate(None, _PUNCTUATION).decode()
    if (numbers := _with_country_code(cleaned)) is not None and _API_COLUMN[mobile_only].fullmatch(numbers):
        return numbers.split("\n")[:-1]
    tails = _LINES[mobile_only].findall(cleaned)
    return [tail and "27" + tail for tail in tails]


def _with_country_code(cleaned: str) -> str | None:
    """Return ``cleaned`` with what stands before the national numbers replaced by 27, each line with its end.

    Replacing text is twice as fast as an expression. It reads too much into some lines, which then are too short or
    too long for the API's form and send the whole column to the expression. None where a + is out of place.
    """
    numbers = f"\n{cleaned}\n"
    pluses = numbers.count("+")
    if pluses:
        if numbers.count("\n+27") != pluses:
            return None
        numbers = numbers.replace("+", "")
    return numbers.replace("\n0027", "\n27").replace("\n270", "\n27").replace("\n0", "\n27")[1:]


def _fold_column(joined: str) -> str:
    """Fold what is not ASCII, a kind of character at a time: there are few kinds, and a replacement is cheap."""
    at = 0
    for _ in range(_KINDS):
        if joined.isascii() or (found := _NOT_ASCII.search(joined, at)) is None:
            break
        at = found.start()
        folded = _FOLD[ord(found[0])]
        # What folds to itself is in no number: any character that is in none will do in its place.
        joined = joined.replace(found[0], "?" if isinstance(folded, int) else folded)
    return joined


_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_KINDS = 64
"""Columns with more kinds of characters than this are not phone numbers in the main; the rest becomes '?'."""
