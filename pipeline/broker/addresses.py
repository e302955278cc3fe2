"""Which nodes of a broker does a URL name?

A cluster is one URL with several hosts, which share all the rest: `amqps://b1:5671,b2:5671,b3:5671/onshi`.
"""

import re
from urllib.parse import urlsplit

_PARTS = re.compile(r"(?P<scheme>[a-z]+://)(?:(?P<who>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?P<rest>.*)", re.DOTALL)


def with_small_scheme(url: str) -> str:
    """Write `AMQPS://…` as `amqps://…`: a scheme is the same in capitals (RFC 3986, section 3.1)."""
    scheme, colon, rest = url.partition(":")
    return f"{scheme.lower()}{colon}{rest}"


def each_url(url: str) -> tuple[str, ...]:
    """Write the URL of each host, in the order given; one without a host or a port keeps the scheme's own.

    Raises:
        ValueError: no URL, or a host among several is empty. The text never shows the URL, which may hold a password.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise ValueError("is not a URL")
    hosts = parts["hosts"].split(",")
    if len(hosts) > 1 and not all(host.split(":")[0] for host in hosts):
        raise ValueError("names an empty host")
    who = "" if parts["who"] is None else f"{parts['who']}@"
    urls = tuple(f"{parts['scheme']}{who}{host}{parts['rest']}" for host in hosts)
    try:
        _ = [urlsplit(each).port for each in urls]
    except ValueError:
        raise ValueError("is not a URL") from None
    return urls
