"""How risky a customer is, and how much risk a customer may take (docs/PRODUCTS.md)."""
