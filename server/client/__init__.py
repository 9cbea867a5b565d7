"""Clients of the server: asyncio (`Client`, `Batcher`) and blocking (`BlockingClient`). See docs/CLIENTS.md."""

from engine.results import AMOUNT_ALL, AccountFlag, Status, TransferFlag
from server.client.batcher import Batcher
from server.client.blocking import BlockingClient
from server.client.client import Client, tls_context
from server.client.errors import (
    Busy,
    CapacityReached,
    ClientError,
    ConnectionLost,
    DeadlineExceeded,
    InvalidParams,
    NotLoggedOn,
    NotPermitted,
    ProtocolError,
    RequestError,
    TooLarge,
)
from server.client.ids import uuid7, uuid7_array
from server.client.logon import Logon
from server.client.values import (
    Account,
    AccountUpdate,
    AccountView,
    BalanceView,
    Result,
    Transfer,
    TransferView,
    account_records,
    transfer_records,
    update_records,
)

__all__ = [
    "AMOUNT_ALL",
    "Account",
    "AccountFlag",
    "AccountUpdate",
    "AccountView",
    "BalanceView",
    "Batcher",
    "BlockingClient",
    "Busy",
    "CapacityReached",
    "Client",
    "ClientError",
    "ConnectionLost",
    "DeadlineExceeded",
    "InvalidParams",
    "Logon",
    "NotLoggedOn",
    "NotPermitted",
    "ProtocolError",
    "RequestError",
    "Result",
    "Status",
    "TooLarge",
    "Transfer",
    "TransferFlag",
    "TransferView",
    "account_records",
    "tls_context",
    "transfer_records",
    "update_records",
    "uuid7",
    "uuid7_array",
]
