"""How is a group's broker reached and kept: by whom is it provisioned, and who signs its certificates?"""

import re
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator

from pipeline.broker.addresses import with_small_scheme
from pipeline.setting_values import Name, Table
from pipeline.topology import Edge

GROUP_PATHS: Final = ("ca_dir", "ca_file", "admin_password_file", "admin_cert_file", "admin_key_file")

CENTRE_USER: Final = "service.centre"
"""The centre's roles share one store, which holds more than the broker does: they share a broker user as well."""

_URL: Final = re.compile(r"^https?://[A-Za-z0-9.:\[\]_-]+/?$")

UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,80}$")]


class GroupSettings(Table):
    """How a group's broker is provisioned: needed by who provisions, and by nobody else."""

    vhost: Name = "onshi"
    """The virtual host that is ours alone."""
    management_url: str = Field(default="https://localhost:15671", pattern=_URL.pattern)
    """RabbitMQ's management, asked by `onshi provision` alone."""
    admin: UserName = "onshi-provision"
    """The management user who provisions; made by the broker's own configuration, never touched from here."""
    admin_password_file: Path | None = None
    """Holds that user's password."""
    ca_file: Path | None = None
    """Whom to believe when `management_url` is https; none means the system's authorities."""
    admin_cert_file: Path | None = None
    """The certificate of that user."""
    admin_key_file: Path | None = None
    """Shown to a management that lets nobody in without a certificate; the password is asked for all the same."""
    ca_dir: Path = Path("ca")
    """Where `onshi ca init` made the group's private authority."""
    edge_url: str | None = Field(default=None, pattern=r"^amqps://[^@\s]+$")
    """How edges reach the broker; written into the configuration of an enrolled machine."""
    others: tuple[UserName, ...] = ()
    """Users that are not ours and known, as one who watches; an audit passes over them."""
    other_vhosts: tuple[str, ...] = ("/",)
    """Virtual hosts that are not ours and known; an audit shows any other. `/` is RabbitMQ's own."""
    edge_connections: int = Field(default=8, ge=1)
    """The most connections one edge may have open."""
    vendor_connections: int = Field(default=4, ge=1)
    """The most connections one vendor may have open."""
    channels: int = Field(default=16, ge=1)
    """The most channels one user of an edge or vendor may have open."""
    max_connections: int = Field(default=5000, ge=1)
    """The most connections the whole vhost may have."""
    max_queues: int = Field(default=5000, ge=1)
    """The most queues it may have."""

    @field_validator("management_url", "edge_url", mode="before")
    @classmethod
    def _has_a_small_scheme(cls, url: object) -> object:
        return with_small_scheme(url) if isinstance(url, str) else url

    @model_validator(mode="after")
    def _has_no_open_password(self) -> Self:
        host = re.sub(r"^https?://", "", self.management_url).rsplit(":", 1)[0].rstrip("/")
        if self.management_url.startswith("http://") and host not in ("localhost", "127.0.0.1", "[::1]"):
            raise ValueError("management_url: without TLS only on this machine")
        if (self.admin_cert_file is None) != (self.admin_key_file is None):
            raise ValueError("admin_cert_file and admin_key_file belong together")
        return self


def edge_user(edge: Edge) -> str:
    """Name an edge's broker user, which is the CN of its certificate."""
    return f"edge.{edge.clinic}.{edge.edge}"


def vendor_user(vendor: str) -> str:
    """Name a vendor's broker user, which is the CN of its certificate."""
    return f"vendor.{vendor}"
