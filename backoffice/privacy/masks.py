"""Masks: what of personal data is shown to who need not see it. Widths after JR/T 0171-2020 and banks' practice (m)."""


def _keep(text: str, first: int, last: int) -> str:
    """Keep the ends; what is too short for that keeps its first character alone."""
    if len(text) <= first + last:
        return text[:1] + "*" * max(len(text) - 1, 0)
    return text[:first] + "*" * (len(text) - first - last) + (text[-last:] if last else "")


def name(text: str) -> str:
    """Keep the family name's character; of names in letters the first of each word."""
    if text and text[0].isascii():
        return " ".join(word[:1] + "*" * (len(word) - 1) for word in text.split())
    return _keep(text, 1, 0)


def certificate(text: str) -> str:
    """Three first and four last characters."""
    return _keep(text, 3, 4)


def phone(text: str) -> str:
    """Three first and four last digits."""
    return _keep(text, 3, 4)


def card(text: str) -> str:
    """Six first and four last digits: issuer and end, as on receipts."""
    return _keep(text, 6, 4)


def email(text: str) -> str:
    """First character, and the domain."""
    local, at, domain = text.rpartition("@")
    return f"{local[:1]}***{at}{domain}" if at else _keep(text, 1, 0)


def address(text: str) -> str:
    """Province and city; the house is nobody's business."""
    return _keep(text, min(6, len(text) // 2), 0)
