"""What is kept of the person of a grant, sealed?"""

from pipeline.hidden import Hidden


class PersonDetail(Hidden):
    """What a request needs to name the person of a grant (`grants.sealed_person`, key class `standing`)."""

    insurer_number: str | None = None
    symbol: str | None = None
    number: str | None = None
    branch_number: str | None = None
    birthdate: str | None = None
    name: str | None = None
    kana: str | None = None
    card_classification: str | None = None
    institution_code: str | None = None
    """To which the consent was given; a clinic may have had another one before."""
