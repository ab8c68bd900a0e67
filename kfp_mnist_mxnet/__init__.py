"""Train, judge and use a symbolic MXNet CNN on images: the library behind the components."""

__version__ = "0.2.0"
