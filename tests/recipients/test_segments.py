"""SMS segments: our count against an independent one, and pairs at the seams worked out by hand."""

import random

import pytest
import smsutil

from mobiz_async.recipients.segments import Segments, count

CORPUS = [
    "Hi Thandi, your parcel is ready.",
    "Prys: €20 vir 'n stel {nuwe} bande",
    "Goeie môre, jou bestelling is gereed vir afhaal by die winkel. Sê asseblief vooraf as jy later kom. " * 2,
    "Geagte kliënt, die hê-lys is oop: ë, ï, ô, û en ê is almal daar.",
    "Sawubona Thandi, iphasela lakho selifikile. Siyabonga ngokusithenga, uhlale kahle. " * 4,
    "Molo, ixabiso yi-R120 \u2013 umyalezo weWhatsApp 👋🏽",
    "👨‍👩‍👧‍👦" * 12,
    "🎉" * 35,
    "🎉" * 36,
    "line one\r\nline two\f{[~]}|^\\",
    "Ελλάδα ΓΔΘΛΞΠΣΦΨΩ",
    "`backtick`",
]


@pytest.mark.parametrize("text", CORPUS)
def test_corpus_agrees_with_smsutil(text):
    expected = smsutil.split(text)
    found = count(text)
    assert (len(expected.parts), expected.encoding == "gsm0338") == (found.parts, found.encoding == "GSM-7")


def test_random_texts_agree_with_smsutil():
    """Whatever is thrown together from both alphabets and pairs, both counts agree."""
    rng = random.Random(7)
    pool = ["plain words ", "€", "😀", "ê", "{", "a", "\n", "\f", "ç", "Ç", "é", "Đ"]
    for _ in range(3000):
        few = rng.sample(pool, 3) + ["a"] * 5
        text = "".join(rng.choice(few) for _ in range(rng.randrange(rng.choice([20, 80, 170, 330]))))
        assert len(smsutil.split(text).parts) == count(text).parts, ascii(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 160, Segments("GSM-7", 1, 160)),
        ("a" * 161, Segments("GSM-7", 2, 161)),
        ("a" * 158 + "€", Segments("GSM-7", 1, 160)),
        ("a" * 159 + "€", Segments("GSM-7", 2, 161)),
        # 152 + a pair: the pair moves to the second part, which then takes 2 + 151.
        ("a" * 152 + "€" + "a" * 151, Segments("GSM-7", 2, 305)),
        ("a" * 152 + "€" + "a" * 152, Segments("GSM-7", 3, 306)),
        # the same at the second seam, shifted by the unit lost at the first.
        ("a" * 152 + "€" + "a" * 150 + "€" + "a" * 151, Segments("GSM-7", 3, 457)),
        ("a" * 152 + "€" + "a" * 150 + "€" + "a" * 152, Segments("GSM-7", 4, 458)),
        # a pair that ends exactly at the seam loses nothing.
        ("a" * 151 + "€" + "a" * 153, Segments("GSM-7", 2, 306)),
        # all pairs: 76 to a part of 153, for the last septet stays empty.
        ("€" * 80, Segments("GSM-7", 1, 160)),
        ("€" * 152, Segments("GSM-7", 2, 304)),
        ("€" * 153, Segments("GSM-7", 3, 306)),
        ("ê" * 70, Segments("UCS-2", 1, 70, "ê")),
        ("ê" * 71, Segments("UCS-2", 2, 71, "ê")),
        ("ê" * 134, Segments("UCS-2", 2, 134, "ê")),
        ("a" * 66 + "😀" + "a" * 65, Segments("UCS-2", 2, 133, "😀")),
        ("a" * 66 + "😀" + "a" * 66, Segments("UCS-2", 3, 134, "😀")),
        ("😀" * 66, Segments("UCS-2", 2, 132, "😀")),
        ("😀" * 67, Segments("UCS-2", 3, 134, "😀")),
    ],
)
def test_a_pair_never_straddles_two_parts(text, expected):
    assert expected == count(text)


def test_an_empty_text_takes_one_message_of_the_default_alphabet():
    """smsutil counts one part as well, but calls an empty text Unicode."""
    assert count("") == Segments("GSM-7", 1, 0)


def test_the_first_character_outside_gsm7_is_named():
    assert count("naïve \u2013 ê").forced_by == "ï"


def test_a_lone_surrogate_is_one_unit_and_no_error():
    assert count("\ud83d") == Segments("UCS-2", 1, 1, "\ud83d")


def test_the_cedilla_is_in_the_alphabet_as_a_capital_only():
    assert [count("Ç").encoding, count("ç").encoding] == ["GSM-7", "UCS-2"]
