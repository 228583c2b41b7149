"""lmkd: an early low-memory killer with a compressed swap store, for embedded boards without a swap disk."""

__version__ = "0.1.0"
