"""The exceptions of mobiz_async, branched by what the caller should do about them.

    MobizError
    ├── ConfigurationError        mend the settings; nothing was sent
    ├── InvalidRecordError        mend the record (row, field, reason); it was not sent
    ├── SourceError               mend the source, which raised; report says what was sent
    ├── SourceChangedError        the source differs from what the journal saw; nothing sent after it
    ├── JournalError              the journal cannot be written or used; nothing is sent without it
    │   └── JournalLostError      its file was removed, moved or replaced: put it back first
    └── RequestError              one POST did not end in acceptance
        ├── NotSentError          provably not applied: safe to send again
        │   ├── ConnectError      no connection could be made
        │   ├── ThrottledError    429, or 503 with Retry-After (retry_after, seconds)
        │   └── QuotaExceededError  the subscription's call volume is used up (retry_after, seconds)
        ├── RejectedError         the API said no: sending the same again is pointless
        │   ├── AuthenticationError      subscription key or api_key refused (401, 403; result code 0)
        │   ├── EngagementNotFoundError  no engagement for the trigger key (result code 1)
        │   ├── InvalidPayloadError      customer data not valid (result code 2; 400, 422)
        │   ├── MissingFieldsError       required parameters missing (result code 4)
        │   └── PayloadTooLargeError     the body is larger than the gateway takes (413)
        └── OutcomeUnknownError   it may have been applied: ask the vendor before sending it again

No exception holds a key, a phone number, a message or any other part of a record; each can be pickled and copied. What
a server says in words is shown without numbers, addresses, URLs and whatever it puts in quotes.
Once a bulk run has begun, an error that ends it carries the balanced report in ``report``.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobiz_async.reports import BulkReport, TriggerReport

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "ConnectError",
    "EngagementNotFoundError",
    "InvalidPayloadError",
    "InvalidRecordError",
    "JournalError",
    "JournalLostError",
    "MissingFieldsError",
    "MobizError",
    "NotSentError",
    "OutcomeUnknownError",
    "PayloadTooLargeError",
    "QuotaExceededError",
    "Reason",
    "RejectedError",
    "RequestError",
    "SourceChangedError",
    "SourceError",
    "ThrottledError",
]


_NUMBER_LIKE = re.compile(r"(?:\d[\s().-]*){6}").search


class Reason(enum.StrEnum):
    """Why a record cannot go, or does not go: the words used in errors, counts and reject files."""

    NOT_A_RECORD = "not a mapping, an attrs or dataclass instance, or a number as text"
    MISSING = "missing"
    EMPTY = "empty"
    NOT_TEXT = "not text"
    NOT_FINITE = "not a finite number"
    BINARY = "bytes cannot be sent as JSON"
    NOT_ENCODABLE = "cannot be written as JSON"
    KEY_NOT_TEXT = "a field name is not text"
    SAME_NAME = "two fields of one name"
    TOO_LARGE = "larger than one request may be"
    UNKNOWN_FIELD = "not a field of the list"
    NOT_NUMERIC = "not numeric"
    NOT_EMAIL = "not an e-mail address"
    NOT_MSISDN = "not a phone number in the API's form (digits only, with the country code)"
    NOT_A_NUMBER = "not a phone number"
    TOO_SHORT = "phone number too short"
    TOO_LONG = "phone number too long"
    NOT_MOBILE = "not a mobile number"
    UNASSIGNED = "phone number in no assigned range"
    NEEDS_PHONES = "a phone number outside South Africa, which needs: pip install 'mobiz-async[phones]'"
    NO_VALUE = "a cell of the sheet holds an error such as #N/A, or a formula that was never calculated"
    RUINED = "phone number ruined by a spreadsheet (written as 2.78E+10)"
    DUPLICATE = "duplicate"
    SUPPRESSED = "on the suppression list"
    RAGGED = "row has more or fewer cells than the header"
    MALFORMED = "cannot be read: broken quotes or broken JSON"


class MobizError(Exception):
    """The base of every exception that mobiz_async raises on purpose."""

    report: BulkReport | TriggerReport | None = None
    """What a run had done when this error ended it; None outside runs."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments would make pickle call __init__ wrongly. The state comes apart from the making, since
        # an error that ended a run holds the report, which holds the error.
        return _restore, (type(self), self.args), self.__dict__


def _restore(kind: type[MobizError], args: tuple[object, ...]) -> MobizError:
    error = kind.__new__(kind)
    error.args = args
    return error


