"""What is personal of a customer, as it is sealed; checked field by field, and shown with masks."""

from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any, Final, Self

from backoffice.customers import identity
from backoffice.privacy import masks
from backoffice.problems import Code, FieldError, Problem

GENDERS: Final = ("", "male", "female")


@dataclass(frozen=True, slots=True)
class Fields:
    """Personal data in clear; lives in memory for as long as a request. Days are ISO 8601 texts, "" is not known."""

    name: str
    certificate_number: str
    certificate_until: str = ""
    """Last day on which the certificate is valid; "" for one without an end."""
    phone: str = ""
    email: str = ""
    address: str = ""
    birth_date: str = ""
    gender: str = ""
    nationality: str = "CN"
    """ISO 3166-1, two letters."""
    occupation: str = ""
    legal_representative: str = ""
    contact: str = ""
    """Whom to talk to, of an enterprise."""

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Self:
        """Make from what was sealed; members that a later build has dropped are left out."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})

    def stored(self) -> dict[str, str]:
        """Give what is sealed: nothing for what is not known."""
        return {name: value for name, value in asdict(self).items() if value}

    def masked(self, kind: str) -> dict[str, str]:
        """Give it as lists and screens show it. The name of an enterprise is public."""
        person = kind == identity.PERSON
        return asdict(self) | {
            "name": masks.name(self.name) if person else self.name,
            "certificate_number": masks.certificate(self.certificate_number) if person else self.certificate_number,
            "phone": masks.phone(self.phone),
            "email": masks.email(self.email) if self.email else "",
            "address": masks.address(self.address),
            "birth_date": f"{self.birth_date[:4]}-**-**" if self.birth_date else "",
            "legal_representative": masks.name(self.legal_representative),
            "contact": masks.name(self.contact),
        }


def checked(kind: str, certificate_kind: str, given: Fields, today: date) -> Fields:
    """Check all fields together and fill in what the certificate tells. Problem naming every field that is wrong."""
    errors: list[FieldError] = []
    result = given

    def check(field: str, work: Any) -> None:
        nonlocal result
        try:
            result = replace(result, **{field: work()})
        except ValueError as error:
            errors.append(FieldError(_shown(field), str(error)))

    if not given.name.strip() or len(given.name) > 100:
        errors.append(FieldError("name", "is empty, or longer than 100 characters"))
    if any(not character.isprintable() for character in given.name):
        errors.append(FieldError("name", "has characters that cannot be printed"))
    check("certificate_number", lambda: identity.certificate(certificate_kind, given.certificate_number, kind))
    if given.phone:
        check("phone", lambda: identity.phone(given.phone))
    if given.email:
        check("email", lambda: identity.email(given.email))
    for field in ("certificate_until", "birth_date"):
        if getattr(given, field):
            check(field, lambda field=field: date.fromisoformat(getattr(given, field)).isoformat())
    if given.gender not in GENDERS:
        errors.append(FieldError("gender", "is neither male nor female"))
    if not (len(given.nationality) == 2 and given.nationality.isascii() and given.nationality.isupper()):
        errors.append(FieldError("nationality", "is not two capital letters (ISO 3166-1)"))
    if not errors:
        told = identity.birth_date(certificate_kind, result.certificate_number)
        if told is not None and result.birth_date not in {"", told.isoformat()}:
            errors.append(FieldError("birth_date", "is not the one of the certificate"))
        told_gender = identity.gender(certificate_kind, result.certificate_number)
        if told_gender and result.gender not in {"", told_gender}:
            errors.append(FieldError("gender", "is not the one of the certificate"))
        born = result.birth_date or (told.isoformat() if told else "")
        if born > today.isoformat():
            errors.append(FieldError("birth_date", "is yet to come"))
        result = replace(result, birth_date=born, gender=result.gender or told_gender)
    if errors:
        detail = "; ".join(f"{error.field}: {error.message}" for error in errors)
        raise Problem(Code.INVALID, detail, errors=errors)
    return result


def _shown(field: str) -> str:
    """The API's name of a field."""
    return {"certificate_number": "certificate.number", "certificate_until": "certificate.until"}.get(field, field)
