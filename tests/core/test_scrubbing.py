"""A key that a reply quotes is taken out of it, in whatever way it is spelt."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from broken import Peer, serving

from mobiz_async import MobizClient, RequestError, RetryPolicy, Secret
from mobiz_async.scrubbing import scrubber

KEY = "aB3+dEf/gH1j&Kl=="
OTHER = "0123456789abcdef0123456789abcdef"


def dotnet(text: str) -> str:
    """As System.Text.Json writes it."""
    return re.sub(r"""[+&<>'"`]""", lambda found: f"\\u{ord(found[0]):04X}", text)


def every(form: str) -> Callable[[str], str]:
    return lambda text: "".join(form.format(ord(one)) for one in text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "System.Text.Json": dotnet,
    "Gson": lambda text: text.replace("=", "\\u003d").replace("&", "\\u0026"),
    "PHP": lambda text: text.replace("/", "\\/"),
    "PHP and .NET": lambda text: dotnet(text).replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(dotnet(text))[1:-1],
    "JSON, escaped throughout": every("\\u{:04x}"),
    "URL": lambda text: quote(text, safe=""),
    "URL, in lower case": lambda text: quote(text, safe="").lower(),
    "URL, escaped throughout": every("%{:02x}"),
    "URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "form": quote_plus,
    "+ read as a form's": unquote_plus,
    "HTML": html.escape,
    "HTML, decimal": lambda text: text.replace("&", "&amp;").replace("+", "&#43;"),
    "HTML, hexadecimal": lambda text: text.replace("&", "&#x26;").replace("+", "&#x2B;"),
    "HTML, by names": lambda text: html.escape(text).replace("+", "&plus;").replace("/", "&sol;"),
    "HTML in JSON": lambda text: dotnet(text.replace("&", "&amp;").replace("+", "&#43;")),
    "HTML, escaped throughout": every("&#{};"),
    "URL in HTML": lambda text: html.escape(f"?api_key={quote(text)}").removeprefix("?api_key="),
    "upper case": str.upper,
    "lower case": str.lower,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_key_is_found_in_every_spelling(spelling: str, key: str) -> None:
    spelt = SPELLINGS[spelling](key)

    assert scrubber(Secret(OTHER), Secret(KEY))(f'{{"message": "key {spelt} is bad"}}'.encode()) == (
        b'{"message": "key *** is bad"}'
    )


@pytest.mark.parametrize("key", ["sesame öffne Dich", "k3y\\9+f\\\\x", '"quoted"-key', "++++/////", "pässwörter😀"])
def test_a_key_may_be_any_text(key: str) -> None:
    scrub = scrubber(Secret(key))

    for spelt in (key, json.dumps(key)[1:-1], quote(key), html.escape(key), key.upper()):
        assert scrub(f"<{spelt}>".encode()) == b"<***>"


def test_a_body_without_a_key_stays_as_it_is() -> None:
    body = json.dumps({"message": f"50 % of #{KEY[:-1]} \\u0061 \\ {OTHER[1:]}"}).encode()

    assert scrubber(Secret(OTHER), Secret(KEY))(body) == body


def test_a_key_that_is_too_short_to_be_told_from_chance_is_not_looked_for() -> None:
    assert scrubber(Secret("status"), Secret(""))(b'{"status": 1}') == b'{"status": 1}'


@pytest.mark.parametrize("repeated", [KEY[:-1], KEY[:1], "\\", "\\u0026", "&", "amp;", "%25", "%", "+"])
def test_a_long_reply_is_looked_through_in_no_time(repeated: str) -> None:
    body = (KEY + repeated * ((1 << 20) // len(repeated))).encode()
    began = time.thread_time()

    scrubbed = scrubber(Secret(KEY), Secret(OTHER))(body)

    assert scrubbed.startswith(b"***")
    assert time.thread_time() - began < 5.0


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_exception_shows_a_key_however_the_reply_spells_it(spelling: str) -> None:
    spelt = SPELLINGS[spelling](KEY)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("500 X", f'{{"message": "no: {spelt}.", "activityId": "a-{spelt}-b"}}'.encode())

    async with serving(script) as seen:
        once = RetryPolicy(max_attempts=1)
        async with MobizClient(KEY, OTHER, base_url=seen.url, retry=once) as client:
            with pytest.raises(RequestError) as raised:
                await client.append("1", ["27821234567"])

    assert str(raised.value).endswith("(HTTP 500: no: ***.)")
    assert raised.value.reference == "a-***-b"


async def test_what_is_kept_of_a_reply_has_no_key_either() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("200 OK", f'{{"status": 1, "caller": "{dotnet(KEY)}"}}'.encode())

    async with serving(script) as seen, MobizClient(KEY, OTHER, base_url=seen.url) as client:
        receipt = await client.append("1", ["27821234567"])

    assert receipt.raw == {"status": 1, "caller": "***"}
