"""How is the broker reached: by which URL, and with which certificates?"""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from pipeline.broker.addresses import each_url, with_small_scheme
from pipeline.broker.tls import Certificates
from pipeline.setting_values import Table


class BrokerSettings(Table):
    """How the broker is reached."""

    url: str = Field(default="embedded:", pattern=r"^(embedded:|amqps?://\S+)", repr=False)
    """`embedded:` for one clinic on one machine; `amqps://…`, with several nodes one after the other, for a group."""
    declare: bool = True
    """Make the topology at start; false where provisioning is the only declarer."""
    ca_file: Path | None = None
    """Whom to believe about the broker of an amqps URL."""
    cert_file: Path | None = None
    """This machine's certificate; with it the broker knows us by its name (EXTERNAL), not by a password."""
    key_file: Path | None = None
    """Belongs to `cert_file`."""

    @property
    def certificates(self) -> Certificates | None:
        """What the broker is reached with, where files are named."""
        if self.ca_file is None and self.cert_file is None:
            return None
        return Certificates(self.ca_file, self.cert_file, self.key_file)

    @model_validator(mode="after")
    def _has_both_halves(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("broker: cert_file and key_file belong together")
        if (self.cert_file or self.ca_file) and not self.url.startswith("amqps:"):
            raise ValueError("broker: certificates need an amqps URL")
        return self

    @field_validator("url", mode="before")
    @classmethod
    def _has_a_small_scheme(cls, url: object) -> object:
        return with_small_scheme(url) if isinstance(url, str) else url

    @field_validator("url")
    @classmethod
    def _can_be_read(cls, url: str) -> str:
        if url.startswith("embedded:"):
            return url
        try:
            each_url(url)
        except ValueError as error:
            raise ValueError(f"broker.url: {error}") from None
        return url
