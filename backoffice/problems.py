"""What goes wrong, as the API tells it: RFC 9457 (problem+json) with a stable code.

`code` is for programs and never changes; `title` says the same in words, in the caller's language; `detail` is about
this case; `errors` names fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

LANGUAGES = ("en", "zh")
TYPE_PREFIX = "urn:tongbao:problem:"


class Code(Enum):
    """Every problem there is: HTTP status, and its title in English and Chinese."""

    INVALID = (422, "The request is not valid", "请求无效")
    MALFORMED = (400, "The request cannot be read", "请求无法解析")
    NOT_LOGGED_ON = (401, "Log on first", "请先登录")
    LOGON_REFUSED = (401, "User, password or code is wrong", "用户名、密码或验证码错误")
    SIGNATURE = (401, "The signature is not good", "签名无效")
    USER_LOCKED = (403, "The user is locked", "用户已锁定")
    NOT_PERMITTED = (403, "You may not do this", "没有权限")
    NOT_FOUND = (404, "There is no such thing", "对象不存在")
    METHOD_NOT_ALLOWED = (405, "Not this method", "不支持该方法")
    EXISTS = (409, "It exists already", "对象已存在")
    STATE = (409, "Its state does not allow this", "当前状态不允许此操作")
    SAME_PERSON = (409, "Another person must decide", "必须由另一人复核")
    IN_PROGRESS = (409, "The same request is under way", "相同请求正在处理")
    KEY_REUSED = (422, "The idempotency key belongs to another request", "幂等键已用于其他请求")
    KEY_MISSING = (400, "Idempotency-Key is missing", "缺少幂等键")
    VERSION_MISSING = (428, "If-Match is missing", "缺少 If-Match")
    CHANGED = (412, "It has been changed meanwhile", "对象已被修改")
    TOO_MANY = (429, "Too many requests", "请求过于频繁")
    SOLD_OUT = (409, "Not so much of it is left", "剩余额度不足")
    NOT_SUITABLE = (409, "The product does not suit the customer", "产品与客户风险承受能力不匹配")
    KEYS_MISSING = (503, "The keys of personal data are not there", "个人信息密钥不可用")
    PROVIDER_AWAY = (503, "The identity provider does not answer", "身份认证服务无响应")
    LEDGER_AWAY = (503, "The ledger does not answer", "账务引擎无响应")
    INTERNAL = (500, "Something went wrong here", "系统内部错误")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.value[0])

    def title(self, language: str) -> str:
        """Title in a language: zh, else English."""
        return str(self.value[2 if language == "zh" else 1])


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong: its path, and why."""

    field: str
    message: str


class Problem(Exception):  # noqa: N818 - the RFC's name
    """Raised by services; the API turns it into a response, and the transaction is undone."""

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`more` are members of the document beside the standard ones."""
        super().__init__(detail or code.title("en"))
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.more = dict(more or {})

    def document(self, language: str = "en", instance: str = "") -> dict[str, Any]:
        """Give the JSON document."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code.name.lower(),
            "code": self.code.name.lower(),
            "title": self.code.title(language),
            "status": self.code.status,
        }
        if self.detail:
            document["detail"] = self.detail
        if instance:
            document["instance"] = instance
        if self.errors:
            document["errors"] = [{"field": error.field, "message": error.message} for error in self.errors]
        return document | self.more


def invalid(field: str, message: str) -> Problem:
    """One field that is wrong."""
    return Problem(Code.INVALID, f"{field}: {message}", errors=[FieldError(field, message)])


def language_of(header: str) -> str:
    """Choose from Accept-Language: zh when it is asked for before English, else en."""
    best, chosen = -1.0, "en"
    for part in header.split(","):
        tag, _, rest = part.strip().partition(";")
        name = tag.strip().lower()[:2]
        try:
            weight = float(rest.partition("q=")[2] or 1) if rest else 1.0
        except ValueError:
            continue
        if name in LANGUAGES and weight > best:
            best, chosen = weight, name
    return chosen
