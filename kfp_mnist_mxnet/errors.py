"""What can go wrong, so that a caller can tell the cases apart.

ValueError
  InvalidInput       a parameter, a data set or a model is refused; retrying will not help
    NotFinite        a model returns NaN or infinity
    DamagedFile      a file has another format or digest than expected, or is truncated
    SourceNotFound   a source lacks a file or denies it; another mirror may have it
ConnectionError
  Unavailable        a server or a store fails; another try or another mirror may succeed
OSError
  DiskFull
MemoryError
  OutOfMemory
RuntimeError
  MissingLibrary     a system library, a driver, or code for this GPU is not there
  NodeLost           a node of a distributed training ended without saying why
FloatingPointError
  Diverged           the loss, a parameter or an output of the network became NaN or infinite

Each is also the built-in error above it, which is what the components' docstrings name.
"""

# What to do about a certificate that is not trusted.
OWN_AUTHORITY = "; SSL_CERT_FILE may name a file with the certificate of your own authority"


class InvalidInput(ValueError):
    """A parameter, a data set or a model is refused; retrying will not help."""


class DamagedFile(InvalidInput):
    """A file has another format or digest than expected, or is truncated."""


class NotFinite(InvalidInput):
    """A model returns NaN or infinity."""


class SourceNotFound(InvalidInput):
    """A source lacks a file or denies it; another mirror may have it."""


class Unavailable(ConnectionError):
    """A server or a store fails; another try or another mirror may succeed."""


class DiskFull(OSError):
    """There is no room for what a step writes."""


class OutOfMemory(MemoryError):
    """A step needs more memory than it has."""


class MissingLibrary(RuntimeError):
    """A system library, a driver, or code for this GPU is not there."""


class NodeLost(RuntimeError):
    """A node of a distributed training ended without saying why; starting again may help."""


class Diverged(FloatingPointError):
    """The loss, a parameter or an output of the network became NaN or infinite."""
