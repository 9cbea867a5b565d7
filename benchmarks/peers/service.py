"""The web service that most teams would begin with: FastAPI, SQLAlchemy's ORM, PostgreSQL.

Runs in the peers' environment: `uvicorn service:app --workers 2`, with DATABASE_URL. A transfer is one
request and one transaction: both accounts are locked in the order of their ids, the balance is checked, an id is used
once.
"""

import os
from datetime import datetime
from uuid import UUID

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=0)
Session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    """Tables."""


class Account(Base):
    """An account and its balance."""

    __tablename__ = "web_account"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)


class Transfer(Base):
    """A transfer that was made."""

    __tablename__ = "web_transfer"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    debit_account_id: Mapped[int] = mapped_column(BigInteger)
    credit_account_id: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(server_default=func.now())


class Wanted(BaseModel):
    """What a client sends."""

    id: UUID
    debit_account_id: int
    credit_account_id: int
    amount: int = Field(gt=0)


@app.post("/transfers", status_code=201)
async def transfer(wanted: Wanted) -> dict[str, str]:
    """Make a transfer, durably."""
    try:
        async with Session.begin() as session:
            ids = (wanted.debit_account_id, wanted.credit_account_id)
            rows = await session.scalars(
                select(Account).where(Account.id.in_(ids)).order_by(Account.id).with_for_update()
            )
            accounts = {account.id: account for account in rows}
            if len(accounts) != 2:
                raise HTTPException(404, "account not found")
            if accounts[wanted.debit_account_id].balance < wanted.amount:
                raise HTTPException(409, "insufficient funds")
            accounts[wanted.debit_account_id].balance -= wanted.amount
            accounts[wanted.credit_account_id].balance += wanted.amount
            session.add(Transfer(**wanted.model_dump()))
    except IntegrityError:
        raise HTTPException(409, "the id is used") from None
    return {"status": "created"}


@app.get("/health")
async def health() -> dict[str, bool]:
    """Answer."""
    return {"ok": True}
