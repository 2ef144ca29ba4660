"""What the tests of files share: writing one, reading it, and reading it up to where it breaks."""

import io

import pytest

from mobiz_async.recipients.sources import SourceFileError, open_recipients

ROWS = [{"Number": "0821234567", "Message": "Hi, Thandi"}, {"Number": "0711234567", "Message": "Sawubona"}]
CSV = 'Number,Message\n0821234567,"Hi, Thandi"\n0711234567,Sawubona\n'


def read(source, **options):
    with open_recipients(source, **options) as recipients:
        return list(recipients)


def stream(text, encoding="utf-8"):
    return io.BytesIO(text.encode(encoding) if isinstance(text, str) else text)


def rows_before_error(source, **options):
    records = []
    with pytest.raises(SourceFileError) as caught, open_recipients(source, **options) as recipients:
        records.extend(recipients)
    return len(records), caught.value


def many(count, quote=""):
    return "Number,Message\n" + "".join(f"{n},{quote}text {n}{quote}\n" for n in range(count))