class ConfigurationError(MobizError):
    """A setting is missing or contradicts another, or an extra is not installed; raised before anything is sent.

    ``setting`` is the keyword at fault, ``variable`` the environment variable that it may come from instead, ``what``
    is wrong with it. Each of the former two is None where there is no single one; the message is all three.
    """

    def __init__(self, what: str, *, setting: str | None = None, variable: str | None = None) -> None:
        """``what`` is the message, but for the ``setting`` that it begins with."""
        named = setting if variable is None else f"{setting} ({variable})"
        super().__init__(what if setting is None else f"{named} {what}")
        self.what = what
        self.setting = setting
        self.variable = variable


class InvalidRecordError(MobizError):
    """A record that cannot be sent. ``row`` counts from 1 in the order of the source.

    The offending value is never part of the error: only its place and the reason are.
    """

    def __init__(self, row: int, field: str | None, reason: Reason | str) -> None:
        """Name the record by its row, the field (None for the record itself) and the reason."""
        # A file without a header has its first recipient's number or address for a field name.
        if field is not None and "@" in field:
            field = "[address]"
        elif field is not None and _NUMBER_LIKE(field):
            field = "[number]"
        where = f"record {row:,}" if field is None else f"record {row:,}, field {field!r}"
        super().__init__(f"{where}: {reason}")
        self.row = row
        self.field = field
        self.reason = reason


class SourceError(MobizError):
    """The iterable of records raised, or one of its records when it was read; ``row`` is that record's, from 1.

    ``__cause__`` is the exception of the source's own code, or the record's, as it was raised.
    """

    def __init__(self, row: int, kind: str) -> None:
        """Name the row and the class of the source's exception (never its text)."""
        super().__init__(f"the source of records raised {kind} at record {row:,}")
        self.row = row
        self.kind = kind


class SourceChangedError(MobizError):
    """On resume the source differs from what the journal recorded; ``row`` is the first record that does.

    This run has sent nothing at or after that record. What the journal does not know again in its place is unknown in
    the report: an earlier run may have sent it from another. Put the source right, and the journal can say.
    """

    def __init__(self, row: int) -> None:
        """Name the first record that differs, from 1."""
        super().__init__(f"the source has changed since the journal was written: record {row:,} differs")
        self.row = row


class JournalError(MobizError):
    """The journal cannot be opened, belongs to another run, is in use, or a write to it failed."""


class JournalLostError(JournalError):
    """The journal's file is not where it was: somebody has removed, moved, replaced or cut it during the run.

    What was sent is in the file that was there. Without it the same call would send all of that again.
    """


class RequestError(MobizError):
    """One operation did not end in acceptance.

    ``operation`` is the vendor's name of it, ``status`` the HTTP status of the last answer (None without one),
    ``attempts`` how many POSTs were begun, ``result_code`` the vendor's code where the answer had one, ``reference``
    the gateway's activity id or the message reference, to quote to the vendor's support, as it came but for numbers
    that were sent, ``retry_after`` the seconds that the answer asked to wait (None where it named none).
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        status: int | None = None,
        attempts: int = 0,
        result_code: int | None = None,
        reference: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take a message that is free of secrets and of recipients' data."""
        super().__init__(message)
        self.operation = operation
        self.status = status
        self.attempts = attempts
        self.result_code = result_code
        self.reference = reference
        self.retry_after = retry_after


class NotSentError(RequestError):
    """Provably not applied; sending it again cannot reach anyone twice."""


class ConnectError(NotSentError):
    """No connection: refused, name not found, TLS handshake failed, or timed out before a byte went out."""


class ThrottledError(NotSentError):
    """The gateway's rate limit: 429, or 503 with ``Retry-After``. ``retry_after`` is in seconds, or None."""


class QuotaExceededError(NotSentError):
    """The subscription's call volume is used up (403, "Out of call volume quota"); ``retry_after`` in seconds."""


class RejectedError(RequestError):
    """The API or its gateway answered that it did not take the request."""


class AuthenticationError(RejectedError):
    """Credentials refused: result code 0 (API_Trigger_Engagement_Auth_Failed), 401, or a 403 that is no quota's."""


class EngagementNotFoundError(RejectedError):
    """Result code 1 (API_Trigger_Engagement_Not_Found): no engagement for the trigger key."""


class InvalidPayloadError(RejectedError):
    """Result code 2 (API_Trigger_Invalid_Customer), or HTTP 400 or 422: the data is not what the API takes."""


class MissingFieldsError(RejectedError):
    """Result code 4 (API_Trigger_Missing_Vars): some of the required parameters are missing."""


class PayloadTooLargeError(RejectedError):
    """HTTP 413: the body is larger than the gateway takes."""


class OutcomeUnknownError(RequestError):
    """The POST may or may not have been applied, and the API has no way to ask.

    It is not sent again, unless a bulk run was asked to (``on_unknown="resend"``). ``attempts`` says how often it was
    begun; of several attempts one at least may have been applied, whatever the last one's answer was.
    """
