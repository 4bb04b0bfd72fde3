"""Sizes and durations for people."""


def bytes_in_words(size: float) -> str:
    """A size in bytes, such as "3.4 GB": powers of 1000, as disks are sold."""
    for unit, most in (("MB", 1e9), ("GB", 1e12)):
        if size < most:
            return f"{size / most * 1000:.{0 if unit == 'MB' else 1}f} {unit}"
    return f"{size / 1e12:.1f} TB"


def seconds_in_words(seconds: float) -> str:
    """A duration, such as "40 s", "12 min" or "3 h 20 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.1f} days"
