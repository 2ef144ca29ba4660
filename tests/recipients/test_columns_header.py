"""What an error may say of a file's columns."""

import pytest

from mobiz_async import ConfigurationError
from mobiz_async.recipients.columns import field_sources


@pytest.mark.parametrize("cell", ["0821234567", "+27 (0)82 123-4567", "thandi@example.com"])
def test_a_first_row_of_data_is_not_quoted_as_a_header(cell):
    with pytest.raises(ConfigurationError) as caught:
        field_sources({"Number": "phone"}, ["Thandi", cell])
    assert (cell in str(caught.value), "no header" in str(caught.value)) == (False, True)


def test_the_columns_there_are_named():
    with pytest.raises(ConfigurationError, match="there are: first_name, cell2"):
        field_sources({"Number": "phone"}, ["first_name", "cell2"])
