"""Passwords and signatures in addresses, which no log, record or page of a run shows."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TextIO

from kfp_mnist_mxnet.cli.logs import ESCAPE
from kfp_mnist_mxnet.storage.address import without_secrets


def secret_words(parameters: dict[str, Any]) -> dict[str, str]:
    """Return each URI in the parameters that holds a password or a signature, with it left out.

    Also without its scheme, as kfp makes the path /s3/... of s3://...
    """
    words = " ".join(strings(parameters)).split()
    hidden = {word: without_secrets(word) for word in words if without_secrets(word) != word}
    bare = {word.partition("://")[2]: uri.partition("://")[2] for word, uri in hidden.items()}
    return {**hidden, **{word: uri for word, uri in bare.items() if word}}


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def scrub(text: str, hidden: dict[str, str]) -> str:
    """Return a text with what must be hidden left out."""
    for secret, shown in hidden.items():
        text = text.replace(secret, shown)
    return text


@dataclasses.dataclass
class Scrubbed:
    """A text file that scrubs what is written into it: kfp prints colours and what it imports."""

    file: TextIO
    hidden: dict[str, str]

    def write(self, text: str) -> int:
        """Write a text without colours and what must be hidden."""
        return self.file.write(ESCAPE.sub("", scrub(text, self.hidden)))

    def __getattr__(self, name: str) -> Any:
        """Return what else a file has."""
        return getattr(self.file, name)


def scrub_all(value: Any, hidden: dict[str, str]) -> Any:
    """Return a value of JSON whose texts are scrubbed."""
    if isinstance(value, str):
        return scrub(value, hidden)
    if isinstance(value, dict):
        return {name: scrub_all(part, hidden) for name, part in value.items()}
    return [scrub_all(part, hidden) for part in value] if isinstance(value, list) else value
