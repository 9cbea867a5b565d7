"""Financial products: terms, interest, yields, comparison, sale, recommendation (docs/PRODUCTS.md)."""
