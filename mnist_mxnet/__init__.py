"""Train, judge and use a symbolic MXNet CNN on images: the library behind the components."""

__version__ = "0.1.0"
