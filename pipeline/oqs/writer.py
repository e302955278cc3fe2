"""How does a request become the bytes of its file?

UTF-8, the declaration of the service's own files, elements in the order of the model's fields, absent values left
out (oqs-interface sections 3.0 and 4). The caller names the file and publishes it by renaming.
"""

from typing import Final

from lxml import etree
from pydantic import BaseModel

from pipeline.oqs.mapping import Tag
from pipeline.oqs.reader import ROOT
from pipeline.oqs.requests import Request

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'


def render(request: Request) -> bytes:
    """Write a request."""
    root = etree.Element(ROOT)
    header = etree.SubElement(root, "MessageHeader")
    body = etree.SubElement(root, "MessageBody")
    _write_fields(request.header, header)
    _write_fields(request, body)
    text = etree.tostring(root, encoding="unicode", pretty_print=True)
    return (_DECLARATION + text).encode("utf-8")


def _write_fields(model: BaseModel, parent: etree._Element) -> None:
    for name, info in type(model).model_fields.items():
        tag = next((mark for mark in info.metadata if isinstance(mark, Tag)), None)
        value = getattr(model, name)
        if tag is None or name == "header" or value in (None, ()):
            continue
        holder = etree.SubElement(parent, tag.within) if tag.within else parent
        for item in value if isinstance(value, tuple) else (value,):
            _write(tag.name, item, holder)


def _write(tag: str, value: BaseModel | str, parent: etree._Element) -> None:
    element = etree.SubElement(parent, tag)
    if isinstance(value, BaseModel):
        _write_fields(value, element)
    else:
        element.text = value
