"""An institution's own checks: small Python functions, read, held to a short list of what they may do, and compiled.

    from engine import risk

    LARGEST = 500

    @risk.check(reasons={1: "too_large_for_its_type"})
    def market_orders(order, limits, exposure):
        if order["type"] == 1 and order["quantity"] > LARGEST:
            return 1
        return risk.ACCEPT

`order` is a RISK_ORDER, `limits` and `exposure` are the account's LIMITS and EXPOSURE (engine/_core/risk_records.pxd
says what the fields mean). What is compiled is built from what was read, so a check can do nothing that is not on the
list. Its arithmetic is checked: a result beyond 64 bits, or a division by zero, is no verdict, and the order is refused
with `risk_failed`. The same holds when it is called from Python, where it raises.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import util
from pathlib import Path
from types import FunctionType
from typing import Any

from engine._core.risk_records import EXPOSURE, LIMITS, RISK_ORDER
from engine.risk import arithmetic
from engine.risk.kernel import ACCEPT

RESERVED = frozenset({"abs", "max", "min", "range", *arithmetic.FUNCTIONS})
"""Names that rebuilt checks call functions by."""
CHECKS_MAX = 16
"""Checks that an engine takes."""
NUMBERS_PER_CHECK = 1_000
ROUNDS_MAX = 1_000
"""Rounds of all loops of a check, those inside others multiplied."""
INT64 = range(-(2**63), 2**63)

FIELDS: dict[str, tuple[str, ...]] = {
    "order": RISK_ORDER.names or (),
    "limits": LIMITS.names or (),
    "exposure": EXPOSURE.names or (),
}
FUNCTIONS = ("abs", "max", "min")
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.FloorDiv: "divide",
    ast.Mod: "remainder",
}
BITWISE = (ast.BitAnd, ast.BitOr, ast.BitXor)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class CheckError(Exception):
    """A check that cannot be one: the file, the line, and what is wrong. No engine takes it."""


class Check:
    """A registered check. Calling it is calling the function as it was read, un-jitted."""

    def __init__(self, name: str, reasons: Mapping[int, str], plain: Callable[..., int], place: str) -> None:
        self.name = name
        self.reasons = dict(reasons)
        self.place = place
        """File and line."""
        self.plain = plain
        self._compiled: Any = None

    def __call__(self, order: Any, limits: Any, exposure: Any) -> int:
        """ACCEPT or a reason number. Raises OverflowError and ZeroDivisionError where the engine refuses the order."""
        return int(self.plain(order, limits, exposure))

    def __repr__(self) -> str:
        return f"<check {self.name} at {self.place}>"

    @property
    def address(self) -> int:
        """Of the compiled function, which is compiled when this is first asked for. Raises CheckError."""
        if self._compiled is None:
            from engine.risk.compiled import compile_check

            try:
                self._compiled = compile_check(self.plain)
            except Exception as error:
                raise CheckError(f"{self.place}: {self.name} cannot be compiled: {error}") from error
        return int(self._compiled.address)


_registered: list[Check] = []


def check(*, reasons: Mapping[int, str]) -> Callable[[Callable[..., int]], Check]:
    """Registers a function `(order, limits, exposure) -> int` as a check.

    `reasons`: the numbers 1 … 999 that it may return, and their names (lower case, digits and underscores). Raises
    CheckError.
    """

    def register(function: Callable[..., int]) -> Check:
        made = read(function, reasons)
        if any(other.name == made.name for other in _registered):
            raise CheckError(f"{made.place}: there is a check called {made.name} already")
        if len(_registered) == CHECKS_MAX:
            raise CheckError(f"{made.place}: {made.name} is one check more than {CHECKS_MAX}")
        _registered.append(made)
        return made

    return register


def registered() -> tuple[Check, ...]:
    """Every check, in the order in which they were registered and are asked."""
    return tuple(_registered)


def forget_checks() -> None:
    """Takes all checks away; engines that have them already keep them."""
    _registered.clear()


def load_checks(paths: Iterable[Path | str]) -> tuple[Check, ...]:
    """Runs Python files, whose checks take the place of all that were registered before.

    Raises CheckError, naming the file, when one cannot be read or run, or registers nothing; then there is no check.
    """
    forget_checks()
    try:
        for number, path in enumerate(map(Path, paths)):
            _load(path, f"tongbao_checks_{number}_{path.stem}")
    except CheckError:
        forget_checks()
        raise
    return registered()


def _load(path: Path, name: str) -> None:
    before = len(_registered)
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CheckError(f"{path}: is not a Python file")
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # inspect looks for a function's source by its module
    try:
        spec.loader.exec_module(module)
    except CheckError:
        raise
    except Exception as error:
        raise CheckError(f"{path}: {type(error).__name__}: {error}") from error
    if len(_registered) == before:
        raise CheckError(f"{path}: registers no check (@risk.check)")


def describe(number: int, checks: Sequence[Check] | None = None) -> str:
    """Names for `Finding.check`: "market_orders: too_large_for_its_type"; empty for 0, which is one of ours."""
    if number == 0:
        return ""
    known = _registered if checks is None else checks
    position, reason = divmod(number, NUMBERS_PER_CHECK)
    if not 1 <= position <= len(known):
        return f"check {position}: {reason or 'no verdict'}"
    asked = known[position - 1]
    return f"{asked.name}: {asked.reasons.get(reason, str(reason)) if reason else 'no verdict'}"


# --- reading ------------------------------------------------------------------------------------------


def read(function: Callable[..., int], reasons: Mapping[int, str]) -> Check:
    """The check that a function is. Raises CheckError."""
    if not isinstance(function, FunctionType):
        raise CheckError(f"{function!r} is not a Python function")
    file = inspect.getsourcefile(function) or function.__code__.co_filename
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError) as error:
        raise CheckError(f"{file}: the source of {function.__name__} cannot be read") from error
    ast.increment_lineno(tree, first - 1)
    return _Reader(file, function, reasons).read(tree.body[0])


def ends(statements: Sequence[ast.stmt]) -> bool:
    """Whether no way leads past the last of them."""
    if not statements:
        return False
    last = statements[-1]
    return isinstance(last, ast.Return) or (isinstance(last, ast.If) and ends(last.body) and ends(last.orelse))


class _Reader:
    """Refuses what is not on the list, and makes a function out of the rest.

    Constants stand in it as numbers, and arithmetic as calls of `engine.risk.arithmetic`.
    """

    def __init__(self, file: str, function: FunctionType, reasons: Mapping[int, str]) -> None:
        self.file = file
        self.function = function
        self.reasons = reasons
        self.records: dict[str, str] = {}
        self.locals: set[str] = set()
        self.assigned: set[str] = set()
        self.loops = 0
        self.rounds = 1

    def fault(self, node: ast.AST, message: str) -> CheckError:
        return CheckError(f"{self.file}:{getattr(node, 'lineno', 0)}: {self.function.__name__}: {message}")

    def read(self, definition: ast.stmt) -> Check:
        if not isinstance(definition, ast.FunctionDef):
            raise self.fault(definition, "is not a plain function (def)")
        place = f"{self.file}:{definition.lineno}"
        self.read_reasons(definition)
        self.read_arguments(definition)
        body = definition.body
        if ast.get_docstring(definition) is not None:
            body = body[1:]
        stored = [each for part in body for each in ast.walk(part) if isinstance(each, ast.Name)]
        self.locals = {each.id for each in stored if isinstance(each.ctx, ast.Store)}
        if not ends(body):
            raise self.fault((body or [definition])[-1], "may end without a return; let it end with return risk.ACCEPT")
        definition.body = self.block(body)
        definition.decorator_list, definition.returns = [], None
        for argument in definition.args.args:
            argument.annotation = None
        module = ast.fix_missing_locations(ast.Module(body=[definition], type_ignores=[]))
        names: dict[str, Any] = {"__builtins__": {}, "min": min, "max": max, "range": range, **arithmetic.FUNCTIONS}
        exec(compile(module, self.file, "exec"), names)  # noqa: S102 - what has just been read, and nothing else
        return Check(definition.name, self.reasons, names[definition.name], place)

    def read_reasons(self, definition: ast.FunctionDef) -> None:
        if not self.reasons:
            raise self.fault(definition, "has no reasons; @risk.check(reasons={1: ...}) says what it may return")
        for number, name in self.reasons.items():
            if type(number) is not int or not 0 < number < NUMBERS_PER_CHECK:
                raise self.fault(definition, f"reasons: {number!r} is not a number from 1 to {NUMBERS_PER_CHECK - 1}")
            if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,63}", name):
                raise self.fault(
                    definition,
                    f"reasons: {name!r} is not a name of up to 64 lower case letters, digits and underscores",
                )

    def read_arguments(self, definition: ast.FunctionDef) -> None:
        arguments = definition.args
        others = (
            arguments.posonlyargs,
            arguments.kwonlyargs,
            arguments.defaults,
            arguments.vararg,
            arguments.kwarg,
        )
        names = [each.arg for each in arguments.args]
        if len(names) != len(FIELDS) or any(others):
            raise self.fault(definition, f"takes ({ast.unparse(arguments)}) instead of (order, limits, exposure)")
        self.records = dict(zip(names, FIELDS, strict=True))

    # --- statements

    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        made = [self.statement(each) for each in statements]
        return [ast.copy_location(new, old) for new, old in zip(made, statements, strict=True)]

    def statement(self, node: ast.stmt) -> ast.stmt:
        match node:
            case ast.Return():
                if node.value is None:
                    raise self.fault(node, "returns nothing; return risk.ACCEPT or one of its reasons")
                return ast.Return(self.answer(node.value))
            case ast.If():
                return self.branches(node)
            case ast.For():
                return self.loop(node)
            case ast.Assign(targets=[ast.Name(id=name)]):
                return self.assignment(node, name, self.expression(node.value))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                return self.assignment(node, name, self.expression(value))
            case ast.AugAssign(target=ast.Name(id=name)):
                old = ast.copy_location(ast.Name(name, ast.Load()), node)
                joined = ast.copy_location(ast.BinOp(old, node.op, node.value), node)
                return self.assignment(node, name, self.expression(joined))
            case ast.Pass():
                return ast.Pass()
            case ast.Break() | ast.Continue() if self.loops:
                return node
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Delete():
                raise self.fault(node, f"`{ast.unparse(node)}`: only local names may be assigned to, one at a time")
        raise self.fault(
            node,
            f"`{ast.unparse(node).splitlines()[0]}` is not allowed; what is: assignments to local names, if, "
            "for … in range(…), break, continue, pass, return",
        )

    def assignment(self, node: ast.stmt, name: str, value: ast.expr) -> ast.stmt:
        if name in self.records or name in RESERVED:
            raise self.fault(node, f"{name} cannot be assigned to")
        self.assigned.add(name)
        return ast.Assign([ast.Name(name, ast.Store())], value)

    def branches(self, node: ast.If) -> ast.stmt:
        test = self.expression(node.test)
        before = set(self.assigned)
        body = self.block(node.body)
        after = self.assigned
        self.assigned = set(before)
        otherwise = self.block(node.orelse)
        # A name has a value behind it when every way there has given it one.
        if ends(node.body):
            after = self.assigned
        elif not ends(node.orelse):
            after &= self.assigned
        self.assigned = after
        return ast.If(test, body, otherwise)

    def loop(self, node: ast.For) -> ast.stmt:
        match node:
            case ast.For(
                target=ast.Name(id=name),
                iter=ast.Call(func=ast.Name(id="range"), args=arguments, keywords=[]),
                orelse=[],
            ) if 1 <= len(arguments) <= 3 and "range" not in self.locals:
                bounds = [self.constant(each) for each in arguments]
            case _:
                raise self.fault(
                    node, f"`{ast.unparse(node).splitlines()[0]}`: loops are for <name> in range(<constants>)"
                )
        if None in bounds or (len(bounds) == 3 and bounds[2] == 0):
            raise self.fault(node, "range: takes whole numbers that are known beforehand, and a step that is not 0")
        known = [each for each in bounds if each is not None]
        outside = self.rounds
        self.rounds *= max(len(range(*known)), 1)
        if self.rounds > ROUNDS_MAX:
            raise self.fault(node, f"{self.rounds} rounds are more than {ROUNDS_MAX}, all loops multiplied")
        before = set(self.assigned)
        target = self.assignment(node, name, ast.Constant(0))
        assert isinstance(target, ast.Assign)
        self.loops += 1
        body = self.block(node.body)
        self.loops -= 1
        self.rounds = outside
        self.assigned = before  # there may be no round at all
        call = ast.Call(ast.Name("range", ast.Load()), [ast.Constant(each) for each in known], [])
        return ast.For(target.targets[0], call, body, [])

    def answer(self, node: ast.expr) -> ast.expr:
        """What is returned: ACCEPT, a declared reason, or a choice between such."""
        if isinstance(node, ast.IfExp):
            return ast.IfExp(self.expression(node.test), self.answer(node.body), self.answer(node.orelse))
        number = self.constant(node)
        if number is None or (number != ACCEPT and number not in self.reasons):
            declared = ", ".join(f"{each} ({name})" for each, name in sorted(self.reasons.items()))
            raise self.fault(
                node, f"returns `{ast.unparse(node)}` instead of risk.ACCEPT or one of its reasons: {declared}"
            )
        return ast.Constant(number)

    # --- expressions

    def constant(self, node: ast.expr) -> int | None:
        """The number that an expression is, when it is known beforehand."""
        match node:
            case ast.Constant(value=value) if type(value) is int and value in INT64:
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if (
                type(value) is int and -value in INT64
            ):
                return -value
            case ast.Attribute(value=ast.Name(id=name), attr="ACCEPT") if self.is_risk(name):
                return ACCEPT
            case ast.Name(id=name) if name not in self.locals and name not in self.records:
                value = self.function.__globals__.get(name)
                return value if type(value) is int and value in INT64 else None
        return None

    def is_risk(self, name: str) -> bool:
        module = self.function.__globals__.get(name)
        return name not in self.locals and module is not None and module is sys.modules.get("engine.risk")

    def expression(self, node: ast.expr) -> ast.expr:
        return ast.copy_location(self.rebuilt(node), node)

    def rebuilt(self, node: ast.expr) -> ast.expr:
        number = self.constant(node)
        if number is not None:
            return ast.Constant(number)
        match node:
            case ast.Constant(value=True | False):
                return node
            case ast.Constant(value=value):
                raise self.fault(node, f"{value!r} is not a whole number of 64 bits; there is nothing else")
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.Subscript():
                return self.field(node)
            case ast.BoolOp():
                return ast.BoolOp(node.op, [self.expression(each) for each in node.values])
            case ast.UnaryOp(op=ast.Not()):
                return ast.UnaryOp(node.op, self.expression(node.operand))
            case ast.UnaryOp(op=ast.USub()):
                return self.call("negate", node.operand)
            case ast.BinOp() if type(node.op) in OPERATORS:
                return self.call(OPERATORS[type(node.op)], node.left, node.right)
            case ast.BinOp() if isinstance(node.op, BITWISE):
                return ast.BinOp(self.expression(node.left), node.op, self.expression(node.right))
            case ast.BinOp(op=ast.Div()):
                raise self.fault(node, f"`{ast.unparse(node)}` would not be a whole number; // is")
            case ast.Compare() if all(isinstance(each, COMPARISONS) for each in node.ops):
                others = [self.expression(each) for each in node.comparators]
                return ast.Compare(self.expression(node.left), node.ops, others)
            case ast.IfExp():
                return ast.IfExp(*(self.expression(each) for each in (node.test, node.body, node.orelse)))
            case ast.Call():
                return self.function_call(node)
            case ast.Attribute():
                raise self.fault(
                    node, f"`{ast.unparse(node)}`: only risk.ACCEPT has a dot; fields are read as {self.example()}"
                )
        raise self.fault(
            node,
            f"`{ast.unparse(node)}` is not allowed; what is: whole numbers, local names, constants of the file, fields "
            "of the records, + - * // % & | ^, comparisons, and, or, not, … if … else …, abs, max, min",
        )

    def name(self, node: ast.Name, name: str) -> ast.expr:
        if name in self.assigned:
            return ast.Name(name, ast.Load())
        if name in self.locals:
            raise self.fault(node, f"{name} has no value on every way here")
        if name in self.records:
            raise self.fault(node, f"{name} is a record; its fields are read as {self.example(name)}")
        if name in self.function.__globals__:
            value = self.function.__globals__[name]
            raise self.fault(node, f"{name} is {value!r}, which is not a whole number of 64 bits")
        constants = sorted(
            each
            for each, value in self.function.__globals__.items()
            if type(value) is int and value in INT64 and not each.startswith("__")
        )
        known = ", ".join([*self.records, *sorted(self.locals), *constants])
        raise self.fault(node, f"there is no {name}; there are {known}, and functions {', '.join(FUNCTIONS)}")

    def example(self, name: str = "") -> str:
        name = name or next(iter(self.records))
        return f'{name}["{FIELDS[self.records[name]][0]}"]'

    def field(self, node: ast.Subscript) -> ast.expr:
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=field)) if name in self.records:
                fields = FIELDS[self.records[name]]
                if field not in fields or str(field).startswith("reserved"):
                    known = ", ".join(each for each in fields if not each.startswith("reserved"))
                    raise self.fault(node, f"{name} has no field {field!r}; it has {known}")
                return ast.Subscript(ast.Name(name, ast.Load()), ast.Constant(field), ast.Load())
        raise self.fault(node, f"`{ast.unparse(node)}`: fields are read as {self.example()}, and nothing else has any")

    def function_call(self, node: ast.Call) -> ast.expr:
        match node:
            case ast.Call(func=ast.Name(id="abs"), args=[value], keywords=[]):
                return self.call("absolute", value)
            case ast.Call(func=ast.Name(id="min" | "max" as name), args=[_, _, *_] as values, keywords=[]) if not any(
                isinstance(each, ast.Starred) for each in values
            ):
                return ast.Call(ast.Name(name, ast.Load()), [self.expression(each) for each in values], [])
        raise self.fault(
            node, f"`{ast.unparse(node)}` cannot be called; what can: abs(a), max(a, b, …), min(a, b, …), range in for"
        )

    def call(self, name: str, *arguments: ast.expr) -> ast.expr:
        return ast.Call(ast.Name(name, ast.Load()), [self.expression(each) for each in arguments], [])
