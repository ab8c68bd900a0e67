"""URIs: one parser for all that a user may write, with one rule on credentials.

A URI in a log or an artifact is `Address.shown`, which has no user, password, query or fragment.
"""

import dataclasses
import pathlib
import re
import urllib.parse

from kfp_mnist_mxnet.errors import InvalidInput, SourceNotFound

OBJECT_STORES = ("s3", "minio")


@dataclasses.dataclass(frozen=True)
class Address:
    """A URI in its parts; a scheme of "" stands for a path.

    host: with the port, without user and password; user: `user:password`, or ""; path: as it
    stands in the URI, with its %20.
    """

    text: str
    scheme: str
    user: str
    host: str
    path: str
    query: str
    fragment: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the parts of a URI.

        Raises:
            InvalidInput: it is none, or it names an object or a file and has ? or #, which would
                cut the name.
        """
        try:
            split = urllib.parse.urlsplit(text)
        except ValueError as error:
            raise InvalidInput(f"{without_secrets(text)} is no address: {error}") from error
        if split.scheme in (*OBJECT_STORES, "file") and re.search("[?#]", text):
            raise InvalidInput(
                f"{without_secrets(text)} is followed by ? or #: give it without credentials, and "
                "write %3F or %23 for one that is part of a name"
            )
        user, _, host = split.netloc.rpartition("@")
        return cls(text, split.scheme, user, host, split.path, split.query, split.fragment)

    @property
    def shown(self) -> str:
        """The URI as it may be logged and stored."""
        return without_secrets(self.text)

    @property
    def bucket(self) -> str:
        """The bucket of an object store's URI."""
        return self.host

    def key(self, name: str) -> str:
        """Return the name of a file's object: a %20 in the path stands for a space there."""
        return f"{urllib.parse.unquote(self.path).strip('/')}/{name}".lstrip("/")

    @property
    def has_secrets(self) -> bool:
        """Whether it holds what may be a password or a signature."""
        return bool(self.user or self.query or self.fragment)

    def check_server(self) -> None:
        """Check that it names an HTTP server; messages do not show it.

        Raises:
            InvalidInput: it has another scheme, no host, or a port that is none.
        """
        if self.scheme not in ("http", "https"):
            raise InvalidInput(f"the scheme is {self.scheme!r}")
        if not re.sub(r":\d*$", "", self.host):
            raise InvalidInput("there is no host")
        try:
            _ = urllib.parse.urlsplit(f"//{self.host}").port  # this parses it
        except ValueError:
            raise InvalidInput("the port is no number from 0 to 65535") from None

    def local_path(self) -> pathlib.Path:
        """Return the path of a file URI.

        Raises:
            InvalidInput: it names another machine, or its path is relative.
        """
        if self.host not in ("", "localhost") or not self.path.startswith("/"):
            raise SourceNotFound(f"{self.text} is no path on this machine, expected file:///path")
        return pathlib.Path(urllib.parse.unquote(self.path))


def without_secrets(uri: str) -> str:
    """Return a URI as it may be logged and stored: no user, password, query or fragment."""
    if "://" not in uri:  # a path, or user:password@host:port
        user = uri.rpartition("@")[0]
        return uri if "/" in user or ":" not in user else uri.rpartition("@")[2]
    # Not urlsplit, which refuses some texts.
    return re.sub(r"(?s)(?<=://)[^/?#]*@|[?#].*", "", uri)


def refusal(start: str, address: Address) -> InvalidInput:
    """Return the error that refuses a URI without showing what may be a password in it."""
    return InvalidInput(
        f"{start}bucket/prefix without credentials, "
        f"got the scheme {address.scheme!r} and the path {address.path!r}"
    )
