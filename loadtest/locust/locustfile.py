"""What `locust -f` takes: all users, all shapes, our options."""

from locust import events

from loadtest.locust.listeners import register
from loadtest.locust.users import Balances, BankDay, Batches, MarketData, MarketMaker, OrderFlow, Transfers

__all__ = ["Balances", "BankDay", "Batches", "MarketData", "MarketMaker", "OrderFlow", "Transfers"]

register(events)
