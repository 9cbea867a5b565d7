"""Online sale of products: orders, suitability, quotas, holdings."""
