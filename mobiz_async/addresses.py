"""Where requests go: the address of the API, and the proxy on the way to it."""

from __future__ import annotations

import ipaddress
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from mobiz_async.errors import ConfigurationError

__all__ = ["check_base_url", "proxy_of_environment"]


def check_base_url(base_url: str, *, allow_insecure: bool = False) -> URL:
    """Return ``base_url`` parsed; raise ``ConfigurationError`` unless it is https, or http to this machine."""
    try:
        url = URL(base_url)
    except (ValueError, TypeError):
        raise _unusable("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise _unusable("is not an http(s) URL")
    if url.user or url.password or url.query_string or url.fragment:
        raise _unusable("takes no user, password, query or fragment")
    if url.scheme == "http" and not allow_insecure and not _is_loopback(url.host):
        raise _unusable(
            "is plain http, which would show the key and the recipients to the network: use https, "
            "or set MOBIZ_ALLOW_INSECURE=1"
        )
    return url.with_path(url.path.rstrip("/"))


def _unusable(what: str) -> ConfigurationError:
    return ConfigurationError(what, setting="base_url", variable="MOBIZ_BASE_URL")


def proxy_of_environment(url: URL) -> URL | None:
    """Return the proxy for ``url`` by ``HTTPS_PROXY`` and ``NO_PROXY``, or on some systems by their settings.

    None where there is none, and for this machine. Raises ``ConfigurationError`` for what is no address of a proxy.
    """
    host = url.host or ""
    if _is_loopback(host) or proxy_bypass(host):
        return None
    proxy = _as_proxy(getproxies().get(url.scheme) or "")  # no name for the text: there may be a password in it
    if proxy is not None and not proxy.host:
        variable = f"{url.scheme.upper()}_PROXY"
        raise ConfigurationError("is not the address of an http(s) proxy", setting="trust_env", variable=variable)
    return proxy


def _as_proxy(text: str) -> URL | None:
    """Return the address of a proxy; an empty one where it is none, None where there is no text."""
    if not text:
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        return URL()
    return proxy if proxy.scheme in ("http", "https") else URL()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
