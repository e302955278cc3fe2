"""What did we ask, and about whom, as the store keeps it sealed? (`requests.sealed_request`)

Consent writes it before the order leaves; reconciliation decides answers from it. Bound to
`contents.request_context`, key class `standing`.
"""

from pipeline.hidden import Hidden


class RequestDetail(Hidden):
    """One request of ours. Person fields are as they were written into the request."""

    base_name: str
    """File name of the request without extension, e.g. `OQSsiquc01req_202605120011`."""
    arbitrary_file_identifier: str
    """What an answer must repeat; of a download, which carries none itself, that of its upload."""
    patient_id: str | None = None
    """Chart number of the patient it was asked for; none when nobody was matched."""
    insurer_number: str | None = None
    symbol: str | None = None
    number: str | None = None
    branch_number: str | None = None
    birthdate: str | None = None
    """YYYYMMDD"""
    name: str | None = None
    kana: str | None = None
    reference_number: str | None = None
    """What was to be registered (照会番号); none for any other request."""
    reception_number: str | None = None
    """Of the bulk exchange that is downloaded (受付番号); none for any other request."""


class RequestMessage(Hidden):
    """What the service said to a request (`requests.sealed_message`, bound to the same context and key class)."""

    layer: str
    """`Layer` of the answer: which of the four error layers spoke."""
    code: str | None = None
    text: str | None = None
