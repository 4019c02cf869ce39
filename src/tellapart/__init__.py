"""Train text classifiers that tell look-alike texts apart."""

__version__ = "0.1.0"
