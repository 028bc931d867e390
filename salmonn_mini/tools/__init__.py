"""Benchmarks, the doctor, and plans of training runs."""


def size(bytes_: float) -> str:
    """Bytes in GB or MB, for reading."""
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.1f} MB"
